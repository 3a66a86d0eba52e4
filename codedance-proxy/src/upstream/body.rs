//! The body of an answer while it comes (RFC 9112, 6.3).

use std::io;

use bytes::BytesMut;
use hyper::body::SizeHint;

use super::chunks::{Chunks, Part};
use crate::syntax::take_up_to;

/// What remains of an answer behind its head.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Remains {
    Nothing,
    /// So many bytes, at least one.
    Sized(u64),
    Chunked(Chunks),
    /// All that comes until the endpoint closes the connection.
    UntilClosed,
}

impl Remains {
    pub(super) const fn sized(length: u64) -> Self {
        match length {
            0 => Self::Nothing,
            length => Self::Sized(length),
        }
    }

    pub(super) fn chunked() -> Self {
        Self::Chunked(Chunks::default())
    }

    /// Takes the next part from what has been read; `None` if it has not come.
    ///
    /// # Errors
    /// If it cannot be understood.
    pub(super) fn take(&mut self, read: &mut BytesMut) -> io::Result<Option<Part>> {
        let part = match self {
            Self::Nothing => Some(Part::End),
            Self::Sized(_) | Self::UntilClosed if read.is_empty() => None,
            Self::UntilClosed => Some(Part::Data(read.split().freeze())),
            Self::Sized(left) => {
                let data = take_up_to(read, *left);
                *self = Self::sized(*left - data.len() as u64);
                Some(Part::Data(data))
            }
            Self::Chunked(chunks) => {
                let part = chunks.take(read)?;
                if matches!(part, Some(Part::Trailers(_) | Part::End)) {
                    *self = Self::Nothing;
                }
                part
            }
        };
        Ok(part)
    }

    /// The endpoint has closed the connection.
    ///
    /// # Errors
    /// If there should have come more.
    pub(super) fn close(&mut self) -> io::Result<()> {
        match self {
            Self::Nothing | Self::UntilClosed => {
                *self = Self::Nothing;
                Ok(())
            }
            Self::Sized(_) | Self::Chunked(_) => {
                let text = "the endpoint closed the connection in the middle of its answer";
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, text))
            }
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Nothing => SizeHint::with_exact(0),
            Self::Sized(left) => SizeHint::with_exact(*left),
            Self::Chunked(_) | Self::UntilClosed => SizeHint::default(),
        }
    }
}
