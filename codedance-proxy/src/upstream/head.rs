//! The head of an answer (RFC 9112, 4 to 6).

use std::io;

use bytes::{Buf, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, TRANSFER_ENCODING};
use http::{Method, Response, StatusCode, Version};
use hyper::ext::ReasonPhrase;
use memchr::memchr;

use super::body::Remains;
use super::lines::{self, Lines};
use crate::syntax::{decimal, may_have_body, tokens};

/// How long a head may be; what hyper allows.
pub(super) const HEAD_BYTES: usize = 408 * 1024;
/// How many headers it may have; what hyper allows.
pub(super) const HEADERS: usize = 100;
/// For so many headers there is room without a second allocation.
const USUAL_HEADERS: usize = 6;

/// The head of an answer, and what follows from it.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) response: Response<()>,
    pub(super) body: Remains,
    /// Whether the endpoint keeps the connection open behind it.
    pub(super) persists: bool,
}

impl Head {
    /// Takes a head from what has been read, once it is there as a whole; up to `searched` no end of
    /// one has been found.
    ///
    /// # Errors
    /// If it cannot be understood, or is larger than it may be.
    pub(super) fn take(
        read: &mut BytesMut,
        searched: &mut usize,
        method: &Method,
    ) -> io::Result<Option<Self>> {
        // A head that comes in many parts is understood when it is whole, not with each of them.
        let may_be_whole = *searched == 0 || has_end(read, *searched);
        if may_be_whole && let Some((head, length)) = Self::parse(read, method)? {
            if length > HEAD_BYTES {
                return Err(bad("its head is too large"));
            }
            read.advance(length);
            *searched = 0;
            return Ok(Some(head));
        }
        if read.len() >= HEAD_BYTES {
            return Err(bad("its head is too large"));
        }
        *searched = read.len();
        Ok(None)
    }

    /// The head, and its length.
    fn parse(bytes: &[u8], method: &Method) -> io::Result<Option<(Self, usize)>> {
        let mut lines = Lines::new(bytes);
        let Some(first) = lines.next() else {
            return Ok(None);
        };
        let (mut response, minor) = status_line(first)?;
        let mut framing = Framing::default();
        let mut headers = HeaderMap::with_capacity(USUAL_HEADERS);
        let mut count = 0;
        loop {
            let line = match lines.next() {
                None => return Ok(None),
                Some([]) => break,
                Some(line) => line,
            };
            count += 1;
            if count > HEADERS {
                return Err(bad("it has too many headers"));
            }
            let (name, value) = lines::header(line)?;
            if framing.note(&name, value)? {
                headers.append(name, lines::value(value)?);
            }
        }
        framing.settle(&mut headers);
        *response.headers_mut() = headers;
        let status = response.status();
        let body = framing.remains(status, minor, method)?;
        let ends = body == Remains::UntilClosed || status == StatusCode::SWITCHING_PROTOCOLS;
        let head = Self {
            body,
            persists: framing.persists(minor) && !ends,
            response,
        };
        Ok(Some((head, lines.read())))
    }
}

/// Reads the first line, and returns the minor version as well.
fn status_line(line: &[u8]) -> io::Result<(Response<()>, u8)> {
    let malformed = || bad("its first line is malformed");
    let (version, rest) = line.split_at_checked(9).ok_or_else(malformed)?;
    let (version, minor) = match version {
        b"HTTP/1.1 " => (Version::HTTP_11, 1),
        b"HTTP/1.0 " => (Version::HTTP_10, 0),
        _ => return Err(malformed()),
    };
    let (code, reason) = rest.split_at_checked(3).ok_or_else(malformed)?;
    let reason = match reason {
        // The space behind the code is left out by many (RFC 9112, 4).
        [] => reason,
        [b' ', reason @ ..] => reason,
        _ => return Err(malformed()),
    };
    let status = StatusCode::from_bytes(code).map_err(bad)?;
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.version_mut() = version;
    let canonical = status.canonical_reason().map_or(&b""[..], str::as_bytes);
    // What a client sees anyway is not worth an allocation.
    if reason != canonical {
        let reason = ReasonPhrase::try_from(reason).map_err(|_| malformed())?;
        response.extensions_mut().insert(reason);
    }
    Ok((response, minor))
}

