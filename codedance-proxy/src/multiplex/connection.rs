//! One connection, and the requests on it.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use super::watched::Watched;
use crate::dial::Stream;
use crate::failure::SendError;
use crate::upload::{Blame, Progress, Upload};

/// So many requests share a connection, unless its endpoint allows fewer.
const STREAMS: usize = 100;
/// What is allowed before the endpoint has said something: more than it ever can.
const UNKNOWN: usize = usize::MAX - 1;
/// How much of one answer an endpoint may send ahead.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Enough for all of them: one client that does not read must not hold up the others.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * STREAMS as u32;
/// How much of a request's body waits for an endpoint that does not read.
const SEND_BUFFER: usize = 64 * 1024;
/// How large the head of an answer may be, as HTTP/2 counts it.
const HEAD_BYTES: u32 = 256 * 1024;

#[derive(Debug)]
pub(super) struct Connection {
    sender: http2::SendRequest<Upload>,
    /// So many requests the endpoint lets be under way.
    room: Arc<AtomicUsize>,
    under_way: AtomicUsize,
    /// Whether it gets no further requests.
    is_retired: AtomicBool,
    begun: Instant,
    /// Milliseconds after `begun`.
    used: AtomicU64,
}

impl Connection {
    /// Begins to speak HTTP/2, in which the endpoint is known to be versed. It has so long to begin
    /// as well, with its settings.
    pub(super) async fn over(stream: Stream, limit: Duration) -> io::Result<Arc<Self>> {
        let (stream, mut looks) = Watched::new(stream);
        let handshake = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_max_send_streams(UNKNOWN)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(HEAD_BYTES)
            .handshake(TokioIo::new(stream));
        let (sender, mut driven) = handshake.await.map_err(io::Error::other)?;
        let settings = timeout(limit, async {
            while driven.current_max_send_streams() == UNKNOWN {
                let looked = looks.recv().await;
                looked.ok_or(io::ErrorKind::ConnectionAborted)?;
            }
            Ok(())
        });
        settings.await.map_err(io::Error::from).flatten()?;
        let room = driven.current_max_send_streams().min(STREAMS);
        let room = Arc::new(AtomicUsize::new(room));
        let allowed = Arc::clone(&room);
        // It ends when there is nobody left who sends, or when the endpoint wants no more requests.
        tokio::spawn(async move {
            let driven = std::future::poll_fn(|cx| {
                let polled = Pin::new(&mut driven).poll(cx);
                // They may change their mind; this looks whenever a request is sent.
                allowed.store(driven.current_max_send_streams().min(STREAMS), Relaxed);
                polled
            });
            if let Err(error) = driven.await {
                debug!(%error, "a connection to an endpoint ended badly");
            }
        });
        Ok(Arc::new(Self {
            sender,
            room,
            under_way: AtomicUsize::new(0),
            is_retired: AtomicBool::new(false),
            begun: Instant::now(),
            used: AtomicU64::new(0),
        }))
    }

    /// A place for one request, if there is one.
    pub(super) fn lease(self: &Arc<Self>) -> Option<Lease> {
        if !self.is_open() {
            return None;
        }
        // Never none at all: who allows nothing would be connected to over and over.
        let room = self.room.load(Relaxed).max(1);
        let one_more = |under_way| (under_way < room).then_some(under_way + 1);
        let taken = self.under_way.fetch_update(Relaxed, Relaxed, one_more);
        taken.ok().map(|_| Lease {
            connection: Arc::clone(self),
            is_fresh: self.used.load(Relaxed) == 0,
        })
    }

    fn retire(&self) {
        self.is_retired.store(true, Relaxed);
    }

    pub(super) fn is_open(&self) -> bool {
        !self.is_retired.load(Relaxed) && !self.sender.is_closed()
    }

    /// Whether nobody has used it for so long.
    pub(super) fn is_idle_for(&self, length: Duration) -> bool {
        let used = self.begun + Duration::from_millis(self.used.load(Relaxed));
        self.under_way.load(Relaxed) == 0 && used.elapsed() >= length
    }
}

/// A request's place on a connection; free again when dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    connection: Arc<Connection>,
    is_fresh: bool,
}

impl Lease {
    /// Whether nothing has gone over the connection before, which is then not one that was kept.
    pub(crate) const fn is_fresh(&self) -> bool {
        self.is_fresh
    }

    /// Sends the request and waits for the head of the answer, at most `limit` after the endpoint
    /// last took something of the request.
    pub(crate) async fn send(
        &self,
        request: Request<Upload>,
        progress: Option<&Progress>,
        limit: Duration,
    ) -> Result<Response<Incoming>, SendError> {
        let mut sender = self.connection.sender.clone();
        let mut answer = pin!(sender.try_send_request(request));
        let mut timer = pin!(sleep_until(Instant::now() + limit));
        std::future::poll_fn(|cx| {
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(answer.map_err(|mut error| match error.take_message() {
                    Some(_) => {
                        self.connection.retire();
                        SendError::Unsent
                    }
                    None if is_refused(error.error()) => SendError::Unseen,
                    None if is_behind_the_last(error.error()) => {
                        self.connection.retire();
                        SendError::Unseen
                    }
                    None if progress.is_some_and(Progress::is_too_large) => SendError::TooLarge,
                    None if progress.is_some_and(Progress::failed) => SendError::ClientFailed,
                    None if in_http2(error.error()).is_some_and(h2::Error::is_reset) => {
                        SendError::Reset
                    }
                    None => SendError::Lost,
                }));
            }
            while timer.as_mut().poll(cx).is_ready() {
                // A body that is too large is not waited for.
                if progress.is_some_and(Progress::is_too_large) {
                    return Poll::Ready(Err(SendError::TooLarge));
                }
                let deadline = progress.map_or_else(Instant::now, |p| p.last_moved() + limit);
                if deadline <= Instant::now() {
                    if progress.is_some_and(|p| p.blame() == Blame::Client) {
                        return Poll::Ready(Err(SendError::ClientFailed));
                    }
                    // Perhaps nobody is there any more, and others would wait in vain as well.
                    self.connection.retire();
                    return Poll::Ready(Err(SendError::TimedOut));
                }
                timer.as_mut().reset(deadline);
            }
            Poll::Pending
        })
        .await
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let used = self.connection.begun.elapsed().as_millis();
        // At least one, which says that it was used.
        let used = u64::try_from(used).unwrap_or(u64::MAX).max(1);
        self.connection.used.fetch_max(used, Relaxed);
        self.connection.under_way.fetch_sub(1, Relaxed);
    }
}

/// Whether the endpoint says that it does not look at this request (RFC 9113, 8.7).
fn is_refused(error: &hyper::Error) -> bool {
    let error = in_http2(error).filter(|error| error.is_remote() && error.is_reset());
    error.and_then(h2::Error::reason) == Some(h2::Reason::REFUSED_STREAM)
}

/// Whether the endpoint has announced its end, and that it looks only at requests before this one.
fn is_behind_the_last(error: &hyper::Error) -> bool {
    in_http2(error).is_some_and(|error| error.is_remote() && error.is_go_away())
}

fn in_http2(error: &hyper::Error) -> Option<&h2::Error> {
    std::error::Error::source(error)?.downcast_ref()
}
