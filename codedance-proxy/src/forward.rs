//! One request through the proxy.

use std::sync::Arc;
use std::time::Instant;

use http::Version;
use hyper::{Request, Response, StatusCode};
use tracing::debug;

use crate::access_log::Record;
use crate::answer::{Answer, Relay};
use crate::attempt::{Attempt, attempt};
use crate::carrier::Carrier;
use crate::client::Client;
use crate::endpoint::{Flight, RevisionState};
use crate::failure::Failure;
use crate::headers;
use crate::health::{note_answer, note_failure};
use crate::inbound::Inbound;
use crate::outgoing::Outgoing;
use crate::refusal::{BODY_TOO_LARGE, Refusal};
use crate::route::{Chosen, Route};
use crate::server::Plane;
use crate::stats::Event;
use crate::tunnel::Tunnel;
use crate::upload::Upload;

/// Answers one request of a client: with what an endpoint of the chosen revision answers, or with a
/// few words of the proxy's own.
pub(crate) async fn forward(
    plane: &Plane,
    client: &Client,
    request: Box<Request<Inbound>>,
) -> Response<Answer> {
    let log = plane.log.as_ref();
    let mut record = log.map(|log| Record::begin(log, client, &request));
    let mut response = respond(plane, client, request, record.as_deref_mut()).await;
    if let Some(record) = record {
        record.answered(&mut response);
    }
    response
}

/// Answers one request that goes no further.
pub(crate) fn refuse<B>(
    plane: &Plane,
    client: &Client,
    request: &Request<B>,
    refusal: Refusal,
) -> Response<Answer> {
    let mut response = Answer::text(refusal.status, refusal.text);
    if let Some(log) = &plane.log {
        Record::begin(log, client, request).answered(&mut response);
    }
    response
}

/// Answers what was no request.
pub(crate) fn turn_down(plane: &Plane, client: &Client, refusal: Refusal) -> Response<Answer> {
    let mut response = Answer::refuse(refusal);
    if let Some(log) = &plane.log {
        Record::of_no_request(log, client).answered(&mut response);
    }
    response
}

async fn respond(
    plane: &Plane,
    client: &Client,
    request: Box<Request<Inbound>>,
    mut record: Option<&mut Record>,
) -> Response<Answer> {
    let begun = Instant::now();
    let (route, mut outgoing) = match prepare(plane, client, *request, record.as_deref_mut()) {
        Ok(prepared) => prepared,
        Err(refusal) => return Answer::refuse(refusal),
    };
    let pending = Pending::new(Arc::clone(&route.revision));
    match exchange(plane, route, &mut outgoing, record).await {
        Ok((response, flight)) => {
            pending.answered(response.status(), begun);
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                return switch_protocol(response, flight, client);
            }
            let (mut parts, carrier) = response.into_parts();
            headers::to_client(&mut parts.headers);
            parts.version = Version::HTTP_11;
            let relay = Relay::new(carrier, flight);
            Response::from_parts(parts, Answer::Relay(relay))
        }
        Err(failure) => {
            pending.failed(failure);
            let refusal = match failure {
                Failure::Client => outgoing.progress.and_then(|progress| progress.refusal()),
                Failure::TooLarge => Some(BODY_TOO_LARGE),
                _ => None,
            };
            if let Some(refusal) = refusal {
                return Answer::refuse(refusal);
            }
            let (status, text) = failure.answer();
            Answer::text(status, text)
        }
    }
}

/// Chooses who answers, and makes a client's request what they get. Whoever gets a copy gets it now.
fn prepare(
    plane: &Plane,
    client: &Client,
    request: Request<Inbound>,
    mut record: Option<&mut Record>,
) -> Result<(Arc<Route>, Outgoing), Refusal> {
    let (mut parts, body) = request.into_parts();
    let address = client.address(&parts.headers);
    let Chosen {
        route,
        reason,
        mirror,
    } = plane.routing.choose(&parts.headers, address);
    if let Some(record) = &mut record {
        record.chosen(&route.revision, reason);
    }
    let asks_to_switch = headers::to_endpoint(&mut parts, client)?;
    // Extensions are hyper's own, and would be copied with every attempt.
    parts.extensions.clear();
    let mut upload = Upload::new(body, plane.config.limits.body_bytes);
    if asks_to_switch && upload.progress().is_some() {
        let text = "a request that asks for another protocol cannot have a body";
        return Err(Refusal::bad_request(text));
    }
    if let Some(mirror) = mirror.filter(|_| !asks_to_switch) {
        mirror.copy(&parts, &mut upload);
    }
    let outgoing = Outgoing::new(Request::from_parts(parts, upload), asks_to_switch);
    if let Some(record) = &mut record {
        record.uploads(outgoing.progress.clone());
    }
    Ok((route, outgoing))
}

/// Passes on that the endpoint agrees to another protocol, and leaves the rest to a tunnel.
fn switch_protocol(
    response: Response<Carrier>,
    flight: Flight,
    client: &Client,
) -> Response<Answer> {
    let (mut parts, carrier) = response.into_parts();
    let Carrier::Own(upstream) = carrier else {
        let (status, text) = Failure::Lost.answer();
        return Answer::text(status, text);
    };
    let (stream, greeting) = upstream.into_tunnel();
    client.open(Tunnel::new(stream, greeting, flight));
    headers::to_client_switching(&mut parts.headers);
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    Response::from_parts(parts, Answer::Text(None))
}

/// Tries the endpoints in turn until one accepts the request, and waits for its answer.
async fn exchange(
    plane: &Plane,
    mut route: Arc<Route>,
    outgoing: &mut Outgoing,
    mut record: Option<&mut Record>,
) -> Result<(Response<Carrier>, Flight), Failure> {
    let Plane {
        routing, config, ..
    } = plane;
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
            if let Some(record) = &mut record {
                record.tries(endpoint.address, tried);
            }
            tried += 1;
            let counters = &route.revision.counters;
            match attempt(config, endpoint, counters, outgoing).await {
                Ok(response) => {
                    if let Some(record) = &mut record {
                        record.endpoint_answered();
                    }
                    let status = response.status();
                    note_answer(detection, endpoint, &route.endpoints, status);
                    return Ok((response, flight));
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
