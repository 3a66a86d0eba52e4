//! One request through the proxy.

use std::sync::Arc;
use std::time::Instant;

use http::Version;
use http::header::UPGRADE;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode};
use tracing::debug;

use crate::answer::{Answer, Relay};
use crate::carrier::Carrier;
use crate::client::Client;
use crate::config::{Config, Reuse};
use crate::dial::DialError;
use crate::endpoint::{Endpoint, Flight, RevisionState};
use crate::failure::Failure;
use crate::headers;
use crate::health::{note_answer, note_failure};
use crate::multiplex;
use crate::pool::SendError;
use crate::refusal::{BODY_TOO_LARGE, Refusal};
use crate::retries::Retries;
use crate::stats::Event;
use crate::table::{Route, Routing};
use crate::transport::HttpVersion;
use crate::tunnel::Tunnel;
use crate::upload::{Progress, Upload};

/// Answers one request of a client: with what an endpoint of the chosen revision answers, or with a
/// few words of the proxy's own.
pub(crate) async fn forward(
    routing: &Routing,
    config: &Config,
    client: &Client,
    request: Request<Incoming>,
) -> Response<Answer> {
    if let Some(refusal) = client.verdict().on(request.method()) {
        return Answer::refuse(refusal);
    }
    let begun = Instant::now();
    let (mut parts, body) = request.into_parts();
    let route = routing.choose(&parts.headers, client.address(&parts.headers));
    if let Err(refusal) = headers::to_endpoint(&mut parts, client) {
        return Answer::text(refusal.status, refusal.text);
    }
    // Extensions are hyper's own, and would be copied with every attempt.
    let offer = parts.extensions.remove::<OnUpgrade>();
    parts.extensions.clear();
    let upload = Upload::new(body, config.limits.body_bytes);
    let offer = offer.filter(|_| parts.headers.contains_key(UPGRADE));
    if offer.is_some() && upload.progress().is_some() {
        let text = "a request that asks for another protocol cannot have a body";
        return Answer::refuse(Refusal::bad_request(text));
    }
    headers::frame(&mut parts, &upload);
    let outgoing = Outgoing::new(Request::from_parts(parts, upload), offer.is_some());

    let pending = Pending::new(Arc::clone(&route.revision));
    match exchange(routing, config, route, outgoing).await {
        Ok(((response, carrier), flight)) => {
            pending.answered(response.status(), begun);
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                return switch_protocol(response, carrier, flight, client, offer);
            }
            let (mut parts, body) = response.into_parts();
            headers::to_client(&mut parts.headers);
            parts.version = Version::HTTP_11;
            let relay = Relay::new(body, carrier, flight);
            Response::from_parts(parts, Answer::Relay(relay))
        }
        Err(failure) => {
            pending.failed(failure);
            match (failure, client.verdict().refusal()) {
                (Failure::Client, Some(refusal)) => return Answer::refuse(refusal),
                (Failure::TooLarge, _) => return Answer::refuse(BODY_TOO_LARGE),
                _ => {}
            }
            let (status, text) = failure.answer();
            Answer::text(status, text)
        }
    }
}

/// Passes on that the endpoint agrees to another protocol, and leaves the rest to a tunnel.
fn switch_protocol(
    response: Response<Incoming>,
    carrier: Carrier,
    flight: Flight,
    client: &Client,
    offer: Option<OnUpgrade>,
) -> Response<Answer> {
    let stream = match carrier {
        Carrier::Own(upstream) => upstream.into_tunnel(),
        Carrier::Shared(_) => None,
    };
    let (Some(offer), Some(stream)) = (offer, stream) else {
        let (status, text) = Failure::Lost.answer();
        return Answer::text(status, text);
    };
    client.open(Tunnel::new(offer, stream, flight));
    let (mut parts, _) = response.into_parts();
    headers::to_client_switching(&mut parts.headers);
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    Response::from_parts(parts, Answer::Text(None))
}

type Exchange = (Response<Incoming>, Carrier);

