//! The head of a request (RFC 9112, 2 to 6), line by line.
//!
//! Each line is read once, when it has come: what it says of the connection and of the body is noted,
//! and where its parts lie. When the head has ended, its headers are slices of the buffer it came in.

use std::ops::Range;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue};
use http::uri::Uri;
use http::{Method, Request, StatusCode, Version};
use memchr::memchr;

use super::first_line::{BAD_REQUEST_LINE, FirstLine, TARGET_TOO_LONG, first_line};
use crate::limits::Limits;
use crate::refusal::{BODY_TOO_LARGE, Refusal};
use crate::syntax::{decimal, header_name, lists, trim, trim_start};

/// What follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Sized(u64),
    Chunked,
}

/// What the head of a request says.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) request: Request<()>,
    pub(crate) framing: Framing,
    /// Whether another request may follow on the connection (RFC 9112, 9.3).
    pub(crate) keeps_alive: bool,
    /// Whether the client waits for a word before it sends the body (RFC 9110, 10.1.1).
    pub(crate) expects_continue: bool,
    /// Whether the client takes trailers (RFC 9110, 10.1.4).
    pub(crate) takes_trailers: bool,
}

/// A head of which some lines have been read.
///
/// Places are counted from the first byte of the head.
#[derive(Debug, Default)]
pub(crate) struct Head {
    /// Where the line begins that has not ended.
    line: usize,
    /// Up to here no line ends that has not been read.
    searched: usize,
    first: Option<FirstLine>,
    fields: Vec<Field>,
    hosts: usize,
    length: Option<u64>,
    encoding: Option<Encoding>,
    says_close: bool,
    says_keep_alive: bool,
    expects_continue: bool,
    takes_trailers: bool,
}

/// Where name and value of a header lie.
#[derive(Clone, Copy, Debug)]
struct Field {
    name: Place,
    value: Place,
}

/// Heads are far smaller than this can count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    start: u32,
    end: u32,
}

impl Place {
    pub(super) const fn new(start: usize, length: usize) -> Self {
        Self {
            start: start as u32,
            end: (start + length) as u32,
        }
    }

    const fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Chunked,
    /// Something else, or several.
    Unknown,
}

/// What [`Uri`] can hold.
const LONGEST_TARGET: usize = 65_534;
/// So many headers come at most, as a rule.
const USUAL: usize = 16;
/// So many headers are added to a request on its way, at most as a rule.
const ADDED: usize = 4;

pub(crate) const HEAD_TOO_LARGE: Refusal = Refusal::new(
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    "the request's headers are too large or too many",
);
const BAD_LINE: Refusal =
    Refusal::bad_request("a line of the request's head does not end properly");
const BAD_HEADER: Refusal = Refusal::bad_request("a header of the request is malformed");
pub(crate) const BAD_LENGTH: Refusal =
    Refusal::bad_request("the length of the request's body is malformed or given twice");
const BAD_HOST: Refusal = Refusal::bad_request("a request needs exactly one Host header");
pub(crate) const BAD_HOST_VALUE: Refusal =
    Refusal::bad_request("the request's Host header is malformed");
