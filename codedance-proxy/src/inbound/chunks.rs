//! A body in chunks (RFC 9112, 7.1).

use http::StatusCode;

use crate::refusal::Refusal;

/// So many bytes of trailers may follow one body.
const TRAILERS_LIMIT: usize = 8 * 1024;

const MALFORMED: Refusal = Refusal::bad_request("the request's body is not in proper chunks");
/// They mean nothing to anybody, and servers disagree on where they end.
const EXTENDED: Refusal = Refusal::bad_request("the chunks of the request's body have extensions");

/// How far a body in chunks has come.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    part: Part,
    /// The size of the chunk while its digits are read, then how much of it is to come.
    left: u64,
    digits: u8,
    trailers: usize,
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
}

impl Chunks {
    /// Reads on, and returns the length of what belongs to the body when it ends there.
    ///
    /// An error comes with the length of what was in order.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<Option<usize>, (usize, Refusal)> {
        let mut place = 0;
        while place < bytes.len() {
            if self.part == Part::Data {
                let rest = bytes.len() - place;
                let here = usize::try_from(self.left).map_or(rest, |left| left.min(rest));
                self.left -= here as u64;
                place += here;
                if self.left == 0 {
                    self.part = Part::DataEnds;
                }
                continue;
            }
            let ended = self.part == Part::BodyEnds && bytes[place] == b'\n';
            self.part = self
                .next(bytes[place])
                .map_err(|refusal| (place, refusal))?;
            place += 1;
            if ended {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    fn next(&mut self, byte: u8) -> Result<Part, Refusal> {
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
            (Part::TrailerEnds, b'\n') => Ok(Part::TrailerBegins),
            (Part::BodyEnds, b'\n') => Ok(Part::Size),
            (Part::TrailerBegins | Part::Trailer, _) if !matches!(byte, b'\n' | b'\0') => {
                self.trailers += 1;
                if self.trailers > TRAILERS_LIMIT {
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
}
