//! The body of a request while it comes.

use std::io;
use std::mem::take;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::body::Frame;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::poll_read_buf;
use tracing::debug;

use super::{Gone, Wire};
use crate::inbound::{Decoder, Demand, Framing, Giver, Inbound, InboundError, Piece, hand_over};

/// Room for the end of a body, and for what comes behind it.
const BODY_END: usize = 8 * 1024;
/// How much of a body is read at once.
const BODY_ROOM: usize = 64 * 1024;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The body of a request that is still coming.
#[derive(Debug)]
pub(in super::super) struct Upload {
    decoder: Decoder,
    giver: Giver,
    /// The client waits for a word before it sends it.
    expects_continue: bool,
}

impl Upload {
    /// The body, and as what it is passed on.
    pub(super) fn begin(framing: Framing, expects_continue: bool) -> (Self, Inbound) {
        let decoder = Decoder::new(framing);
        let (giver, taker) = hand_over(decoder.left());
        let upload = Self {
            decoder,
            giver,
            expects_continue,
        };
        (upload, Inbound::Stream(taker))
    }
}

/// How a request's body ends that nobody reads any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Rest {
    /// It has come.
    Read,
    /// It has not: what follows cannot be found.
    Unread,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<'_, '_, S> {
    /// Reads the request's body for who wants it, and notices when the client goes away. Ready when
    /// something has been handed over: who takes it has to be polled, and then this again.
    pub(in super::super) fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        let Some(upload) = &mut self.upload else {
            return self.poll_gone(cx).map(Err);
        };
        if upload.giver.demand(cx) != Demand::Piece {
            return Poll::Pending;
        }
        loop {
            let Some(upload) = &mut self.upload else {
                return Poll::Ready(Ok(()));
            };
            match upload.decoder.next(&mut self.input) {
                Ok(Some(Piece::Data(data))) => {
                    upload.giver.give(Ok(Frame::data(data)), cx);
                    if upload.decoder.left() == Some(0) {
                        self.end_upload(cx);
                    }
                    return Poll::Ready(Ok(()));
                }
                Ok(Some(Piece::End(trailers))) => {
                    if let Some(trailers) = trailers {
                        upload.giver.give(Ok(Frame::trailers(trailers)), cx);
                    }
                    self.end_upload(cx);
                }
                Ok(None) => match ready!(self.poll_more(cx)) {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => self.fail_upload(InboundError::Cut, cx),
                },
                Err(refusal) => self.fail_upload(InboundError::Refused(refusal), cx),
            }
        }
    }

    /// Reads more of the body.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(upload) = &mut self.upload else {
            return Poll::Ready(Ok(0));
        };
        if take(&mut upload.expects_continue) {
            self.output.write(|out| out.extend_from_slice(CONTINUE));
        }
        if !self.output.is_empty() {
            // It may wait: if the client is gone, reading shows it.
            _ = self.output.poll_send(cx, Pin::new(&mut *self.stream));
        }
        let left = upload.decoder.left().map(usize::try_from);
        let room = left.map_or(BODY_ROOM, |left| {
            left.map_or(BODY_ROOM, |n| n.min(BODY_ROOM))
        });
        let room = room.max(BODY_END);
        self.poll_fill(cx, room)
    }

    fn end_upload(&mut self, cx: &Context<'_>) {
        if let Some(upload) = self.upload.take() {
            upload.giver.end(cx);
        }
    }

    fn fail_upload(&mut self, error: InboundError, cx: &Context<'_>) {
        debug!(%error, "the body of a request has no end");
        self.is_read_up = true;
        if let Some(upload) = self.upload.take() {
            upload.giver.give(Err(error), cx);
        }
    }

    /// Ready when the client has closed the connection, or its side of it. Reads ahead a little to
    /// know that.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Gone> {
        if self.is_read_up || !self.input.is_empty() {
            return Poll::Pending;
        }
        match ready!(self.poll_begin(cx)) {
            Ok(1..) => Poll::Pending,
            Ok(0) | Err(_) => Poll::Ready(Gone),
        }
    }

    /// Whether the body of a request that is answered has come, or can come. Ready when nobody reads
    /// it any more; it is not waited for then.
    pub(in super::super) fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Rest> {
        while let Some(upload) = &self.upload {
            if upload.giver.demand(cx) == Demand::Gone {
                return Poll::Ready(self.discard(cx));
            }
            if ready!(self.poll_upload(cx)).is_err() {
                return Poll::Ready(Rest::Unread);
            }
        }
        Poll::Ready(Rest::Read)
    }

    /// Looks whether nobody reads the request's body, and whether it has come then.
    pub(in super::super) fn is_rest_lost(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(upload) = &self.upload else {
            return false;
        };
        upload.giver.demand(cx) == Demand::Gone && self.discard(cx) == Rest::Unread
    }

    /// Throws away what has come of a body, and what comes at once.
    fn discard(&mut self, cx: &mut Context<'_>) -> Rest {
        let mut has_read = false;
        while let Some(upload) = &mut self.upload {
            match upload.decoder.next(&mut self.input) {
                Ok(Some(Piece::Data(_))) => {}
                Ok(Some(Piece::End(_))) => self.upload = None,
                Ok(None) if !has_read => {
                    has_read = true;
                    if !matches!(self.poll_fill(cx, BODY_ROOM), Poll::Ready(Ok(1..))) {
                        return Rest::Unread;
                    }
                }
                Ok(None) | Err(_) => return Rest::Unread,
            }
        }
        Rest::Read
    }

    /// Reads on within a body. Zero when there is nothing more.
    fn poll_fill(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<io::Result<usize>> {
        if self.input.capacity() - self.input.len() < room / 4 {
            // Takes the same memory again if nobody holds what was read into it.
            self.input.reserve(room);
        }
        let read = ready!(poll_read_buf(
            Pin::new(&mut *self.stream),
            cx,
            &mut self.input
        ));
        if !matches!(read, Ok(1..)) {
            self.is_read_up = true;
        }
        Poll::Ready(read)
    }

    /// From now on the client is told nothing but the answer.
    pub(in super::super) fn begin_answer(&mut self) {
        if let Some(upload) = &mut self.upload {
            upload.expects_continue = false;
        }
    }
}
