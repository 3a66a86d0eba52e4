//! Heads and trailers, line by line (RFC 9112, 2.2 and 5).

use std::io;

use http::header::{HeaderName, HeaderValue};
use memchr::memchr;

use super::head::bad;
use crate::syntax::{header_name, trim};

/// The lines that are there as a whole, without what ends them: CR LF, or LF alone.
#[derive(Debug)]
pub(super) struct Lines<'b> {
    bytes: &'b [u8],
    /// How many bytes have been taken.
    read: usize,
}

impl<'b> Lines<'b> {
    pub(super) const fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, read: 0 }
    }

    /// How many bytes have been taken.
    pub(super) const fn read(&self) -> usize {
        self.read
    }
}

impl<'b> Iterator for Lines<'b> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<&'b [u8]> {
        let rest = &self.bytes[self.read..];
        let end = memchr(b'\n', rest)?;
        self.read += end + 1;
        let line = &rest[..end];
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

/// Takes a line apart. What is no name or no value is refused, also lines that continue the one
/// before (RFC 9112, 5.2), and white space before the colon.
pub(super) fn header(line: &[u8]) -> io::Result<(HeaderName, &[u8])> {
    // A loop, since names are short.
    let colon = line.iter().position(|byte| *byte == b':');
    let colon = colon.ok_or_else(|| bad("one of its headers has no colon"))?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    Ok((header_name(name).map_err(bad)?, trim(value)))
}

/// A copy of the value: short ones cost less than to keep alive, and to count users of, the buffer that
/// they lie in.
pub(super) fn value(value: &[u8]) -> io::Result<HeaderValue> {
    HeaderValue::from_bytes(value).map_err(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What this line says, as httparse and as this reads it.
    fn both(line: &[u8]) -> [Option<(String, Vec<u8>)>; 2] {
        let ours = header(line).and_then(|(name, text)| {
            let value = value(text)?;
            Ok((name.as_str().to_owned(), value.as_bytes().to_vec()))
        });
        let text = [b"HTTP/1.1 200 OK\r\n", line, b"\r\n\r\n"].concat();
        let mut headers = [httparse::EMPTY_HEADER; 2];
        let mut theirs = httparse::Response::new(&mut headers);
        let parsed = theirs.parse(&text).is_ok_and(|status| status.is_complete());
        let theirs = match theirs.headers {
            [header] if parsed => Some((header.name.to_lowercase(), header.value.to_vec())),
            _ => None,
        };
        [ours.ok(), theirs]
    }

    #[test]
    fn a_line_is_what_httparse_takes_it_for() {
        let mut taken = 0;
        for known in [
            "x-a: b c\t d ",
            "Content-Length:7",
            "a:",
            "vary :b",
            " a: b",
        ] {
            for place in 0..known.len() {
                for byte in (0..=u8::MAX).filter(|byte| *byte != b'\n') {
                    let mut line = known.as_bytes().to_vec();
                    line[place] = byte;
                    let [ours, theirs] = both(&line);
                    assert_eq!(ours, theirs, "{:?}", String::from_utf8_lossy(&line));
                    taken += usize::from(ours.is_some());
                }
            }
        }
        assert!(taken > 1_000, "{taken}");
    }
}