impl Head {
    /// Reads the lines that have ended since. When the head has ended, returns its length.
    pub(crate) fn read(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, Refusal> {
        while let Some(found) = memchr(b'\n', &bytes[self.searched..]) {
            let (start, end) = (self.line, self.searched + found);
            // What else a line may not hold is no part of a method, a target, a name or a value.
            let line = bytes[start..end].strip_suffix(b"\r").ok_or(BAD_LINE)?;
            (self.line, self.searched) = (end + 1, end + 1);
            if end + 1 > limits.head_bytes {
                return Err(self.too_large());
            }
            match (self.first, line) {
                // Empty lines before a request are to be ignored (RFC 9112, 2.2).
                (None, []) => {}
                (None, line) => self.first = Some(first_line(line, start, limits)?),
                (Some(_), []) => return Ok(Some(end + 1)),
                (Some(_), line) => {
                    if self.fields.len() == limits.headers {
                        return Err(HEAD_TOO_LARGE);
                    }
                    self.header(line, start)?;
                }
            }
        }
        self.searched = bytes.len();
        if bytes.len() > limits.head_bytes {
            return Err(self.too_large());
        }
        Ok(None)
    }

    /// What a head says that has ended; `bytes` is all of it.
    pub(crate) fn finish(self, bytes: &Bytes, limits: &Limits) -> Result<Asked, Refusal> {
        let first = self.first.ok_or(BAD_REQUEST_LINE)?;
        let framing = self.framing(first.version, limits)?;
        let method = Method::from_bytes(&bytes[first.method.range()]);
        let target = bytes.slice(first.target.range());
        if target.len() > LONGEST_TARGET {
            return Err(TARGET_TOO_LONG);
        }
        let target = Uri::from_maybe_shared(target);
        let mut headers = HeaderMap::with_capacity(self.fields.len() + ADDED);
        for field in &self.fields {
            let name = header_name(&bytes[field.name.range()]);
            let value = HeaderValue::from_maybe_shared(bytes.slice(field.value.range()));
            headers.append(
                name.map_err(|_| BAD_HEADER)?,
                value.map_err(|_| BAD_HEADER)?,
            );
        }
        let mut request = Request::new(());
        *request.method_mut() = method.map_err(|_| BAD_REQUEST_LINE)?;
        *request.uri_mut() = target.map_err(|_| BAD_REQUEST_LINE)?;
        *request.version_mut() = first.version;
        *request.headers_mut() = headers;
        let is_1_1 = first.version == Version::HTTP_11;
        Ok(Asked {
            request,
            framing,
            keeps_alive: !self.says_close && (is_1_1 || self.says_keep_alive),
            expects_continue: self.expects_continue && is_1_1,
            takes_trailers: self.takes_trailers && is_1_1,
        })
    }

    /// Whether more than empty lines has come.
    pub(crate) fn has_begun(&self) -> bool {
        self.first.is_some() || self.searched > self.line
    }

    /// What fills the head without end is the target until the first line has ended.
    fn too_large(&self) -> Refusal {
        match self.first {
            None => TARGET_TOO_LONG,
            Some(_) => HEAD_TOO_LARGE,
        }
    }

    fn header(&mut self, line: &[u8], start: usize) -> Result<(), Refusal> {
        // A line that begins with white space would continue the one before, which was given up
        // long ago, and which not everybody reads in the same way.
        if matches!(line[0], b' ' | b'\t') {
            return Err(BAD_HEADER);
        }
        let colon = memchr(b':', line).ok_or(BAD_HEADER)?;
        let (name, rest) = (&line[..colon], trim_start(&line[colon + 1..]));
        let value_at = start + line.len() - rest.len();
        let value = trim(rest);
        if name.is_empty() || matches!(name[colon - 1], b' ' | b'\t') {
            return Err(BAD_HEADER);
        }
        if self.fields.capacity() == 0 {
            self.fields = Vec::with_capacity(USUAL);
        }
        self.fields.push(Field {
            name: Place::new(start, name.len()),
            value: Place::new(value_at, value.len()),
        });
        // By length first: nearly no header is one of these.
        match name.len() {
            2 if name.eq_ignore_ascii_case(b"te") => {
                self.takes_trailers |= lists(value, "trailers");
            }
            4 if name.eq_ignore_ascii_case(b"host") => {
                self.hosts += 1;
                if !value.iter().all(|byte| may_be_in_host(*byte)) {
                    return Err(BAD_HOST_VALUE);
                }
            }
            6 if name.eq_ignore_ascii_case(b"expect") => {
                self.expects_continue = value.eq_ignore_ascii_case(b"100-continue");
            }
            10 if name.eq_ignore_ascii_case(b"connection") => {
                self.says_close |= lists(value, "close");
                self.says_keep_alive |= lists(value, "keep-alive");
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = decimal(value).ok_or(BAD_LENGTH)?;
                if self.length.replace(length).is_some() {
                    return Err(BAD_LENGTH);
                }
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                let encoding = if value.eq_ignore_ascii_case(b"chunked") {
                    Encoding::Chunked
                } else {
                    Encoding::Unknown
                };
                if self.encoding.replace(encoding).is_some() {
                    return Err(BAD_LENGTH);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn framing(&self, version: Version, limits: &Limits) -> Result<Framing, Refusal> {
        match (version, self.hosts) {
            (Version::HTTP_10, 0) | (_, 1) => {}
            _ => return Err(BAD_HOST),
        }
        match (self.encoding, self.length) {
            (None, Some(length)) if limits.body_bytes.is_some_and(|most| length > most) => {
                Err(BODY_TOO_LARGE)
            }
            (None, length) => Ok(Framing::Sized(length.unwrap_or(0))),
            (Some(Encoding::Chunked), None) if version == Version::HTTP_11 => Ok(Framing::Chunked),
            (Some(Encoding::Unknown), None) => Err(Refusal::new(
                StatusCode::NOT_IMPLEMENTED,
                "the request's body is encoded in a way that this proxy does not know",
            )),
            // Two lengths, or a client that cannot mean what it says.
            (Some(_), _) => Err(Refusal::bad_request(
                "the request's body has a length and an encoding that exclude each other",
            )),
        }
    }
}

/// A name, an address, a port (RFC 3986, 3.2.2), and no comma, which joins two.
pub(crate) fn may_be_in_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:[]".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Result<Option<Asked>, Refusal> {
        let (mut head, limits) = (Head::default(), Limits::default());
        let Some(length) = head.read(text.as_bytes(), &limits)? else {
            return Ok(None);
        };
        let bytes = Bytes::copy_from_slice(&text.as_bytes()[..length]);
        head.finish(&bytes, &limits).map(Some)
    }

    fn read(text: &str) -> Result<Option<Framing>, u16> {
        let framing = asked(text).map(|asked| asked.map(|asked| asked.framing));
        framing.map_err(|refusal| refusal.status.as_u16())
    }

    #[test]
    fn what_follows_a_head_is_what_it_says() {
        let with = |lines: &str| read(&format!("POST / HTTP/1.1\r\nHost: x\r\n{lines}\r\n"));
        assert_eq!(with(""), Ok(Some(Framing::Sized(0))));
        assert_eq!(
            with("Content-Length:\t 7 \r\n"),
            Ok(Some(Framing::Sized(7)))
        );
        assert_eq!(
            with("TRANSFER-ENCODING: chunked\r\n"),
            Ok(Some(Framing::Chunked))
        );
        for bad in [
            "",
            "+7",
            "-1",
            "7, 7",
            "7 7",
            "0x7",
            "7.0",
            "99999999999999999999",
        ] {
            assert_eq!(
                with(&format!("Content-Length: {bad}\r\n")),
                Err(400),
                "{bad}"
            );
        }
        // White space is blanks and tabs alone.
        for value in ["7\u{c}", "\u{b}7"] {
            assert_eq!(with(&format!("Content-Length: {value}\r\n")), Err(400));
            assert_eq!(with(&format!("X: {value}\r\n")), Err(400));
        }
        for unknown in ["gzip", "gzip, chunked", "chunked, chunked", "xchunked", ""] {
            let line = format!("Transfer-Encoding: {unknown}\r\n");
            assert_eq!(with(&line), Err(501), "{unknown}");
        }
    }
}
