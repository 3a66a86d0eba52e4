//! A request while it is sent.

use std::io::{self, IoSlice};
use std::mem::{replace, take};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::Request;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, TRAILER, TRANSFER_ENCODING};
use hyper::body::{Body, Frame};
use tokio::io::AsyncWrite;

use super::buffers;
use crate::dial::Stream;
use crate::syntax::{lists, may_be_trailer, write_chunk_size, write_length, write_line};
use crate::upload::Upload;

/// Parts of a body that are no longer than this are copied together.
const SMALL: usize = 4 * 1024;
/// So much is collected until it is sent.
const COLLECTED: usize = 16 * 1024;

/// What is still to be written of a request; by default nothing.
#[derive(Debug, Default)]
pub(super) struct Sending {
    /// Heads, frames and small parts, which go first.
    lines: BytesMut,
    /// A large part of the body, which comes behind them.
    part: Bytes,
    /// What ends that part.
    part_end: &'static [u8],
    /// `None` when all of it has been taken, or none is wanted any more.
    body: Option<(Upload, Framing)>,
    /// The stream may still hold back what was written.
    is_held_back: bool,
    /// Something of the request will never be sent.
    is_given_up: bool,
}

/// How the endpoint knows where a request's body ends (RFC 9112, 6).
#[derive(Debug)]
enum Framing {
    /// So many bytes are to come.
    Sized(u64),
    /// In chunks, perhaps followed by trailers that these announce.
    Chunked { announced: Vec<HeaderValue> },
}

/// Why a request could not be sent.
#[derive(Debug)]
pub(super) enum Broken {
    /// The endpoint takes no more.
    Stream(io::Error),
    /// The client sends no more, or not what it has announced.
    Body,
}

impl Sending {
    /// Begins to send. A body that can be had again stays with the request as well.
    pub(super) fn begin(request: &mut Request<Upload>) -> Self {
        let body = match request.body().again() {
            Some(body) => body,
            None => replace(request.body_mut(), Upload::Empty),
        };
        let mut sending = Self {
            lines: buffers::take(),
            ..Self::default()
        };
        let lines = &mut sending.lines;
        write_request_line(lines, request);
        let headers = request.headers();
        let mut has_length = false;
        for (name, value) in headers {
            match *name {
                // Nobody's word counts for where a body ends but that of who sends it.
                CONTENT_LENGTH => has_length = true,
                TRANSFER_ENCODING => {}
                _ => write_line(lines, name, value),
            }
        }
        if body.is_end_stream() {
            if has_length {
                write_length(lines, 0);
            }
        } else if let Some(length) = body.size_hint().exact() {
            write_length(lines, length);
            sending.body = Some((body, Framing::Sized(length)));
        } else {
            lines.extend_from_slice(b"transfer-encoding: chunked\r\n");
            let announced = headers.get_all(TRAILER).iter().cloned().collect();
            sending.body = Some((body, Framing::Chunked { announced }));
        }
        lines.extend_from_slice(b"\r\n");
        sending
    }

    /// Whether all of it has been written, and nothing is held back.
    pub(super) fn is_sent(&self) -> bool {
        self.is_over() && !self.is_given_up
    }

    /// Whether there is nothing left to do.
    pub(super) fn is_over(&self) -> bool {
        self.body.is_none() && !self.is_queued() && !self.is_held_back
    }

    /// Whether something waits for the endpoint to take it.
    pub(super) fn is_queued(&self) -> bool {
        !self.lines.is_empty() || !self.part.is_empty() || !self.part_end.is_empty()
    }

    /// Sends no more.
    pub(super) fn give_up(&mut self) {
        *self = Self {
            is_given_up: true,
            ..Self::default()
        };
    }

    /// The buffer that is no longer needed.
    pub(super) fn take_buffer(&mut self) -> BytesMut {
        take(&mut self.lines)
    }

