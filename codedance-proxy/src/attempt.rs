//! One request and one endpoint.

use http::{Response, StatusCode};

use crate::carrier::Carrier;
use crate::config::{Config, Reuse};
use crate::dial::DialError;
use crate::endpoint::Endpoint;
use crate::failure::{Failure, SendError};
use crate::headers;
use crate::outgoing::Outgoing;
use crate::stats::{Counters, Event};
use crate::transport::HttpVersion;

/// Why an endpoint gave no answer.
pub(crate) enum Attempt {
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
pub(crate) async fn attempt(
    config: &Config,
    endpoint: &Endpoint,
    counters: &Counters,
    outgoing: &mut Outgoing,
) -> Result<Response<Carrier>, Attempt> {
    let progress = outgoing.progress.clone();
    let progress = progress.as_deref();
    if endpoint.version() == HttpVersion::Http2 {
        // Apart, because it would make the tasks of all other requests larger.
        return Box::pin(attempt_shared(config, endpoint, counters, outgoing)).await;
    }
    headers::default_host(&mut outgoing.request, endpoint.address);
    // A switch of protocols ends the life of its connection, and gets one of its own.
    let reuse = outgoing.repeatable || config.reuse == Reuse::Always;
    while reuse && !outgoing.asks_to_switch {
        let Some(mut upstream) = endpoint.pool.take() else {
            break;
        };
        let request = &mut outgoing.request;
        match upstream
            .send(request, progress, config.answer_timeout)
            .await
        {
            Ok(head) => return checked(head.map(|()| Carrier::Own(upstream)), outgoing),
            Err(SendError::Unsent) => {}
            Err(SendError::Lost) if outgoing.repeatable => {
                counters.count(Event::Resent);
                break;
            }
            Err(error) => return Err(error.into()),
        }
    }
    // Apart, like what is for HTTP/2: it is rare.
    let connecting = Box::pin(endpoint.connect(config.connect_timeout, Some(counters)));
    let mut upstream = connecting.await.map_err(|error| {
        endpoint.standing.cool_down(config.cool_down);
        Attempt::from(error)
    })?;
    let request = &mut outgoing.request;
    let head = upstream
        .send(request, progress, config.answer_timeout)
        .await?;
    checked(head.map(|()| Carrier::Own(upstream)), outgoing)
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
    counters: &Counters,
    outgoing: &mut Outgoing,
) -> Result<Response<Carrier>, Attempt> {
    let progress = outgoing.progress.clone();
    let progress = progress.as_deref();
    let mut is_repeated = false;
    for _ in 0..ASKED_AGAIN {
        let lease = endpoint.lease(config.connect_timeout, Some(counters)).await;
        let lease = lease.map_err(|error| {
            endpoint.standing.cool_down(config.cool_down);
            Attempt::from(error)
        })?;
        let request = outgoing.copy_for_http2(endpoint);
        let request = request.map_err(|refusal| Attempt::Failed(Failure::Malformed(refusal)))?;
        match lease.send(request, progress, config.answer_timeout).await {
            Ok(response) => {
                outgoing.request.body().forget();
                return checked(
                    response.map(|body| Carrier::Shared { lease, body }),
                    outgoing,
                );
            }
            Err(SendError::Unsent) => {}
            Err(SendError::Unseen) if outgoing.request.body().is_whole() => {
                counters.count(Event::Resent);
            }
            Err(SendError::Lost) if outgoing.repeatable && !lease.is_fresh() && !is_repeated => {
                is_repeated = true;
                counters.count(Event::Resent);
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

/// Whether the answer can be one to this request.
fn checked(response: Response<Carrier>, outgoing: &Outgoing) -> Result<Response<Carrier>, Attempt> {
    let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if switches && !outgoing.asks_to_switch {
        // Nobody asked for it: what follows is not HTTP.
        return Err(Attempt::Failed(Failure::Lost));
    }
    Ok(response)
}

impl From<SendError> for Attempt {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Unsent => Self::NotAccepted(Failure::Unreachable),
            SendError::Unseen | SendError::Lost | SendError::Reset => Self::Unanswered,
            SendError::TimedOut => Self::Failed(Failure::TimedOut),
            SendError::TooLarge => Self::Failed(Failure::TooLarge),
            SendError::ClientFailed => Self::Failed(Failure::Client),
        }
    }
}