/// What the headers of an answer say about its body and about its connection.
#[derive(Debug, Default)]
struct Framing {
    length: Option<u64>,
    /// The length is not simply there, but repeated.
    is_repeated: bool,
    is_chunked: bool,
    closes: bool,
    keeps_alive: bool,
}

impl Framing {
    /// Whether the header concerns others than those at the two ends of the connection.
    fn note(&mut self, name: &HeaderName, value: &[u8]) -> io::Result<bool> {
        match *name {
            CONTENT_LENGTH => {
                for length in tokens(value) {
                    let length = decimal(length).ok_or_else(|| bad("its length is malformed"))?;
                    // The same again changes nothing, and is sent by some (RFC 9110, 8.6).
                    match self.length.replace(length) {
                        None => {}
                        Some(before) if before == length => self.is_repeated = true,
                        Some(_) => return Err(bad("its lengths differ")),
                    }
                }
            }
            TRANSFER_ENCODING => {
                // Nobody could undo another coding once the header has ended here.
                if self.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(bad("its transfer coding is unknown"));
                }
                self.is_chunked = true;
                return Ok(false);
            }
            CONNECTION => {
                let mut names_others = false;
                for token in tokens(value) {
                    match token {
                        _ if token.eq_ignore_ascii_case(b"keep-alive") => self.keeps_alive = true,
                        _ if token.eq_ignore_ascii_case(b"close") => self.closes = true,
                        _ => names_others = true,
                    }
                }
                return Ok(names_others);
            }
            _ => {}
        }
        Ok(true)
    }

    /// Leaves one length where it was repeated.
    fn settle(&self, headers: &mut HeaderMap) {
        if let (true, Some(length)) = (self.is_repeated, self.length) {
            headers.insert(CONTENT_LENGTH, length.into());
        }
    }

    /// What follows the head (RFC 9112, 6.3).
    fn remains(&self, status: StatusCode, minor: u8, method: &Method) -> io::Result<Remains> {
        if self.is_chunked && minor == 0 {
            return Err(bad("it is in chunks, which HTTP/1.0 does not know"));
        }
        if self.is_chunked && self.length.is_some() {
            return Err(bad("it has both a length and chunks"));
        }
        let has_none = !may_have_body(status) || method == Method::HEAD;
        Ok(match self.length {
            _ if has_none => Remains::Nothing,
            _ if self.is_chunked => Remains::chunked(),
            Some(length) => Remains::sized(length),
            None => Remains::UntilClosed,
        })
    }

    const fn persists(&self, minor: u8) -> bool {
        !self.closes && (minor == 1 || self.keeps_alive)
    }
}

/// Whether there is an empty line; none ends before `searched`.
fn has_end(bytes: &[u8], searched: usize) -> bool {
    // The line feed before the empty line may have come earlier.
    let mut rest = &bytes[searched.saturating_sub(2)..];
    while let Some(found) = memchr(b'\n', rest) {
        rest = &rest[found + 1..];
        if matches!(rest, [b'\n', ..] | [b'\r', b'\n', ..]) {
            return true;
        }
    }
    false
}

