//! One address that serves a revision, and what is under way there.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use codedance_core::workload::Revision;
use http::uri::Scheme;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::config::Config;
use crate::dial::{DialError, Dialer, Stream};
use crate::health::Standing;
use crate::history::History;
use crate::mirror::MirrorCounters;
use crate::multiplex::{Lease, Shared};
use crate::pool::Pool;
use crate::retries::Retries;
use crate::stats::{Counters, Event};
use crate::transport::HttpVersion;
use crate::upstream::Upstream;

/// What outlives any change of the table: a revision's counters, and whose turn it is.
#[derive(Debug)]
pub(crate) struct RevisionState {
    pub(crate) name: Revision,
    pub(crate) counters: Counters,
    pub(crate) history: History,
    pub(crate) mirrored: MirrorCounters,
    in_flight: AtomicU64,
    turn: AtomicUsize,
    /// Requests that were repeated and are not answered yet.
    repeats: AtomicU64,
    ejecting: Mutex<()>,
}

impl RevisionState {
    pub(crate) fn new(name: Revision, config: &Config, bounds: Arc<[Duration]>) -> Self {
        Self {
            name,
            counters: Counters::new(Arc::clone(&bounds)),
            mirrored: MirrorCounters::new(bounds),
            history: History::new(config.history),
            in_flight: AtomicU64::new(0),
            turn: AtomicUsize::new(0),
            repeats: AtomicU64::new(0),
            ejecting: Mutex::new(()),
        }
    }

    /// Requests being answered by this revision now, bodies included.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Allows a request to be repeated, if the budget does.
    pub(crate) fn repeat(self: &Arc<Self>, retries: &Retries) -> Option<Repeat> {
        let most = retries.most(self.in_flight());
        let one_more = |repeats| (repeats < most).then_some(repeats + 1);
        let counted = self
            .repeats
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        counted.ok().map(|_| Repeat {
            revision: Arc::clone(self),
        })
    }

    /// Held while it is decided whether one more endpoint is ejected.
    pub(crate) fn ejecting(&self) -> MutexGuard<'_, ()> {
        self.ejecting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose turn it is of `count` endpoints.
    pub(crate) fn turn(&self, count: usize) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed) % count
    }
}

/// A request that is being repeated; no longer when dropped.
#[derive(Debug)]
pub(crate) struct Repeat {
    revision: Arc<RevisionState>,
}

impl Drop for Repeat {
    fn drop(&mut self) {
        self.revision.repeats.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An address that serves a revision.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    pub(crate) pool: Pool,
    shared: Shared,
    pub(crate) standing: Standing,
    revision: Arc<RevisionState>,
    dialer: Arc<Dialer>,
    in_flight: AtomicU64,
    leaving: AtomicBool,
    /// Woken whenever nothing is in flight any more on an endpoint that is leaving.
    idle: Notify,
    /// Cancelled when the endpoint leaves.
    gone: CancellationToken,
}

impl Endpoint {
    pub(crate) fn new(
        address: SocketAddr,
        revision: Arc<RevisionState>,
        dialer: Arc<Dialer>,
        config: &Config,
    ) -> Self {
        Self {
            address,
            pool: Pool::new(config.idle_connections, config.idle_timeout),
            shared: Shared::default(),
            standing: Standing::new(),
            revision,
            dialer,
            in_flight: AtomicU64::new(0),
            leaving: AtomicBool::new(false),
            idle: Notify::new(),
            gone: CancellationToken::new(),
        }
    }

    /// A new connection of HTTP/1.1, made within this time.
    /// Where it is counted if it fails is for the caller to say.
    pub(crate) async fn connect(
        &self,
        limit: Duration,
        counters: Option<&Counters>,
    ) -> Result<Box<Upstream>, DialError> {
        let stream = self.dial(limit, counters).await?;
        Ok(Upstream::over(stream))
    }

    /// A place on a connection of HTTP/2, if need be on one that is made within this time.
    pub(crate) async fn lease(
        &self,
        limit: Duration,
        counters: Option<&Counters>,
    ) -> Result<Lease, DialError> {
        self.shared.lease(self.dial(limit, counters), limit).await
    }

    /// A new stream. What there is to be said of one that is not to be had is said here.
    async fn dial(
        &self,
        limit: Duration,
        counters: Option<&Counters>,
    ) -> Result<Stream, DialError> {
        let address = self.address;
        let count = |event| counters.into_iter().for_each(|c| c.count(event));
        let dialed = self.dialer.dial(address, limit).await;
        match &dialed {
            Ok(_) => {}
            Err(DialError::NotAccepted(error)) => {
                debug!(%address, %error, "an endpoint accepted no connection");
                count(Event::RefusedConnection);
            }
            Err(DialError::NotTrusted(error, _)) => {
                warn!(%address, %error, "an endpoint is not trusted");
                count(Event::FailedHandshake);
            }
        }
        dialed
    }

    /// Which version of HTTP it is spoken to in.
    pub(crate) fn version(&self) -> HttpVersion {
        self.dialer.version()
    }

    /// How its address begins.
    pub(crate) fn scheme(&self) -> Scheme {
        self.dialer.scheme()
    }

    /// Closes connections that were idle for too long, or that the endpoint closed.
    pub(crate) fn sweep(&self) {
        self.pool.sweep();
        self.shared.sweep(self.pool.idle_timeout());
    }

    /// Lets a request in, unless the endpoint is leaving.
    ///
    /// Counting first and asking then is what makes draining exact: of a request that comes in while
    /// the endpoint is taken out, either the request sees that it is leaving, or
    /// [`Endpoint::idle`] sees the request. Both need one total order of these accesses.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Flight> {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        self.revision.in_flight.fetch_add(1, Ordering::Relaxed);
        let flight = Flight {
            endpoint: Arc::clone(self),
        };
        (!self.leaving.load(Ordering::SeqCst)).then_some(flight)
    }

    /// Lets no further request in.
    pub(crate) fn leave(&self) {
        self.leaving.store(true, Ordering::SeqCst);
        self.gone.cancel();
        self.pool.close();
        self.shared.close();
    }

    /// Waits until nothing is in flight, at most until `deadline`, and returns how many are left.
    pub(crate) async fn idle(&self, deadline: Instant) -> u64 {
        loop {
            // Listening begins before looking, so that no wake-up falls in between.
            let mut woken = pin!(self.idle.notified());
            woken.as_mut().enable();
            let left = self.in_flight();
            if left == 0 || tokio::time::timeout_at(deadline, woken).await.is_err() {
                return self.in_flight();
            }
        }
    }

    pub(crate) fn revision(&self) -> &RevisionState {
        &self.revision
    }

    /// Requests being answered by this endpoint now, bodies included.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Cancelled when the endpoint leaves.
    pub(crate) const fn gone(&self) -> &CancellationToken {
        &self.gone
    }
}

/// A request in flight at an endpoint; over when dropped.
#[derive(Debug)]
pub(crate) struct Flight {
    endpoint: Arc<Endpoint>,
}

impl Flight {
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let endpoint = &self.endpoint;
        endpoint.revision.in_flight.fetch_sub(1, Ordering::Relaxed);
        let last = endpoint.in_flight.fetch_sub(1, Ordering::SeqCst) == 1;
        if last && endpoint.leaving.load(Ordering::SeqCst) {
            endpoint.idle.notify_waiters();
        }
    }
}
