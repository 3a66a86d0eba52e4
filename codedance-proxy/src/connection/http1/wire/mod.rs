//! The bytes that go to and come from a client.

mod answer;
mod upload;

use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tracing::debug;

use super::encode::Exchange;
use super::outbox::Outbox;
use super::{Question, Terms};
use crate::connection::Speaks;
use crate::connection::opening::{poll_begin, poll_speaks};
use crate::inbound::{Asked, Framing, Head, Inbound};
use crate::phase::Phase;
use crate::refusal::Refusal;
use crate::wakeups::{Enough, Wakeup};
use answer::Stalled;
pub(super) use upload::Rest;
use upload::Upload;

/// The client is gone, or might as well be.
#[derive(Debug)]
pub(super) struct Gone;

/// What a client does next.
#[derive(Debug)]
pub(super) enum Next {
    Asks(Question, Exchange),
    /// It has not sent a whole head in time.
    Late,
    /// It is done, or is not to ask any more.
    Leaves,
}

#[derive(Debug)]
pub(super) struct Wire<'c, 'w, S> {
    stream: &'c mut S,
    /// What has come and is not understood yet.
    pub(super) input: BytesMut,
    pub(super) output: Outbox,
    head: Head,
    wakeup: &'c mut Wakeup<'w>,
    stalled: Option<Stalled>,
    /// Nothing more is read: there is nothing, or it makes no sense.
    pub(super) is_read_up: bool,
    pub(super) upload: Option<Upload>,
}

impl<'c, 'w, S: AsyncRead + AsyncWrite + Unpin> Wire<'c, 'w, S> {
    /// A client of which something has been read.
    pub(super) fn new(stream: &'c mut S, input: BytesMut, wakeup: &'c mut Wakeup<'w>) -> Self {
        Self {
            stream,
            input,
            output: Outbox::default(),
            head: Head::default(),
            wakeup,
            stalled: None,
            is_read_up: false,
            upload: None,
        }
    }

    /// Looks which version of HTTP the client speaks. `None` when that is not to be known in time.
    pub(super) fn poll_speaks(
        &mut self,
        cx: &mut Context<'_>,
        until: Instant,
    ) -> Poll<Option<Speaks>> {
        if let Poll::Ready(speaks) = poll_speaks(self.stream, cx, &mut self.input) {
            return Poll::Ready(speaks.ok());
        }
        self.wakeup.poll_enough(cx, until).map(|_| None)
    }

    /// Whether this is no time for further requests.
    pub(super) fn is_finishing(&self) -> bool {
        self.wakeup.is_at(Phase::Finishing)
    }

    /// Whether more than empty lines of a head has come.
    pub(super) fn is_within_head(&self) -> bool {
        self.head.has_begun()
    }

    /// Waits for the next head, at most until `until`.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        terms: &Terms,
        until: Instant,
    ) -> Poll<Next> {
        loop {
            if !self.input.is_empty() {
                match self.head.read(&self.input, &terms.limits) {
                    Ok(Some(length)) => {
                        let bytes = self.take(length);
                        let asked = std::mem::take(&mut self.head).finish(&bytes, &terms.limits);
                        return Poll::Ready(self.ask(asked));
                    }
                    Ok(None) => {}
                    Err(refusal) => return Poll::Ready(self.ask(Err(refusal))),
                }
            }
            match self.poll_begin(cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0)) if self.head.has_begun() => {
                    let text = "the request's head ends in the middle";
                    return Poll::Ready(self.ask(Err(Refusal::bad_request(text))));
                }
                Poll::Ready(Ok(0)) => return Poll::Ready(Next::Leaves),
                Poll::Ready(Err(error)) => {
                    debug!(%error, "a client's connection ended badly");
                    return Poll::Ready(Next::Leaves);
                }
                Poll::Pending => {
                    let enough = self.wakeup.poll_enough(cx, until);
                    return enough.map(|enough| match enough {
                        Enough::Late => Next::Late,
                        Enough::Finishing => Next::Leaves,
                    });
                }
            }
        }
    }

    fn ask(&mut self, asked: Result<Asked, Refusal>) -> Next {
        match asked {
            Ok(asked) => {
                let exchange = Exchange::new(&asked);
                let body = self.body(asked.framing, asked.expects_continue);
                Next::Asks(Ok(Box::new(asked.request.map(|()| body))), exchange)
            }
            Err(refusal) => {
                // Nothing that follows can be understood.
                self.is_read_up = true;
                Next::Asks(Err(refusal), Exchange::UNKNOWN)
            }
        }
    }

    /// Reads the beginning of something. Zero when there is nothing more.
    fn poll_begin(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let read = ready!(poll_begin(self.stream, cx, &mut self.input));
        if !matches!(read, Ok(1..)) {
            self.is_read_up = true;
        }
        Poll::Ready(read)
    }

    /// Takes so much of what has come, with all of its memory if that is everything.
    fn take(&mut self, length: usize) -> Bytes {
        if length == self.input.len() {
            std::mem::take(&mut self.input).freeze()
        } else {
            self.input.split_to(length).freeze()
        }
    }

    /// The body of a request whose head has just been read.
    fn body(&mut self, framing: Framing, expects_continue: bool) -> Inbound {
        match framing {
            Framing::Sized(0) => Inbound::Empty,
            Framing::Sized(length) if length <= self.input.len() as u64 => {
                // It fits, since so much has come.
                let here = usize::try_from(length).unwrap_or(self.input.len());
                Inbound::Whole(self.take(here))
            }
            framing => {
                let (upload, body) = Upload::begin(framing, expects_continue);
                self.upload = Some(upload);
                body
            }
        }
    }
}