/// An answer that cannot be understood.
pub(super) fn bad(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(text: &str, method: &Method) -> io::Result<Option<Head>> {
        Head::take(&mut text.into(), &mut 0, method)
    }

    /// What follows an answer to a GET with these headers.
    fn body(status: u16, lines: &str) -> Option<Remains> {
        let text = format!("HTTP/1.1 {status} X\r\n{lines}\r\n");
        Some(take(&text, &Method::GET).ok()?.unwrap().body)
    }

    #[test]
    fn a_body_ends_where_the_head_says() {
        assert_eq!(body(200, "Content-Length: 7 \r\n"), Some(Remains::Sized(7)));
        assert_eq!(body(200, "Content-Length: 0\r\n"), Some(Remains::Nothing));
        let chunked = "transfer-encoding: Chunked\r\n";
        assert_eq!(body(200, chunked), Some(Remains::chunked()));
        assert_eq!(body(200, ""), Some(Remains::UntilClosed));
        for status in [100, 101, 103, 204, 304] {
            assert_eq!(
                body(status, "content-length: 7\r\n"),
                Some(Remains::Nothing)
            );
        }
        let text = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let head = take(text, &Method::HEAD).unwrap().unwrap();
        assert_eq!(head.body, Remains::Nothing);
    }

    #[test]
    fn a_body_that_could_end_in_two_places_is_refused() {
        for lines in [
            "content-length: 1\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: chunked\r\ncontent-length: 1\r\n",
            "content-length: 1\r\ncontent-length: 2\r\n",
            "content-length: 1, 2\r\n",
            "content-length: 1,\r\n",
            "content-length: +1\r\n",
            "content-length:\r\n",
            "content-length: 99999999999999999999\r\n",
            "transfer-encoding: gzip\r\n",
            "transfer-encoding: gzip, chunked\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding:\r\n",
            "content-length : 1\r\n",
            "x: a\r\n content-length: 1\r\n",
            "x: a\rcontent-length: 1\r\n",
        ] {
            assert_eq!(body(200, lines), None, "{lines:?}");
        }
        let old = "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        assert!(take(old, &Method::GET).is_err());
    }

    #[test]
    fn a_length_that_is_repeated_is_passed_on_once() {
        for lines in [
            "content-length: 5\r\nContent-Length: 5\r\n",
            "content-length: 5, 5\r\n",
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
            let head = take(&text, &Method::GET).unwrap().unwrap();
            let lengths: Vec<_> = head
                .response
                .headers()
                .get_all(CONTENT_LENGTH)
                .iter()
                .collect();
            assert_eq!(lengths, ["5"]);
            assert_eq!(head.body, Remains::Sized(5));
        }
    }

    #[test]
    fn a_head_is_taken_when_its_last_byte_is_there() {
        for ends in ["\r\n", "\n"] {
            let text = ["HTTP/1.1 200 Fine", "a: b \t", "A:c", "", ""].join(ends);
            let (mut read, mut searched) = (BytesMut::new(), 0);
            for (place, byte) in text.bytes().enumerate() {
                read.extend_from_slice(&[byte]);
                let head = Head::take(&mut read, &mut searched, &Method::GET).unwrap();
                assert_eq!(head.is_some(), place + 1 == text.len(), "{place}");
                let Some(head) = head else { continue };
                let values: Vec<_> = head.response.headers().get_all("a").iter().collect();
                assert_eq!(values, ["b", "c"]);
                let reason = head.response.extensions().get::<ReasonPhrase>();
                assert_eq!(reason.map(ReasonPhrase::as_bytes), Some(&b"Fine"[..]));
            }
        }
    }

    #[test]
    fn a_head_is_bounded() {
        let head = |count: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(count));
        assert!(take(&head(HEADERS), &Method::GET).unwrap().is_some());
        assert!(take(&head(HEADERS + 1), &Method::GET).is_err());
        let begun = |length: usize| format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(length));
        assert!(take(&begun(HEAD_BYTES), &Method::GET).is_err());
        assert!(
            take(&begun(HEAD_BYTES / 2), &Method::GET)
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn a_connection_persists_unless_either_side_says_otherwise() {
        let persists = |text: &str| {
            let text = format!("HTTP/1.{text}\r\ncontent-length: 0\r\n\r\n");
            take(&text, &Method::GET).unwrap().unwrap().persists
        };
        assert!(persists("1 200 OK"));
        let endless = take("HTTP/1.1 200 OK\r\n\r\n", &Method::GET).unwrap();
        assert!(!endless.unwrap().persists);
        assert!(!persists("1 200 OK\r\nconnection: x, Close"));
        assert!(!persists(
            "1 200 OK\r\nconnection: close\r\nconnection: keep-alive"
        ));
        assert!(!persists("1 101 OK"));
        assert!(!persists("0 200 OK"));
        assert!(persists("0 200 OK\r\nconnection: Keep-Alive"));
        assert!(!persists("0 200 OK\r\nconnection: keep-alive, close"));
    }
}