    /// Sends what can be sent now; ready when that was all.
    pub(super) fn poll(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        loop {
            let is_waiting = self.collect(cx)?.is_pending();
            if self.is_queued() {
                ready!(self.poll_write(stream, cx)).map_err(Broken::Stream)?;
                self.is_held_back = true;
                continue;
            }
            if self.is_held_back {
                let flushed = Pin::new(&mut *stream).poll_flush(cx);
                ready!(flushed).map_err(Broken::Stream)?;
                self.is_held_back = false;
            }
            return match is_waiting {
                true => Poll::Pending,
                false => Poll::Ready(Ok(())),
            };
        }
    }

    /// Takes parts of the body, as much as is sent at once. Pending when there would be room for more.
    fn collect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        while self.part.is_empty() && self.part_end.is_empty() && self.lines.len() < COLLECTED {
            let Some((body, _)) = &mut self.body else {
                break;
            };
            match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => self.queue(frame)?,
                Some(Err(_)) => return Poll::Ready(Err(Broken::Body)),
                None => self.end(None)?,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn queue(&mut self, frame: Frame<Bytes>) -> Result<(), Broken> {
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => return self.end(frame.into_trailers().ok()),
        };
        let Some((body, framing)) = &mut self.body else {
            return Ok(());
        };
        // A chunk of no bytes would be the last one.
        if data.is_empty() {
            return Ok(());
        }
        let end: &[u8] = match framing {
            Framing::Sized(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(Broken::Body)?;
                b""
            }
            Framing::Chunked { .. } => {
                write_chunk_size(&mut self.lines, data.len());
                b"\r\n"
            }
        };
        // Nobody needs to ask again then, which would find that the client has nothing to send.
        let is_end = matches!(framing, Framing::Sized(0)) && body.is_end_stream();
        if data.len() <= SMALL {
            self.lines.extend_from_slice(&data);
            self.lines.extend_from_slice(end);
        } else {
            (self.part, self.part_end) = (data, end);
        }
        if is_end { self.end(None) } else { Ok(()) }
    }

    /// The body has ended.
    fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), Broken> {
        match self.body.take() {
            Some((_, Framing::Sized(1..))) => return Err(Broken::Body),
            Some((_, Framing::Sized(0))) | None => {}
            Some((_, Framing::Chunked { announced })) => {
                self.lines.extend_from_slice(b"0\r\n");
                for (name, value) in trailers.iter().flatten() {
                    let is_meant = announced
                        .iter()
                        .any(|names| lists(names.as_bytes(), name.as_str()));
                    if is_meant && may_be_trailer(name) {
                        write_line(&mut self.lines, name, value);
                    }
                }
                self.lines.extend_from_slice(b"\r\n");
            }
        }
        Ok(())
    }

    /// Writes some of what is queued.
    fn poll_write(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = Pin::new(stream);
        let written = if self.part.is_empty() && self.part_end.is_empty() {
            ready!(stream.poll_write(cx, &self.lines))?
        } else {
            let parts = [&self.lines, &*self.part, self.part_end].map(IoSlice::new);
            ready!(stream.poll_write_vectored(cx, &parts))?
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        let (lines, rest) = split(written, self.lines.len());
        let (part, rest) = split(rest, self.part.len());
        self.lines.advance(lines);
        self.part.advance(part);
        self.part_end = &self.part_end[rest..];
        Poll::Ready(Ok(()))
    }
}

/// How much of `written` belongs to the first `length` bytes, and how much does not.
fn split(written: usize, length: usize) -> (usize, usize) {
    let here = written.min(length);
    (here, written - here)
}

fn write_request_line<B>(lines: &mut BytesMut, request: &Request<B>) {
    lines.extend_from_slice(request.method().as_str().as_bytes());
    lines.extend_from_slice(b" ");
    let path = request.uri().path_and_query();
    lines.extend_from_slice(path.map_or("/", |path| path.as_str()).as_bytes());
    lines.extend_from_slice(b" HTTP/1.1\r\n");
}
