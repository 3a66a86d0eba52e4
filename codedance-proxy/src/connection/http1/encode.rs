//! Answers in HTTP/1.1 and 1.0 (RFC 9112, 4 to 7).

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, DATE, HeaderMap, HeaderName, TRAILER, TRANSFER_ENCODING,
};
use http::{Method, StatusCode, Version, response};
use hyper::body::SizeHint;
use hyper::ext::ReasonPhrase;

use super::date;
use super::outbox::Outbox;
use crate::syntax::{
    decimal, lists, may_be_trailer, may_have_body, tokens, write_chunk_size, write_length,
    write_line,
};

/// What matters of a request when it is answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    pub(super) is_head: bool,
    pub(super) is_1_1: bool,
    /// Whether another request may follow.
    pub(super) keeps_alive: bool,
    pub(super) takes_trailers: bool,
}

impl Exchange {
    /// For a request of which nothing is known: nothing follows it.
    pub(super) const UNKNOWN: Self = Self {
        is_head: false,
        is_1_1: true,
        keeps_alive: false,
        takes_trailers: false,
    };

    pub(super) fn new(asked: &crate::inbound::Asked) -> Self {
        Self {
            is_head: *asked.request.method() == Method::HEAD,
            is_1_1: asked.request.version() == Version::HTTP_11,
            keeps_alive: asked.keeps_alive,
            takes_trailers: asked.takes_trailers,
        }
    }
}

/// Writes the body of an answer.
#[derive(Debug)]
pub(super) struct Encoder {
    framing: Framing,
    /// Whether nothing of the body is to be written any more.
    is_done: bool,
    is_broken: bool,
    /// Whether another request may follow.
    keeps_alive: bool,
}

#[derive(Debug)]
enum Framing {
    /// So many bytes are to come.
    Sized(u64),
    /// With these trailers, if they come.
    Chunked(Vec<HeaderName>),
    /// As long as the connection.
    UntilClose,
}

/// What is known of a body before it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    None,
    Known(u64),
    Unknown,
}

impl Encoder {
    /// Writes the head of an answer. `body` is `None` when there is none.
    pub(super) fn begin(
        out: &mut Outbox,
        head: &response::Parts,
        body: Option<SizeHint>,
        exchange: Exchange,
    ) -> Self {
        let length = match body.map(|hint| hint.exact()) {
            None => Length::None,
            Some(Some(length)) => Length::Known(length),
            Some(None) => Length::Unknown,
        };
        let mut encoder = Self::new(head, length, exchange);
        out.write(|out| encoder.write_head(out, head, length, exchange));
        encoder
    }

    fn new(head: &response::Parts, length: Length, exchange: Exchange) -> Self {
        let framing = match length {
            Length::None => Framing::Sized(0),
            Length::Known(length) => Framing::Sized(length),
            Length::Unknown => match told_length(&head.headers) {
                Some(length) => Framing::Sized(length),
                None if exchange.is_1_1 => Framing::Chunked(Vec::new()),
                None => Framing::UntilClose,
            },
        };
        let is_done = exchange.is_head || !may_have_body(head.status);
        let ends_by_close = matches!(framing, Framing::UntilClose) && !is_done;
        Self {
            is_done: is_done || matches!(framing, Framing::Sized(0)),
            framing,
            is_broken: false,
            keeps_alive: exchange.keeps_alive && !ends_by_close,
        }
    }

    fn write_head(
        &mut self,
        out: &mut Vec<u8>,
        head: &response::Parts,
        length: Length,
        exchange: Exchange,
    ) {
        write_first_line(out, head, exchange.is_1_1);
        let (mut has_date, mut has_connection) = (false, false);
        for (name, value) in &head.headers {
            match *name {
                // Written below, as the body needs it.
                CONTENT_LENGTH | TRANSFER_ENCODING => continue,
                CONNECTION => {
                    has_connection = true;
                    continue;
                }
                TRAILER => match &mut self.framing {
                    Framing::Chunked(trailers) if !self.is_done => {
                        let names = tokens(value.as_bytes()).map(HeaderName::from_bytes);
                        trailers.extend(names.flatten());
                    }
                    _ => continue,
                },
                DATE => has_date = true,
                _ => {}
            }
            write_line(out, name, value);
        }
        self.write_framing(out, head, length, exchange);
        self.write_connection(out, head, has_connection, exchange);
        if !has_date {
            date::append(out);
        }
        out.extend_from_slice(b"\r\n");
    }

