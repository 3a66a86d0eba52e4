//! The answer while it is sent.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tracing::debug;

use super::{Gone, Wire};
use crate::connection::http1::Terms;
use crate::connection::http1::encode::{Encoder, Exchange};

/// So much of an answer is gathered before it is sent.
const ANSWER_ROOM: usize = 64 * 1024;

/// A client takes nothing at the moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stalled {
    /// What it had taken before.
    sent: u64,
    until: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<'_, '_, S> {
    /// Sends an answer's body, and what stands before it. Ready when all of it has been sent, or all
    /// that has come of one that broke off.
    pub(in super::super) fn poll_answer<B>(
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
            let gathered = self.poll_gather(cx, encoder, body.as_mut(), exchange);
            ready!(self.poll_flush(cx, terms))?;
            if body.as_ref().as_pin_ref().is_none() {
                return Poll::Ready(Ok(()));
            }
            ready!(gathered);
        }
    }

    /// Takes as much of the body as is to be sent at once. Ready when that is there, or the end.
    fn poll_gather<B>(
        &mut self,
        cx: &mut Context<'_>,
        encoder: &mut Encoder,
        mut body: Pin<&mut Option<B>>,
        exchange: Exchange,
    ) -> Poll<()>
    where
        B: Body<Data = Bytes>,
    {
        while let Some(mut content) = body.as_mut().as_pin_mut()
            && self.output.len() < ANSWER_ROOM
        {
            let frame = ready!(content.as_mut().poll_frame(cx));
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => {
                    encoder.data(&mut self.output, data);
                    if content.is_end_stream() {
                        encoder.end(&mut self.output, None, exchange);
                    }
                }
                Some(Ok(Err(frame))) => {
                    let trailers = frame.into_trailers().ok();
                    encoder.end(&mut self.output, trailers.as_ref(), exchange);
                }
                Some(Err(_)) => encoder.abandon(),
                None => encoder.end(&mut self.output, None, exchange),
            }
            if encoder.is_done() {
                body.set(None);
            }
        }
        Poll::Ready(())
    }

    /// Sends what is to be sent, unless the client takes nothing of it for too long.
    fn poll_flush(&mut self, cx: &mut Context<'_>, terms: &Terms) -> Poll<Result<(), Gone>> {
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
