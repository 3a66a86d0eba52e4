//! The handle on a proxy, and all that runs behind it.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use codedance_core::workload::Revision;
use codedance_core::{Result, Timestamp};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::task::TaskTracker;

use crate::access_log::Queue;
use crate::admin::serve_admin;
use crate::client::Trust;
use crate::config::Config;
use crate::connection::serve_client;
use crate::dial::Dialer;
use crate::error::ProxyError;
use crate::health::keep_checking;
use crate::listener::{SURPLUS, accept, listen, turn_away};
use crate::phase::{Phase, Phases};
use crate::routing::Routing;
use crate::rules::Rules;
use crate::stats::Totals;
use crate::tls::Acceptor;
use crate::transport::Transport;
use crate::wakeups::Wakeups;

/// How long a proxy waits in the end for the lines of its log to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

/// A handle on a running proxy. Clones are handles on the same proxy.
///
/// The proxy runs on the tokio runtime that it was bound on, until [`Proxy::shutdown`]; when the last
/// handle is dropped before, it stops at once and cuts what is in flight.
#[derive(Clone, Debug)]
pub struct Proxy {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    plane: Arc<Plane>,
    local_addr: SocketAddr,
    admin_addr: Option<SocketAddr>,
    /// The connections of clients.
    connections: TaskTracker,
    /// Listeners, the admin's connections, housekeeping.
    services: TaskTracker,
}

/// What all tasks share.
#[derive(Debug)]
pub(crate) struct Plane {
    pub(crate) routing: Routing,
    pub(crate) config: Config,
    pub(crate) trust: Trust,
    pub(crate) tls: Option<Arc<Acceptor>>,
    pub(crate) log: Option<Arc<Queue>>,
    pub(crate) wakeups: Wakeups,
}

impl Proxy {
    /// Listens on the addresses of the configuration and answers from now on: with 503 until the
    /// stable revision has an [endpoint](codedance_core::traffic::Endpoints::add).
    ///
    /// # Errors
    /// [`Invalid`](codedance_core::ErrorKind::Invalid) for a setting that cannot be or a certificate
    /// that cannot be used, named in the cause; [`Unavailable`](codedance_core::ErrorKind::Unavailable) for an address in use,
    /// [`Denied`](codedance_core::ErrorKind::Denied) for one that needs privileges.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time enabled.
    pub async fn bind(config: Config) -> Result<Self> {
        let started = Self::start(config).await;
        started.map_err(|error| error.during("start the proxy"))
    }

    async fn start(config: Config) -> Result<Self, ProxyError> {
        config.check()?;
        let tls = match &config.tls {
            Some(tls) => Some(Arc::new(Acceptor::load(tls).await?)),
            None => None,
        };
        let log = config.access_log.as_ref().map(Queue::start).transpose();
        let log = log.map_err(ProxyError::AccessLog)?.map(Arc::new);
        let dialer = Dialer::load(&config.transport).await?;
        let (listener, local_addr) = listen(config.listen).await?;
        let admin = match config.admin {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let inner = Inner {
            plane: Arc::new(Plane {
                routing: Routing::new(config.clone(), dialer),
                trust: Trust::in_front(&config),
                tls,
                log,
                wakeups: Wakeups::new(Phases::default()),
                config,
            }),
            local_addr,
            admin_addr: admin.as_ref().map(|(_, address)| *address),
            connections: TaskTracker::new(),
            services: TaskTracker::new(),
        };
        inner.start(listener, admin.map(|(listener, _)| listener));
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Where clients connect, with the port that was free if the configuration had 0.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr
    }

    /// Where Prometheus reads the counters; `None` when the configuration has no admin address.
    #[must_use]
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.inner.admin_addr
    }

    /// What has been counted of a revision so far; `None` for one that the proxy does not know, or
    /// of which nothing has happened for [`Config::history`] and that has neither share nor
    /// endpoint.
    #[must_use]
    pub fn totals(&self, revision: &Revision) -> Option<Totals> {
        let route = self.routing().route(revision)?;
        Some(route.revision.counters.totals())
    }

    /// How many requests a revision is answering now, bodies included.
    #[must_use]
    pub fn in_flight(&self, revision: &Revision) -> u64 {
        let route = self.routing().route(revision);
        route.map_or(0, |route| route.revision.in_flight())
    }

    /// The endpoints in rotation for a revision, in the order in which they were added.
    #[must_use]
    pub fn endpoints(&self, revision: &Revision) -> Vec<SocketAddr> {
        let route = self.routing().route(revision);
        route.map_or_else(Vec::new, |route| {
            route.endpoints.iter().map(|e| e.address).collect()
        })
    }

    /// Replaces the rules, for the next request; see [`Config::rules`].
    pub fn set_rules(&self, rules: Rules) {
        self.routing().set_rules(rules);
    }

