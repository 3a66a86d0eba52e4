//! What an exchange with an endpoint goes over.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming};

use crate::multiplex::Lease;
use crate::pool::{Pool, Upstream, look};

/// The connection, or the part of one, that an answer comes over.
#[derive(Debug)]
pub(crate) enum Carrier {
    /// A connection of HTTP/1.1, which this exchange drives.
    Own(Box<Upstream>),
    /// A place on a connection of HTTP/2, which drives itself.
    Shared(Lease),
}

impl Carrier {
    /// The next part of an answer's body.
    pub(crate) fn poll_body(
        &mut self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self {
            Self::Own(upstream) => {
                // Only driving the connection brings more, so nobody needs to be woken by the body.
                let polled = look(|cx| Pin::new(&mut *body).poll_frame(cx));
                if polled.is_ready() {
                    return polled;
                }
                upstream.drive(cx);
                look(|cx| Pin::new(&mut *body).poll_frame(cx))
            }
            Self::Shared(_) => Pin::new(body).poll_frame(cx),
        }
    }

    /// The answer is complete: what carried it is free for the next request.
    pub(crate) fn give_back(self, pool: &Pool) {
        match self {
            Self::Own(upstream) => pool.put(upstream),
            Self::Shared(lease) => drop(lease),
        }
    }
}
