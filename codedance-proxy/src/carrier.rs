//! What an answer comes over.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::multiplex::Lease;
use crate::pool::Pool;
use crate::upstream::Upstream;

/// The connection, or the part of one, that the body of an answer comes over.
#[derive(Debug)]
pub(crate) enum Carrier {
    /// A connection of HTTP/1.1, which this exchange drives.
    Own(Box<Upstream>),
    /// A place on a connection of HTTP/2, which drives itself.
    Shared { lease: Lease, body: Incoming },
}

impl Carrier {
    /// The answer is complete: what carried it is free for the next request.
    pub(crate) fn give_back(self, pool: &Pool) {
        match self {
            Self::Own(upstream) => pool.put(upstream),
            Self::Shared { lease, .. } => drop(lease),
        }
    }
}

impl Body for Carrier {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Own(upstream) => upstream.poll_body(cx),
            Self::Shared { body, .. } => {
                let polled = Pin::new(body).poll_frame(cx);
                polled.map(|frame| frame.map(|frame| frame.map_err(io::Error::other)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(upstream) => upstream.is_end_stream(),
            Self::Shared { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(upstream) => upstream.size_hint(),
            Self::Shared { body, .. } => body.size_hint(),
        }
    }
}