    /// Speaks to the endpoints of a revision in another way than [`Config::transport`] says: to those
    /// that are added from now on.
    ///
    /// It is forgotten with the revision: when that has had neither share nor endpoint, and nothing has
    /// happened there, for [`Config::history`].
    ///
    /// # Errors
    /// [`Invalid`](codedance_core::ErrorKind::Invalid) for files that cannot be used.
    pub async fn set_transport(&self, revision: &Revision, transport: &Transport) -> Result<()> {
        let loaded = Dialer::load(transport).await;
        let dialer = loaded.map_err(|error| {
            ProxyError::from(error).during(format!("set the transport of revision {revision}"))
        })?;
        self.routing().set_dialer(revision, dialer);
        Ok(())
    }

    /// Takes all endpoints of a revision out of rotation, waits until the requests in flight there
    /// are answered, at most `within`, and returns how many are left then.
    ///
    /// A revision that still has a share of the traffic answers 503 from then on: take its share
    /// away first.
    pub async fn drain_revision(&self, revision: &Revision, within: Duration) -> u64 {
        self.routing().drain(revision, |_| true, within).await
    }

    /// Stops: accepts no more connections and no more requests, waits until those in flight are
    /// answered, at most `within`, and returns how many were cut off then: 0 means that nobody
    /// noticed.
    ///
    /// The admin listener serves until the end. The writer of an [`AccessLog`](crate::AccessLog) gets
    /// one second more for its last lines. A proxy that was shut down stays so; asking again is
    /// harmless.
    pub async fn shutdown(&self, within: Duration) -> u64 {
        let inner = &self.inner;
        inner.plane.wakeups.phases.enter(Phase::Finishing);
        self.routing().mirror_tasks.stop();
        inner.connections.close();
        inner.services.close();
        let cut = match timeout(within, inner.connections.wait()).await {
            Ok(()) => 0,
            Err(_) => {
                let routes = self.routing().routes();
                routes.values().map(|r| r.revision.in_flight()).sum()
            }
        };
        inner.plane.wakeups.phases.enter(Phase::Over);
        inner.connections.wait().await;
        inner.services.wait().await;
        self.routing().mirror_tasks.ended().await;
        if let Some(log) = self.log() {
            log.flush(LAST_LINES).await;
        }
        cut
    }

    pub(crate) fn log(&self) -> Option<&Queue> {
        self.inner.plane.log.as_deref()
    }

    pub(crate) fn routing(&self) -> &Routing {
        &self.inner.plane.routing
    }

    pub(crate) fn config(&self) -> &Config {
        &self.inner.plane.config
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.plane.routing.mirror_tasks.stop();
        self.plane.wakeups.phases.enter(Phase::Over);
    }
}

impl Inner {
    fn start(&self, listener: TcpListener, admin: Option<TcpListener>) {
        let phases = || self.plane.wakeups.phases.clone();
        let (plane, clients) = (Arc::clone(&self.plane), self.connections.clone());
        let (most, surplus) = (self.plane.config.limits.connections, self.services.clone());
        // More than these are closed without a word: a flood is not worth more.
        let polite = Arc::new(Semaphore::new(SURPLUS));
        let stop = phases();
        self.services.spawn(accept(
            listener,
            phases(),
            Phase::Finishing,
            move |stream, peer| {
                if clients.len() >= most {
                    // To a client that expects TLS it would only be noise.
                    if plane.tls.is_none()
                        && let Ok(permit) = Arc::clone(&polite).try_acquire_owned()
                    {
                        surplus.spawn(turn_away(stream, stop.clone(), permit));
                    }
                    return;
                }
                clients.spawn(serve_client(Arc::clone(&plane), stream, peer));
            },
        ));
        if let Some(listener) = admin {
            let (plane, services) = (Arc::clone(&self.plane), self.services.clone());
            self.services
                .spawn(accept(listener, phases(), Phase::Over, move |stream, _| {
                    services.spawn(serve_admin(Arc::clone(&plane), stream));
                }));
        }
        if let Some(tls) = &self.plane.tls {
            self.services.spawn(Arc::clone(tls).keep_fresh(phases()));
        }
        if let Some(check) = self.plane.config.health_check.clone() {
            let plane = Arc::clone(&self.plane);
            self.services.spawn(keep_checking(plane, check, phases()));
        }
        let plane = Arc::clone(&self.plane);
        self.services
            .spawn(async move { plane.wakeups.keep().await });
        self.services.spawn(tidy(Arc::clone(&self.plane)));
    }
}

/// Notes the counters at regular times, and clears away what is no longer of use.
async fn tidy(plane: Arc<Plane>) {
    let mut over = pin!(plane.wakeups.phases.reached(Phase::Over));
    let mut ticks = interval(plane.config.sampling);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => plane.routing.tidy(now()),
            () = &mut over => return,
        }
    }
}

fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since_epoch.map_or(0, |length| length.as_millis());
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}