    fn write_framing(
        &self,
        out: &mut Vec<u8>,
        head: &response::Parts,
        length: Length,
        exchange: Exchange,
    ) {
        match (&self.framing, length) {
            // What a GET would be answered with, if that is known.
            (_, Length::None) if exchange.is_head && head.status != StatusCode::NO_CONTENT => {
                if let Some(length) = head.headers.get(CONTENT_LENGTH) {
                    write_line(out, &CONTENT_LENGTH, length);
                }
            }
            _ if !may_have_body(head.status) => {}
            (Framing::Sized(length), _) => {
                write_length(out, *length);
            }
            (Framing::Chunked(_), _) if !self.is_done => {
                out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            }
            (Framing::Chunked(_) | Framing::UntilClose, _) => {}
        }
    }

    fn write_connection(
        &mut self,
        out: &mut Vec<u8>,
        head: &response::Parts,
        is_there: bool,
        exchange: Exchange,
    ) {
        let mut says_close = false;
        if is_there {
            let lines = head.headers.get_all(CONNECTION);
            says_close = lines.iter().any(|line| lists(line.as_bytes(), "close"));
            for line in lines {
                write_line(out, &CONNECTION, line);
            }
        }
        self.keeps_alive &= !says_close;
        match (self.keeps_alive, exchange.is_1_1) {
            // The connection does not end, it speaks another protocol.
            _ if head.status == StatusCode::SWITCHING_PROTOCOLS => {}
            (true, false) => out.extend_from_slice(b"connection: keep-alive\r\n"),
            (false, true) if !says_close => out.extend_from_slice(b"connection: close\r\n"),
            _ => {}
        }
    }

    /// Whether the whole answer has been written.
    pub(super) const fn is_done(&self) -> bool {
        self.is_done
    }

    /// Whether another request may follow, once the answer has been sent.
    pub(super) const fn keeps_alive(&self) -> bool {
        self.keeps_alive
    }

    /// Writes a part of the body.
    pub(super) fn data(&mut self, out: &mut Outbox, mut data: Bytes) {
        if data.is_empty() {
            return;
        }
        match &mut self.framing {
            Framing::Sized(left) => {
                // Never more than was announced: it would be taken for the next answer.
                data.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= data.len() as u64;
                self.is_done = *left == 0;
                out.push(data);
            }
            Framing::Chunked(_) => {
                out.write(|out| write_chunk_size(out, data.len()));
                out.push(data);
                out.write(|out| out.extend_from_slice(b"\r\n"));
            }
            Framing::UntilClose => out.push(data),
        }
    }

    /// Writes the end of the body.
    pub(super) fn end(
        &mut self,
        out: &mut Outbox,
        trailers: Option<&HeaderMap>,
        exchange: Exchange,
    ) {
        if self.is_done {
            return;
        }
        match &self.framing {
            Framing::Sized(_) => return self.abandon(),
            Framing::Chunked(announced) => {
                let trailers = trailers.filter(|_| exchange.takes_trailers);
                out.write(|out| {
                    out.extend_from_slice(b"0\r\n");
                    for (name, value) in trailers.into_iter().flatten() {
                        if announced.contains(name) && may_be_trailer(name) {
                            write_line(out, name, value);
                        }
                    }
                    out.extend_from_slice(b"\r\n");
                });
            }
            Framing::UntilClose => {}
        }
        self.is_done = true;
    }

    /// Leaves the body without its end.
    pub(super) const fn abandon(&mut self) {
        self.is_done = true;
        self.is_broken = true;
    }

    /// Whether the client must not take what was sent for the whole answer.
    pub(super) const fn is_broken(&self) -> bool {
        self.is_broken
    }
}

/// The length that the head of an answer tells.
fn told_length(headers: &HeaderMap) -> Option<u64> {
    let length = headers.get(CONTENT_LENGTH)?;
    decimal(length.as_bytes())
}

fn write_first_line(out: &mut Vec<u8>, head: &response::Parts, is_1_1: bool) {
    let reason = head.extensions.get::<ReasonPhrase>();
    if is_1_1 && head.status == StatusCode::OK && reason.is_none() {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    let version: &[u8] = if is_1_1 { b"HTTP/1.1 " } else { b"HTTP/1.0 " };
    out.extend_from_slice(version);
    out.extend_from_slice(head.status.as_str().as_bytes());
    out.push(b' ');
    let usual = head.status.canonical_reason().unwrap_or("<none>");
    out.extend_from_slice(reason.map_or(usual.as_bytes(), ReasonPhrase::as_bytes));
    out.extend_from_slice(b"\r\n");
}
