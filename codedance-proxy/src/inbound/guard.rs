//! A client's connection that hands on only what has been understood.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Method, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Sleep, sleep, timeout};

use crate::inbound::scanner::{Fault, Scanner};
use crate::limits::Limits;
use crate::refusal::Refusal;

/// Takes the place of a head that is refused, so that its answer comes when it is its turn: after
/// those to the requests before it.
const STAND_IN: &[u8] = b"REFUSED / HTTP/1.1\r\nhost: -\r\n\r\n";
const STAND_IN_METHOD: &str = "REFUSED";

/// How long, and for how much, a client is listened to after the last answer. It may still be
/// sending, and would lose that answer if the connection were closed on it (RFC 9112, 9.6).
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: u64 = 1024 * 1024;

/// What is thought of all that a client sends, shared by those who read it and who answer it.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    refusal: OnceLock<Refusal>,
    /// What the client sends is no longer HTTP.
    other_protocol: AtomicBool,
    is_at_rest: AtomicBool,
}

impl Verdict {
    /// What the client's connection ends with, if it has gone wrong.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        self.refusal.get().copied()
    }

    /// What to answer this request, if it stands in for one that was refused.
    pub(crate) fn on(&self, method: &Method) -> Option<Refusal> {
        let refusal = self.refusal()?;
        (method.as_str() == STAND_IN_METHOD).then_some(refusal)
    }

    /// From now on everything is passed on as it comes.
    pub(crate) fn switch_protocol(&self) {
        self.other_protocol.store(true, Relaxed);
    }

    /// Whether no message has begun that has not ended, and nothing is left to be sent.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.is_at_rest.load(Relaxed)
    }
}

/// Reads from a client and scans what it reads.
///
/// Whole messages pass through without being copied. Of a head that has not ended everything is
/// held back, at most as much as [`Limits`] allow.
#[derive(Debug)]
pub(crate) struct Guard<S> {
    stream: S,
    scanner: Scanner,
    /// First what can be handed on, then the beginning of a head.
    held: Vec<u8>,
    /// So much of what is held can be handed on.
    ready: usize,
    verdict: Arc<Verdict>,
    end: Option<End>,
    /// Nothing has been written since the stream was flushed.
    is_flushed: bool,
    send_timeout: Duration,
    /// Runs while the client takes nothing: most never make it wait.
    stalled: Option<Pin<Box<Sleep>>>,
}

