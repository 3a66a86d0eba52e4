//! Where the body of a request ends (RFC 9112, 6).

use bytes::{Bytes, BytesMut};
use http::header::HeaderMap;

use super::chunks::Chunks;
use super::head::Framing;
use crate::refusal::Refusal;
use crate::syntax::take_up_to;

/// Finds the body in what comes after a head.
#[derive(Debug)]
pub(crate) enum Decoder {
    /// So many bytes are to come.
    Sized(u64),
    Chunked(Chunks),
}

/// A part of a body.
#[derive(Debug)]
pub(crate) enum Piece {
    Data(Bytes),
    /// The last one: nothing follows it.
    End(Option<HeaderMap>),
}

impl Decoder {
    pub(crate) fn new(framing: Framing) -> Self {
        match framing {
            Framing::Sized(length) => Self::Sized(length),
            Framing::Chunked => Self::Chunked(Chunks::default()),
        }
    }

    /// Takes the next piece of the body from what has come. `None` when more has to come first.
    pub(crate) fn next(&mut self, input: &mut BytesMut) -> Result<Option<Piece>, Refusal> {
        match self {
            Self::Sized(0) => Ok(Some(Piece::End(None))),
            Self::Sized(_) if input.is_empty() => Ok(None),
            Self::Sized(left) => {
                let data = take_up_to(input, *left);
                *left -= data.len() as u64;
                Ok(Some(Piece::Data(data)))
            }
            Self::Chunked(chunks) => chunks.next(input),
        }
    }

    /// How many bytes are to come, where that is known.
    pub(crate) const fn left(&self) -> Option<u64> {
        match self {
            Self::Sized(left) => Some(*left),
            Self::Chunked(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All of a body and what follows it, or the status of the refusal; `step` bytes at a time.
    fn read(framing: Framing, text: &str, step: usize) -> Result<(String, String), u16> {
        let mut decoder = Decoder::new(framing);
        let (mut input, mut body) = (BytesMut::new(), Vec::new());
        let mut trailers = String::new();
        let mut steps = text.as_bytes().chunks(step);
        loop {
            let next = decoder.next(&mut input);
            match next.map_err(|refusal| refusal.status.as_u16())? {
                Some(Piece::Data(data)) => body.extend_from_slice(&data),
                Some(Piece::End(end)) => {
                    for (name, value) in &end.unwrap_or_default() {
                        trailers += &format!("[{name}: {}]", value.to_str().unwrap());
                    }
                    break;
                }
                None => match steps.next() {
                    Some(more) => input.extend_from_slice(more),
                    None => return Ok((String::from_utf8(body).unwrap(), "more".to_owned())),
                },
            }
        }
        steps.for_each(|more| input.extend_from_slice(more));
        let rest = String::from_utf8(input.to_vec()).unwrap();
        Ok((String::from_utf8(body).unwrap() + &trailers, rest))
    }

    #[test]
    fn a_body_ends_where_it_says() {
        let chunks = "3\r\n\n\n\n\r\n00A\r\n0123456789\r\n0\r\nx-sum: 1\r\nY:\r\n\r\n";
        let whole = "\n\n\n0123456789[x-sum: 1][y: ]";
        for step in [1, 2, 3, 7, 1_000] {
            let sized = |text: &str| read(Framing::Sized(4), text, step).unwrap();
            assert_eq!(
                sized("G\r\n\nGET"),
                ("G\r\n\n".to_owned(), "GET".to_owned())
            );
            assert_eq!(sized("abc"), ("abc".to_owned(), "more".to_owned()));
            let chunked = |text: &str| read(Framing::Chunked, text, step).unwrap();
            let (body, rest) = chunked(&format!("{chunks}GET"));
            assert_eq!((&*body, &*rest), (whole, "GET"));
            for cut in 1..chunks.len() {
                assert_eq!(chunked(&chunks[..cut]).1, "more", "{cut}");
            }
        }
    }

    #[test]
    fn chunks_are_taken_by_the_letter() {
        let chunked = |body: &str| {
            let ways = [1, 2, 1_000_000].map(|step| read(Framing::Chunked, body, step).err());
            assert_eq!((ways[0], ways[1]), (ways[1], ways[2]), "{body:?}");
            ways[0]
        };
        assert_eq!(chunked("1\r\na\r\n0\r\n\r\n"), None);
        for bad in [
            "\r\n",
            "g\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x1\r\n",
            " 1\r\n",
            "1 \r\na\r\n",
            "1 ;a\r\n",
            "1\na\r\n",
            "1;a\na\r\n",
            "1;a\r\r\n",
            "1;\r\n",
            "1;;a\r\n",
            "1;a=b\r\na\r\n0\r\n\r\n",
            "1\r\nab\r\n",
            "1\r\na\n0\r\n\r\n",
            "1\r\na\r\r\n",
            "0\r\n\n",
            "0\r\n x: folded\r\n",
            "0\r\nx: 1\n\r\n",
            "0\r\nx: 1\r\r\n",
            "0\r\nx\r\n\r\n",
            "0\r\n: 1\r\n\r\n",
            "0\r\nx : 1\r\n\r\n",
            "0\r\nx: \u{1}\r\n\r\n",
            "10000000000000000\r\n",
        ] {
            assert_eq!(chunked(bad), Some(400), "{bad:?}");
        }
        let long = "x".repeat(5_000);
        assert_eq!(chunked(&format!("0\r\nx: {long}{long}\r\n\r\n")), Some(431));
    }
}