/// Tries the endpoints in turn until one accepts the request, and waits for its answer.
async fn exchange(
    routing: &Routing,
    config: &Config,
    mut route: Arc<Route>,
    mut outgoing: Outgoing,
) -> Result<(Exchange, Flight), Failure> {
    let detection = &config.outlier_detection;
    let mut failure = Failure::NoEndpoint;
    let mut tried = 0;
    let mut repeat = None;
    loop {
        let mut outdated = false;
        for endpoint in route.order() {
            let Some(flight) = endpoint.enter() else {
                outdated = true;
                continue;
            };
            if tried > config.retries.attempts {
                return Err(failure);
            }
            if tried > 0 {
                endpoint.revision().counters.count(Event::Retried);
            }
            tried += 1;
            match attempt(config, endpoint, &mut outgoing).await {
                Ok(exchange) => {
                    let status = exchange.0.status();
                    note_answer(detection, endpoint, &route.endpoints, status);
                    return Ok((exchange, flight));
                }
                Err(Attempt::Failed(failure)) => {
                    if failure.is_endpoints_fault() {
                        note_failure(detection, endpoint, &route.endpoints);
                    }
                    return Err(failure);
                }
                Err(Attempt::NotAccepted(reason)) => {
                    note_failure(detection, endpoint, &route.endpoints);
                    failure = reason;
                }
                Err(Attempt::Unanswered) => {
                    note_failure(detection, endpoint, &route.endpoints);
                    failure = Failure::Lost;
                    if !outgoing.survives(&config.retries) {
                        return Err(failure);
                    }
                    // One permit does for all repeats of one request: they follow each other.
                    if repeat.is_none() {
                        repeat = route.revision.repeat(&config.retries);
                    }
                    if repeat.is_none() {
                        route.revision.counters.count(Event::RetryDenied);
                        return Err(failure);
                    }
                }
            }
        }
        // Endpoints that were taken out since the table was loaded may have successors.
        match routing.route(&route.revision.name) {
            Some(renewed) if outdated => route = renewed,
            _ => return Err(failure),
        }
    }
}

/// Why an endpoint gave no answer.
enum Attempt {
    /// It cannot have read anything of the request: another one may be tried.
    NotAccepted(Failure),
    /// It may have read all of it, and began no answer.
    Unanswered,
    Failed(Failure),
}

/// Sends the request to one endpoint and waits for the head of the answer.
///
/// What an endpoint may have read is not sent to it again, with one exception: a request that can be
/// repeated, over a connection that was kept, is repeated once over a new one.
async fn attempt(
    config: &Config,
    endpoint: &Endpoint,
    outgoing: &mut Outgoing,
) -> Result<Exchange, Attempt> {
    let progress = outgoing.progress.clone();
    let progress = progress.as_deref();
    if endpoint.version() == HttpVersion::Http2 {
        // Apart, because it would make the tasks of all other requests larger.
        return Box::pin(attempt_shared(config, endpoint, outgoing)).await;
    }
    headers::default_host(&mut outgoing.request, endpoint.address);
    // A switch of protocols ends the life of its connection, and gets one of its own.
    let reuse = outgoing.repeatable || config.reuse == Reuse::Always;
    while reuse && !outgoing.asks_to_switch {
        let Some(mut upstream) = endpoint.pool.take() else {
            break;
        };
        let request = outgoing.copy_or_take();
        match upstream
            .send(request, progress, config.answer_timeout)
            .await
        {
            Ok(response) => return outgoing.checked(response, Carrier::Own(upstream)),
            Err(SendError::Unsent(request)) => outgoing.request = *request,
            Err(SendError::Lost) if outgoing.repeatable => {
                endpoint.revision().counters.count(Event::Resent);
                break;
            }
            Err(error) => return Err(error.into()),
        }
    }
    let counters = Some(&endpoint.revision().counters);
    let connected = endpoint.connect(config.connect_timeout, counters).await;
    let mut upstream = connected.map_err(|error| {
        endpoint.standing.cool_down(config.cool_down);
        Attempt::from(error)
    })?;
    if outgoing.asks_to_switch {
        upstream.offer_tunnel();
    }
    let request = if outgoing.survives(&config.retries) {
        outgoing.copy_or_take()
    } else {
        outgoing.take()
    };
    match upstream
        .send(request, progress, config.answer_timeout)
        .await
    {
        Ok(response) => outgoing.checked(response, Carrier::Own(upstream)),
        Err(SendError::Unsent(request)) => {
            outgoing.request = *request;
            Err(Attempt::NotAccepted(Failure::Unreachable))
        }
        Err(error) => Err(error.into()),
    }
}

/// How often one endpoint is asked that says that it has not looked at the request.
const ASKED_AGAIN: usize = 3;

