//! An answer's body in chunks (RFC 9112, 7.1).

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use http::header::HeaderMap;
use memchr::{memchr, memmem};

use super::head::{HEADERS, bad};
use super::lines::{self, Lines};
use crate::syntax::{take_up_to, trim};

/// So much of what nobody reads may stand behind the sizes of all chunks together.
const EXTENSION_BYTES: usize = 16 * 1024;
/// So many bytes of trailers may follow the last chunk.
const TRAILER_BYTES: usize = 16 * 1024;
/// Sixteen digits are all that fit.
const DIGITS: usize = 16;

/// How far a body in chunks has come.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Chunks {
    place: Place,
    /// So many bytes of extensions have been skipped.
    extensions: usize,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Size,
    /// So much of the chunk is to come.
    Data(u64),
    DataEnd,
    Trailers,
}

/// What comes next in a body.
#[derive(Debug)]
pub(super) enum Part {
    Data(Bytes),
    Trailers(HeaderMap),
    End,
}

impl Chunks {
    /// Takes the next part from what has been read; `None` if it has not come as a whole.
    ///
    /// # Errors
    /// If it cannot be understood, or more than data is larger than it may be.
    pub(super) fn take(&mut self, read: &mut BytesMut) -> io::Result<Option<Part>> {
        loop {
            self.place = match self.place {
                Place::Size => {
                    let Some(size) = self.size(read)? else {
                        return Ok(None);
                    };
                    match size {
                        0 => Place::Trailers,
                        size => Place::Data(size),
                    }
                }
                Place::Data(_) if read.is_empty() => return Ok(None),
                Place::Data(left) => {
                    let data = take_up_to(read, left);
                    self.place = match left - data.len() as u64 {
                        0 => Place::DataEnd,
                        left => Place::Data(left),
                    };
                    return Ok(Some(Part::Data(data)));
                }
                Place::DataEnd => match **read {
                    [b'\r', b'\n', ..] => {
                        read.advance(2);
                        Place::Size
                    }
                    [] | [b'\r'] => return Ok(None),
                    _ => return Err(bad("one of its chunks does not end where it should")),
                },
                Place::Trailers => return trailers(read),
            }
        }
    }

    /// The size of the chunk that begins.
    fn size(&mut self, read: &mut BytesMut) -> io::Result<Option<u64>> {
        let most = DIGITS + EXTENSION_BYTES - self.extensions;
        let Some(end) = memchr(b'\n', read) else {
            return match read.len() > most {
                true => Err(bad("its chunks are extended too much")),
                false => Ok(None),
            };
        };
        let malformed = || bad("the size of one of its chunks is malformed");
        let line = read[..end].strip_suffix(b"\r").ok_or_else(malformed)?;
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit());
        let (size, extension) = line.split_at(digits.count());
        let size = match size.len() {
            1..=DIGITS => std::str::from_utf8(size).ok(),
            _ => None,
        };
        let size = size.and_then(|size| u64::from_str_radix(size, 16).ok());
        let size = size.ok_or_else(malformed)?;
        // White space may stand before an extension, and some send it alone.
        if !matches!(trim(extension), [] | [b';', ..]) || extension.contains(&b'\r') {
            return Err(malformed());
        }
        self.extensions += extension.len();
        if self.extensions > EXTENSION_BYTES {
            return Err(bad("its chunks are extended too much"));
        }
        read.advance(end + 1);
        Ok(Some(size))
    }
}

