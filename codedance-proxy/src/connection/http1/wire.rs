//! The bytes that go to and come from a client.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::io::poll_read_buf;
use tracing::debug;

use super::encode::{Encoder, Exchange};
use super::outbox::Outbox;
use super::{Question, Terms};
use crate::connection::Speaks;
use crate::connection::opening::{poll_begin, poll_speaks};
use crate::inbound::{Asked, Decoder, Demand, Framing, Giver, Head, Inbound, InboundError, Piece};
use crate::phase::Phase;
use crate::refusal::Refusal;
use crate::wakeups::Wakeup;

/// Room for the end of a body, and for what comes behind it.
const BODY_END: usize = 8 * 1024;
/// How much of a body is read at once.
const BODY_ROOM: usize = 64 * 1024;
/// So much of an answer is gathered before it is sent.
const ANSWER_ROOM: usize = 64 * 1024;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

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

/// The body of a request that is still coming.
#[derive(Debug)]
pub(super) struct Upload {
    decoder: Decoder,
    giver: Giver,
    /// The client waits for a word before it sends it.
    expects_continue: bool,
}

/// A client takes nothing at the moment.
#[derive(Clone, Copy, Debug)]
struct Stalled {
    /// What it had taken before.
    sent: u64,
    until: Instant,
}

/// How a request's body ends that nobody reads any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// It has come.
    Read,
    /// It has not: what follows cannot be found.
    Unread,
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

    /// Looks which version of HTTP the client speaks. `None` when that is not to be known in time.
    pub(super) fn poll_speaks(
        &mut self,
        cx: &mut Context<'_>,
        until: Instant,
    ) -> Poll<Option<Speaks>> {
        if let Poll::Ready(speaks) = poll_speaks(self.stream, cx, &mut self.input) {
            return Poll::Ready(speaks.ok());
        }
        match self.wakeup.poll(cx, until) {
            Poll::Pending if self.is_finishing() => Poll::Ready(None),
            is_late => is_late.map(|()| None),
        }
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
                    return match self.wakeup.poll(cx, until) {
                        Poll::Pending if self.is_finishing() => Poll::Ready(Next::Leaves),
                        is_late => is_late.map(|()| Next::Late),
                    };
                }
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
                let decoder = Decoder::new(framing);
                let (giver, taker) = crate::inbound::hand_over(decoder.left());
                self.upload = Some(Upload {
                    decoder,
                    giver,
                    expects_continue,
                });
                Inbound::Stream(taker)
            }
        }
    }

    /// Reads the request's body for who wants it, and notices when the client goes away. Ready when
    /// something has been handed over: who takes it has to be polled, and then this again.
    pub(super) fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
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
        if std::mem::take(&mut upload.expects_continue) {
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
    pub(super) fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Rest> {
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
    pub(super) fn is_rest_lost(&mut self, cx: &mut Context<'_>) -> bool {
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

    /// From now on the client is told nothing but the answer.
    pub(super) fn begin_answer(&mut self) {
        if let Some(upload) = &mut self.upload {
            upload.expects_continue = false;
        }
    }

    /// Sends an answer's body, and what stands before it. Ready when all of it has been sent, or all
    /// that has come of one that broke off.
    pub(super) fn poll_answer<B>(
        &mut self,
        cx: &mut Context<'_>,
        encoder: &mut Encoder,
        mut body: Pin<&mut Option<B>>,
        exchange: Exchange,
        terms: &Terms,
    ) -> Poll<Result<(), Gone>>
    where
        B: Body<Data = Bytes>,
    {
        loop {
            let mut is_waiting = false;
            while let Some(content) = body.as_mut().as_pin_mut()
                && self.output.len() < ANSWER_ROOM
            {
                let frame = match content.poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => frame,
                    Poll::Ready(Some(Err(_))) => {
                        body.set(None);
                        encoder.abandon();
                        continue;
                    }
                    Poll::Ready(None) => {
                        encoder.end(&mut self.output, None, exchange);
                        body.set(None);
                        continue;
                    }
                    Poll::Pending => {
                        is_waiting = true;
                        break;
                    }
                };
                match frame.into_data() {
                    Ok(data) => {
                        encoder.data(&mut self.output, data);
                        if body
                            .as_ref()
                            .as_pin_ref()
                            .is_none_or(|body| body.is_end_stream())
                        {
                            encoder.end(&mut self.output, None, exchange);
                        }
                    }
                    Err(frame) => {
                        let trailers = frame.into_trailers().ok();
                        encoder.end(&mut self.output, trailers.as_ref(), exchange);
                    }
                }
                if encoder.is_done() {
                    body.set(None);
                }
            }
            ready!(self.poll_flush(cx, terms))?;
            if body.as_ref().as_pin_ref().is_none() {
                return Poll::Ready(Ok(()));
            }
            if is_waiting {
                return Poll::Pending;
            }
        }
    }

    /// Sends what is to be sent, unless the client takes nothing of it for too long.
    pub(super) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        terms: &Terms,
    ) -> Poll<Result<(), Gone>> {
        let sent = self.output.poll_send(cx, Pin::new(&mut *self.stream));
        if let Poll::Ready(sent) = sent {
            self.stalled = None;
            return Poll::Ready(sent.map_err(|error| {
                debug!(%error, "a client's connection ended badly");
                Gone
            }));
        }
        let so_far = self.output.sent();
        let stalled = self.stalled.filter(|stalled| stalled.sent == so_far);
        let stalled = stalled.unwrap_or_else(|| Stalled {
            sent: so_far,
            until: Instant::now() + terms.send_timeout,
        });
        self.stalled = Some(stalled);
        ready!(self.wakeup.poll(cx, stalled.until));
        debug!("a client takes nothing of its answer");
        Poll::Ready(Err(Gone))
    }
}
