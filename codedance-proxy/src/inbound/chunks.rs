//! A body in chunks (RFC 9112, 7.1).

use bytes::{Buf, BytesMut};
use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use memchr::memchr;

use super::body::Piece;
use crate::refusal::Refusal;
use crate::syntax::{header_name, take_up_to, trim};

/// So many bytes of trailers may follow one body.
const TRAILERS_LIMIT: usize = 8 * 1024;

const MALFORMED: Refusal = Refusal::bad_request("the request's body is not in proper chunks");
/// They mean nothing to anybody, and servers disagree on where they end.
const EXTENDED: Refusal = Refusal::bad_request("the chunks of the request's body have extensions");
const BAD_TRAILER: Refusal = Refusal::bad_request("a trailer of the request is malformed");

/// How far a body in chunks has come.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    part: Part,
    /// The size of the chunk while its digits are read, then how much of it is to come.
    left: u64,
    digits: u8,
    /// The lines of the trailers, each ended by a line feed.
    trailers: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Size,
    SizeEnds,
    Data,
    DataEnds,
    DataEnded,
    TrailerBegins,
    Trailer,
    TrailerEnds,
    BodyEnds,
    Over,
}

impl Chunks {
    /// Takes the next piece of the body from what has come. `None` when more has to come first.
    pub(crate) fn next(&mut self, input: &mut BytesMut) -> Result<Option<Piece>, Refusal> {
        let mut place = 0;
        while place < input.len() && !matches!(self.part, Part::Data | Part::Over) {
            self.part = self.read(input[place])?;
            place += 1;
        }
        input.advance(place);
        match self.part {
            Part::Over => Ok(Some(Piece::End(self.trailers()?))),
            Part::Data if !input.is_empty() => {
                let data = take_up_to(input, self.left);
                self.left -= data.len() as u64;
                if self.left == 0 {
                    self.part = Part::DataEnds;
                }
                Ok(Some(Piece::Data(data)))
            }
            _ => Ok(None),
        }
    }

    fn read(&mut self, byte: u8) -> Result<Part, Refusal> {
        match (self.part, byte) {
            (Part::Size, _) if byte.is_ascii_hexdigit() => {
                // Sixteen digits are all that fit; more would overflow differently elsewhere.
                if self.digits == 16 {
                    return Err(MALFORMED);
                }
                self.digits += 1;
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                self.left = self.left << 4 | u64::from(digit);
                Ok(Part::Size)
            }
            (Part::Size, b'\r') if self.digits > 0 => Ok(Part::SizeEnds),
            (Part::Size, b';' | b' ' | b'\t') if self.digits > 0 => Err(EXTENDED),
            (Part::SizeEnds, b'\n') => {
                self.digits = 0;
                Ok(if self.left == 0 {
                    Part::TrailerBegins
                } else {
                    Part::Data
                })
            }
            (Part::DataEnds, b'\r') => Ok(Part::DataEnded),
            (Part::DataEnded, b'\n') => Ok(Part::Size),
            (Part::TrailerBegins, b'\r') => Ok(Part::BodyEnds),
            (Part::TrailerBegins, b' ' | b'\t') => Err(MALFORMED),
            (Part::Trailer, b'\r') => Ok(Part::TrailerEnds),
            (Part::TrailerEnds, b'\n') => {
                self.trailers.push(b'\n');
                Ok(Part::TrailerBegins)
            }
            (Part::BodyEnds, b'\n') => Ok(Part::Over),
            (Part::TrailerBegins | Part::Trailer, _) if !matches!(byte, b'\n' | b'\0') => {
                self.trailers.push(byte);
                if self.trailers.len() > TRAILERS_LIMIT {
                    return Err(Refusal::new(
                        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                        "the request's trailers are too large",
                    ));
                }
                Ok(Part::Trailer)
            }
            _ => Err(MALFORMED),
        }
    }

    fn trailers(&self) -> Result<Option<HeaderMap>, Refusal> {
        if self.trailers.is_empty() {
            return Ok(None);
        }
        let lines = self.trailers.split(|byte| *byte == b'\n');
        let trailers = lines.filter(|line| !line.is_empty()).map(trailer);
        trailers.collect::<Result<_, _>>().map(Some)
    }
}

fn trailer(line: &[u8]) -> Result<(HeaderName, HeaderValue), Refusal> {
    let colon = memchr(b':', line).ok_or(BAD_TRAILER)?;
    let name = header_name(&line[..colon]).map_err(|_| BAD_TRAILER)?;
    let value = HeaderValue::from_bytes(trim(&line[colon + 1..]));
    Ok((name, value.map_err(|_| BAD_TRAILER)?))
}