/// What follows the last chunk. Nothing comes after trailers.
fn trailers(read: &mut BytesMut) -> io::Result<Option<Part>> {
    let end = match **read {
        [b'\r', b'\n', ..] => {
            read.advance(2);
            return Ok(Some(Part::End));
        }
        _ => memmem::find(read, b"\r\n\r\n"),
    };
    let Some(end) = end else {
        return match read.len() > TRAILER_BYTES {
            true => Err(bad("its trailers are too large")),
            false => Ok(None),
        };
    };
    // Without the empty line.
    let mut trailers = HeaderMap::new();
    for (count, line) in Lines::new(&read[..end + 2]).enumerate() {
        if count == HEADERS {
            return Err(bad("it has too many trailers"));
        }
        let (name, value) = lines::header(line)?;
        trailers.append(name, lines::value(value)?);
    }
    read.advance(end + 4);
    Ok(Some(Part::Trailers(trailers)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data, and the trailers if any, of a body that has come in parts of this size.
    fn decode(text: &str, size: usize) -> io::Result<Option<(String, Option<HeaderMap>)>> {
        let (mut chunks, mut read) = (Chunks::default(), BytesMut::new());
        let mut data = Vec::new();
        for part in text.as_bytes().chunks(size) {
            read.extend_from_slice(part);
            while let Some(part) = chunks.take(&mut read)? {
                let trailers = match part {
                    Part::Data(part) => {
                        assert!(!part.is_empty());
                        data.extend_from_slice(&part);
                        continue;
                    }
                    Part::Trailers(trailers) => Some(trailers),
                    Part::End => None,
                };
                return Ok(Some((String::from_utf8(data).unwrap(), trailers)));
            }
        }
        Ok(None)
    }

    #[test]
    fn chunks_are_understood_however_they_are_cut() {
        let text = "3\r\na\r\n\r\n00A;x=\"y\"\r\n0123456789\r\n1 \t; z\r\nb\r\n1 \r\nc\r\n0\r\n";
        for size in 1..=text.len() {
            let (data, trailers) = decode(&format!("{text}\r\n"), size).unwrap().unwrap();
            assert_eq!((&*data, trailers), ("a\r\n0123456789bc", None));
            let sums = format!("{text}x-sum: 1\r\nX-Sum:2\r\n\r\n");
            let (_, trailers) = decode(&sums, size).unwrap().unwrap();
            let trailers = trailers.unwrap();
            let sums: Vec<_> = trailers.get_all("x-sum").iter().collect();
            assert_eq!(sums, ["1", "2"]);
            assert!(decode(text, size).unwrap().is_none(), "it has not ended");
        }
    }

    #[test]
    fn chunks_that_could_be_read_in_two_ways_are_refused() {
        for bad in [
            "\r\n",
            "g\r\n",
            "-1\r\na\r\n",
            "+1\r\na\r\n",
            "0x1\r\na\r\n",
            " 1\r\na\r\n",
            "1\na\r\n",
            "1 2\r\na\r\n",
            "1;a\rb\r\na\r\n",
            "1\r\nab\r\n",
            "1\r\na\n0\r\n\r\n",
            "1\r\na\r\r\n",
            "10000000000000000\r\n",
            "0\r\n x: folded\r\n\r\n",
            "0\r\nx : 1\r\n\r\n",
            "0\r\nx\r\n\r\n",
            "0\r\nx: 1\n\nx: 2\r\n\r\n",
        ] {
            for size in [1, bad.len()] {
                assert!(decode(bad, size).is_err(), "{bad:?}");
            }
        }
    }

    #[test]
    fn what_is_not_data_is_bounded() {
        let extended = |length: usize| format!("1;{:x<length$}\r\na\r\n", "");
        let half = EXTENSION_BYTES / 2;
        let twice = extended(half - 1).repeat(2);
        assert!(decode(&twice, 1_000).unwrap().is_none());
        assert!(decode(&format!("{twice}1;\r\n"), 1_000).is_err());
        assert!(decode(&extended(3 * half)[..3 * half], 1_000).is_err());
        let trailer = format!("0\r\nx: {:y<TRAILER_BYTES$}", "");
        assert!(decode(&trailer, 1_000).is_err());
        let many = format!("0\r\n{}\r\n", "x: y\r\n".repeat(HEADERS + 1));
        assert!(decode(&many, 1_000).is_err());
    }
}