/// Sends the request to an endpoint of HTTP/2 and waits for the head of the answer.
///
/// It is sent again if the endpoint says that it has not looked at it, and once if it can be repeated
/// and went over a connection that was kept and broke.
async fn attempt_shared(
    config: &Config,
    endpoint: &Endpoint,
    outgoing: &mut Outgoing,
) -> Result<Exchange, Attempt> {
    let progress = outgoing.progress.clone();
    let progress = progress.as_deref();
    let mut is_repeated = false;
    for _ in 0..ASKED_AGAIN {
        let counters = Some(&endpoint.revision().counters);
        let lease = endpoint.lease(config.connect_timeout, counters).await;
        let lease = lease.map_err(|error| {
            endpoint.standing.cool_down(config.cool_down);
            Attempt::from(error)
        })?;
        let request = outgoing.copy_for_http2(endpoint);
        let request = request.map_err(|refusal| Attempt::Failed(Failure::Malformed(refusal)))?;
        match lease.send(request, progress, config.answer_timeout).await {
            Ok(response) => {
                outgoing.request.body().forget();
                return outgoing.checked(response, Carrier::Shared(lease));
            }
            Err(SendError::Unsent(_)) => {}
            Err(SendError::Unseen) if outgoing.request.body().is_whole() => {
                endpoint.revision().counters.count(Event::Resent);
            }
            Err(SendError::Lost) if outgoing.repeatable && !lease.is_fresh() && !is_repeated => {
                endpoint.revision().counters.count(Event::Resent);
                is_repeated = true;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(Attempt::NotAccepted(Failure::Refused))
}

impl From<DialError> for Attempt {
    fn from(error: DialError) -> Self {
        Self::NotAccepted(match error {
            DialError::NotAccepted(_) => Failure::Unreachable,
            DialError::NotTrusted(_, reason) => Failure::NotTrusted(reason),
        })
    }
}

impl From<SendError> for Attempt {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Unsent(_) => Self::NotAccepted(Failure::Unreachable),
            SendError::Unseen | SendError::Lost | SendError::Reset => Self::Unanswered,
            SendError::TimedOut => Self::Failed(Failure::TimedOut),
            SendError::TooLarge => Self::Failed(Failure::TooLarge),
            SendError::ClientFailed => Self::Failed(Failure::Client),
        }
    }
}

/// A request that is to be sent, perhaps more than once.
struct Outgoing {
    /// An empty request while one that cannot be repeated is on its way.
    request: Request<Upload>,
    progress: Option<Arc<Progress>>,
    /// Whether sending it twice is the same as sending it once.
    repeatable: bool,
    /// Whether it asks for another protocol.
    asks_to_switch: bool,
}

impl Outgoing {
    fn new(request: Request<Upload>, asks_to_switch: bool) -> Self {
        let progress = request.body().progress();
        Self {
            repeatable: progress.is_none() && request.method().is_idempotent(),
            request,
            progress,
            asks_to_switch,
        }
    }

    /// Whether the answer can be one to this request.
    fn checked(&self, response: Response<Incoming>, carrier: Carrier) -> Result<Exchange, Attempt> {
        let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if switches && !self.asks_to_switch {
            // Nobody asked for it: what follows is not HTTP.
            return Err(Attempt::Failed(Failure::Lost));
        }
        Ok((response, carrier))
    }

    /// What is sent over a connection of HTTP/2, once.
    fn copy_for_http2(&mut self, endpoint: &Endpoint) -> Result<Request<Upload>, Refusal> {
        let mut copy = Request::new(self.request.body_mut().for_attempt());
        copy.method_mut().clone_from(self.request.method());
        copy.uri_mut().clone_from(self.request.uri());
        copy.headers_mut().clone_from(self.request.headers());
        multiplex::settle_head(&mut copy, endpoint.scheme(), endpoint.address)?;
        Ok(copy)
    }

    /// Whether it is to be sent to another endpoint after this one may have read it.
    const fn survives(&self, retries: &Retries) -> bool {
        retries.unanswered && self.repeatable && !self.asks_to_switch
    }

    fn copy_or_take(&mut self) -> Request<Upload> {
        if !self.repeatable {
            return self.take();
        }
        let mut copy = Request::new(Upload::Empty);
        copy.method_mut().clone_from(self.request.method());
        copy.uri_mut().clone_from(self.request.uri());
        copy.headers_mut().clone_from(self.request.headers());
        copy
    }

    fn take(&mut self) -> Request<Upload> {
        std::mem::replace(&mut self.request, Request::new(Upload::Empty))
    }
}

/// A request whose outcome is open. Dropped before it is settled, its client went away.
struct Pending {
    revision: Arc<RevisionState>,
    settled: bool,
}

impl Pending {
    const fn new(revision: Arc<RevisionState>) -> Self {
        Self {
            revision,
            settled: false,
        }
    }

    fn answered(mut self, status: StatusCode, begun: Instant) {
        self.settled = true;
        self.revision.counters.answered(status, begun.elapsed());
    }

    fn failed(mut self, failure: Failure) {
        self.settled = true;
        let revision = &self.revision.name;
        debug!(%revision, ?failure, "a request got no answer");
        self.revision.counters.count(match failure {
            Failure::Client | Failure::TooLarge | Failure::Malformed(_) => Event::ClientAbort,
            _ => Event::NoAnswer,
        });
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.settled {
            self.revision.counters.count(Event::ClientAbort);
        }
    }
}
