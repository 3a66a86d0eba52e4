//! The listeners, and the handle on them.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use codedance_core::workload::Revision;
use codedance_core::{Result, Timestamp};
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::answer::Answer;
use crate::client::{Client, Trust};
use crate::config::Config;
use crate::error::ProxyError;
use crate::exposition;
use crate::forward::forward;
use crate::inbound::{Guard, send_off};
use crate::limits::Limits;
use crate::refusal::Refusal;
use crate::rules::Rules;
use crate::stats::Totals;
use crate::table::Routing;
use crate::tunnel::Tunnel;

/// How many clients beyond [`Limits::connections`] are told so at once.
const SURPLUS: usize = 64;

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
    phase: watch::Sender<Phase>,
    /// The connections of clients.
    connections: TaskTracker,
    /// Listeners, the admin's connections, housekeeping.
    services: TaskTracker,
}

/// What all tasks share.
#[derive(Debug)]
struct Plane {
    routing: Routing,
    config: Config,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Phase {
    Serving,
    /// No new connection, no further request on a connection that is there.
    Finishing,
    /// Everything ends now.
    Over,
}

impl Proxy {
    /// Listens on the addresses of the configuration and answers from now on: with 503 until the
    /// stable revision has an [endpoint](codedance_core::traffic::Endpoints::add).
    ///
    /// # Errors
    /// [`Invalid`](codedance_core::ErrorKind::Invalid) for a setting that cannot be, named in the
    /// cause; [`Unavailable`](codedance_core::ErrorKind::Unavailable) for an address in use,
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
        let (listener, local_addr) = listen(config.listen).await?;
        let admin = match config.admin {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let inner = Inner {
            plane: Arc::new(Plane {
                routing: Routing::new(config.clone()),
                config,
            }),
            local_addr,
            admin_addr: admin.as_ref().map(|(_, address)| *address),
            phase: watch::Sender::new(Phase::Serving),
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
    /// The admin listener serves until the end. A proxy that was shut down stays so; asking again is
    /// harmless.
    pub async fn shutdown(&self, within: Duration) -> u64 {
        let inner = &self.inner;
        inner.phase.send_if_modified(|phase| {
            let serving = *phase == Phase::Serving;
            if serving {
                *phase = Phase::Finishing;
            }
            serving
        });
        inner.connections.close();
        inner.services.close();
        let cut = match timeout(within, inner.connections.wait()).await {
            Ok(()) => 0,
            Err(_) => {
                let routes = self.routing().routes();
                routes.values().map(|r| r.revision.in_flight()).sum()
            }
        };
        inner.phase.send_replace(Phase::Over);
        inner.connections.wait().await;
        inner.services.wait().await;
        cut
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
        self.phase.send_replace(Phase::Over);
    }
}

impl Inner {
    fn start(&self, listener: TcpListener, admin: Option<TcpListener>) {
        let phase = || self.phase.subscribe();
        let (plane, clients) = (Arc::clone(&self.plane), self.connections.clone());
        let (most, surplus) = (self.plane.config.limits.connections, self.services.clone());
        // More than these are closed without a word: a flood is not worth more.
        let polite = Arc::new(Semaphore::new(SURPLUS));
        let stop = phase();
        self.services.spawn(accept(
            listener,
            phase(),
            Phase::Finishing,
            move |stream, peer| {
                if clients.len() >= most {
                    if let Ok(permit) = Arc::clone(&polite).try_acquire_owned() {
                        surplus.spawn(turn_away(stream, stop.clone(), permit));
                    }
                    return;
                }
                clients.spawn(serve_client(Arc::clone(&plane), stream, peer, stop.clone()));
            },
        ));
        if let Some(listener) = admin {
            let (plane, services) = (Arc::clone(&self.plane), self.services.clone());
            let stop = phase();
            self.services
                .spawn(accept(listener, phase(), Phase::Over, move |stream, _| {
                    services.spawn(serve_admin(Arc::clone(&plane), stream, stop.clone()));
                }));
        }
        self.services.spawn(tidy(Arc::clone(&self.plane), phase()));
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ProxyError> {
    let bound = TcpListener::bind(address).await;
    bound
        .and_then(|listener| listener.local_addr().map(|local| (listener, local)))
        .map_err(|source| ProxyError::Listen { address, source })
}

/// Accepts connections until the proxy comes to `end`.
async fn accept(
    listener: TcpListener,
    mut phase: watch::Receiver<Phase>,
    end: Phase,
    serve: impl Fn(TcpStream, SocketAddr),
) {
    let mut over = pin!(reached(&mut phase, end));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut over => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Best effort: without it answers are later, not wrong.
                let _ = stream.set_nodelay(true);
                serve(stream, peer);
            }
            Err(error) if concerns_one_connection(&error) => {
                debug!(%error, "a client gave up before it was accepted");
            }
            Err(error) => {
                // Out of file descriptors or memory: asking again at once would only burn a core.
                warn!(%error, "cannot accept connections");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

/// Waits until the proxy comes to `end`.
async fn reached(phase: &mut watch::Receiver<Phase>, end: Phase) {
    // An error means that the last handle is gone, which is the end too.
    let _ = phase.wait_for(|phase| *phase >= end).await;
}

async fn serve_client(
    plane: Arc<Plane>,
    stream: TcpStream,
    peer: SocketAddr,
    phase: watch::Receiver<Phase>,
) {
    let limits = plane.config.limits;
    let stream = Guard::new(stream, limits);
    let plane = &*plane;
    let trust = Trust::in_front(&plane.config);
    let client = &Client::new(peer, trust, stream.verdict());
    let answer = |request| async move {
        Ok::<_, io::Error>(forward(&plane.routing, &plane.config, client, request).await)
    };
    let header_timeout = plane.config.header_timeout;
    let tunnel = || client.tunnel();
    serve(stream, limits, header_timeout, phase, answer, tunnel).await;
}

/// Tells one client too many to come later.
async fn turn_away(
    stream: TcpStream,
    mut phase: watch::Receiver<Phase>,
    _permit: OwnedSemaphorePermit,
) {
    debug!("a client too many was turned away");
    let text = "there are too many connections";
    let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text);
    tokio::select! {
        () = send_off(stream, refusal) => {}
        () = reached(&mut phase, Phase::Finishing) => {}
    }
}

async fn serve_admin(plane: Arc<Plane>, stream: TcpStream, phase: watch::Receiver<Phase>) {
    let limits = Limits::default();
    let stream = Guard::new(stream, limits);
    let (plane, verdict) = (&*plane, &*stream.verdict());
    let answer = |request: Request<Incoming>| async move {
        Ok::<_, io::Error>(match verdict.on(request.method()) {
            Some(refusal) => Answer::refuse(refusal),
            None => admin(plane, &request),
        })
    };
    let header_timeout = plane.config.header_timeout;
    serve(stream, limits, header_timeout, phase, answer, || None).await;
}

/// Serves one connection until its client is done or the proxy is over.
async fn serve<F, B>(
    stream: Guard<TcpStream>,
    limits: Limits,
    header_timeout: Duration,
    mut phase: watch::Receiver<Phase>,
    answer: impl Fn(Request<Incoming>) -> F,
    tunnel: impl Fn() -> Option<Tunnel>,
) where
    F: Future<Output = io::Result<Response<B>>>,
    B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>> + 'static,
{
    let mut builder = http1::Builder::new();
    // Only where it is more than hyper allows anyway: it would allocate the list of headers then.
    if limits.headers > 100 {
        builder.max_headers(limits.headers);
    }
    let mut connection = builder
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .with_upgrades();
    let finished = {
        let mut finishing = pin!(reached(&mut phase, Phase::Finishing));
        tokio::select! {
            // In this order: while it serves, the connection has nearly always more to do.
            biased;
            ended = &mut connection => Some(ended),
            () = &mut finishing => None,
        }
    };
    let finish = async {
        let ended = match finished {
            Some(ended) => ended,
            None => {
                Pin::new(&mut connection).graceful_shutdown();
                (&mut connection).await
            }
        };
        let late = matches!(&ended, Err(error) if error.is_timeout());
        note_end(ended);
        match (connection.into_parts(), tunnel()) {
            (Some(parts), _) if late => parts.io.into_inner().close_late().await,
            (Some(parts), _) => parts.io.into_inner().close().await,
            (None, Some(tunnel)) => tunnel.run().await,
            (None, None) => {}
        }
    };
    tokio::select! {
        biased;
        () = finish => {}
        () = reached(&mut phase, Phase::Over) => {}
    }
}

fn note_end(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        debug!(%error, "a client's connection ended badly");
    }
}

fn admin(plane: &Plane, request: &Request<Incoming>) -> Response<Answer> {
    if request.uri().path() != plane.config.metrics_path {
        return Answer::text(StatusCode::NOT_FOUND, "there is nothing here");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal = Answer::text(StatusCode::METHOD_NOT_ALLOWED, "this can only be read");
        let allowed = HeaderValue::from_static("GET, HEAD");
        refusal.headers_mut().insert(ALLOW, allowed);
        return refusal;
    }
    let page = exposition::render(&plane.routing, &plane.config);
    let mut response = Response::new(Answer::Text(Some(page.into())));
    let kind = HeaderValue::from_static(exposition::CONTENT_TYPE);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Notes the counters at regular times, and clears away what is no longer of use.
async fn tidy(plane: Arc<Plane>, mut phase: watch::Receiver<Phase>) {
    let mut over = pin!(reached(&mut phase, Phase::Over));
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