/// What comes after all that can be handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Nothing: the answer to what was refused ends the connection.
    Refused,
    /// An error: a body cannot be completed.
    Broken,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guard<S> {
    /// A client that takes nothing for `send_timeout` while there is something to send is cut off.
    pub(crate) fn new(stream: S, limits: Limits, send_timeout: Duration) -> Self {
        Self {
            stream,
            scanner: Scanner::new(limits),
            held: Vec::new(),
            ready: 0,
            verdict: Arc::default(),
            end: None,
            is_flushed: true,
            send_timeout,
            stalled: None,
        }
    }

    pub(crate) fn verdict(&self) -> Arc<Verdict> {
        Arc::clone(&self.verdict)
    }

    /// The stream of a connection that is at rest.
    pub(crate) fn into_stream(self) -> S {
        self.stream
    }

    /// Ends the connection: at once, unless the client was cut short and has yet to read why.
    pub(crate) async fn close(self) {
        if self.end.is_some() || self.scanner.is_within_body() {
            linger(self.stream).await;
        }
    }

    /// Ends the connection of a client that has not sent a whole head in time.
    pub(crate) async fn close_late(self) {
        if self.scanner.is_within_head() {
            let text = "the request's head did not arrive";
            send_off(self.stream, Refusal::new(StatusCode::REQUEST_TIMEOUT, text)).await;
        }
    }

    /// Decides what becomes of the bytes that follow the first `ready` ones that are held.
    fn settle(&mut self, fault: Option<Fault>) {
        let (refusal, end) = match fault {
            None => return,
            Some(Fault::Head(refusal)) => (refusal, End::Refused),
            Some(Fault::Body(refusal)) => (refusal, End::Broken),
        };
        self.held.truncate(self.ready);
        if end == End::Refused {
            self.held.extend_from_slice(STAND_IN);
            self.ready = self.held.len();
        }
        // The first fault ends the reading, so there is no second.
        let _ = self.verdict.refusal.set(refusal);
        self.end = Some(end);
    }

    /// Reads what can be handed on.
    fn poll_clear(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        loop {
            if self.ready > 0 {
                let here = self.ready.min(buf.remaining());
                buf.put_slice(&self.held[..here]);
                self.held.drain(..here);
                self.ready -= here;
                return Poll::Ready(Ok(()));
            }
            if self.verdict.other_protocol.load(Relaxed) && self.end.is_none() {
                if self.held.is_empty() {
                    return Pin::new(&mut self.stream).poll_read(cx, buf);
                }
                self.ready = self.held.len();
                continue;
            }
            match self.end {
                Some(End::Refused) => return Poll::Pending,
                Some(End::Broken) => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
                None => {}
            }
            if self.held.is_empty() {
                ready!(self.poll_fresh(cx, buf))?;
                let nothing_came = self.held.is_empty() && self.end.is_none();
                if buf.filled().len() > before || nothing_came {
                    return Poll::Ready(Ok(()));
                }
            } else if !ready!(self.poll_more(cx))? && self.ready == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Reads into the caller's buffer, and holds back what cannot be handed on yet.
    fn poll_fresh(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let fresh = &buf.filled()[before..];
        let scan = self.scanner.scan(fresh);
        if scan.clear < fresh.len() || scan.fault.is_some() {
            self.held.extend_from_slice(&fresh[scan.clear..]);
            buf.set_filled(before + scan.clear);
            self.settle(scan.fault);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads more of a head whose beginning is held. False when there is no more.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut more = [0; 4096];
        let mut more = ReadBuf::new(&mut more);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut more))?;
        let more = more.filled();
        self.held.extend_from_slice(more);
        let scan = self.scanner.scan(&self.held);
        self.ready = scan.clear;
        self.settle(scan.fault);
        if more.is_empty() && self.scanner.is_within_head() {
            let refusal = Refusal::bad_request("the request's head ends in the middle");
            self.settle(Some(Fault::Head(refusal)));
        }
        Poll::Ready(Ok(!more.is_empty()))
    }
}

impl<S> Guard<S> {
    /// Has others know whether the connection is at rest.
    fn note_rest(&self) {
        let is_between_messages = self.held.is_empty() && !self.scanner.is_within_body();
        let is_at_rest = is_between_messages && self.end.is_none() && self.is_flushed;
        self.verdict.is_at_rest.store(is_at_rest, Relaxed);
    }

    /// What became of sending, or an error if nothing could be sent for too long.
    fn unless_stalled<T>(
        &mut self,
        cx: &mut Context<'_>,
        sent: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if sent.is_ready() || self.verdict.other_protocol.load(Relaxed) {
            self.stalled = None;
            return sent;
        }
        let limit = self.send_timeout;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(stalled.as_mut().poll(cx));
        let text = "the client takes nothing of its answer";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)))
    }
}

/// Ends a connection with an answer to whatever is asked over it.
pub(crate) async fn send_off(mut stream: impl AsyncRead + AsyncWrite + Unpin, refusal: Refusal) {
    let message = refusal.message();
    if let Ok(Ok(())) = timeout(LINGER, stream.write_all(message.as_bytes())).await {
        linger(stream).await;
    }
}

/// Sends no more, and reads a while.
async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let listen = async {
        stream.shutdown().await?;
        let mut rest = stream.take(LINGER_BYTES);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    // However this ends, the connection is closed then.
    let _ = timeout(LINGER, listen).await;
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guard<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = this.poll_clear(cx, buf);
        this.note_rest();
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.is_flushed = false;
        this.unless_stalled(cx, written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        this.is_flushed = flushed.is_ready();
        this.note_rest();
        this.unless_stalled(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, parts);
        this.is_flushed = false;
        this.unless_stalled(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
