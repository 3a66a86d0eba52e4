//! A client that speaks HTTP/1.1 or 1.0.
//!
//! A connection is served by one task, and its requests one after the other: a head is read, the
//! request is answered, its body is read meanwhile as it is asked for, and the answer is sent. The
//! rules are those of RFC 9112: where messages begin and end (2.2, 6, 7), when a connection goes on
//! (9.3), requests that are sent ahead (9.3.2), its end (9.6), and `100 Continue` (RFC 9110, 10.1.1).
//!
//! It is the proxy's own, because every head has to be read strictly before anybody else reads it;
//! a server behind that reader parsed it again, and handed bodies over through channels, which took
//! a tenth of the instructions of a small request.

mod alarm;
mod date;
mod encode;
mod outbox;
mod wire;

#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::Body;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::Instant;

use super::lingering::{linger, part, send_off};
use crate::config::Config;
use crate::inbound::Inbound;
use crate::limits::Limits;
use crate::phase::{Phase, reached};
use crate::refusal::Refusal;
use crate::tunnel::Tunnel;
use encode::{Encoder, Exchange};
use wire::{Gone, Next, Rest, Wire};

/// How a client is served.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) limits: Limits,
    /// How long it may take for each head.
    pub(crate) header_timeout: Duration,
    /// How long it may take nothing of an answer.
    pub(crate) send_timeout: Duration,
    /// Whether it is left alone when it is quiet.
    pub(crate) rests: bool,
}

impl Terms {
    pub(crate) const fn of_client(config: &Config) -> Self {
        Self {
            limits: config.limits,
            header_timeout: config.header_timeout,
            send_timeout: config.send_timeout,
            rests: true,
        }
    }
}

/// The connection of a client that asks for nothing at the moment.
#[derive(Debug)]
pub(crate) struct Quiet<S> {
    pub(crate) stream: S,
    /// How long it has to ask again.
    pub(crate) until: Instant,
}

/// What a client asks, or why that is refused.
pub(crate) type Question = Result<Request<Inbound>, Refusal>;

/// Who answers the requests of a client.
pub(crate) trait Service {
    type Body: Body<Data = Bytes>;

    fn answer(&self, question: Question) -> impl Future<Output = Response<Self::Body>> + Send;

    /// What follows an answer that switches protocols.
    fn tunnel(&self) -> Option<Tunnel> {
        None
    }
}

/// Serves one connection until its client is done or the proxy is over, or until the client is quiet:
/// all that is needed to serve it is gone then. The first head has to be there by `until`.
///
/// Most connections wait for a request, and there are many: what serves them lies here once, and what
/// an exchange needs, or the end, is boxed as long as it lasts.
pub(crate) fn serve<S, A>(
    stream: S,
    service: A,
    terms: Terms,
    mut until: Option<Instant>,
    mut phase: watch::Receiver<Phase>,
) -> impl Future<Output = Option<Quiet<S>>>
where
    S: AsyncRead + AsyncWrite + Unpin,
    A: Service,
{
    let mut wire = Wire::new(stream);
    async move {
        let is_finishing = AtomicBool::new(false);
        let mut phases = pin!(async {
            reached(&mut phase, Phase::Finishing).await;
            is_finishing.store(true, Relaxed);
            reached(&mut phase, Phase::Over).await;
        });
        let end = {
            let mut speaking = pin!(speak(
                &mut wire,
                &service,
                &terms,
                &mut until,
                &is_finishing
            ));
            poll_fn(|cx| match phases.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(End::Break),
                Poll::Pending => speaking.as_mut().poll(cx),
            })
            .await
        };
        let mut leaving = match end {
            End::Break => return None,
            End::Quiet(until) => {
                let stream = wire.stream;
                return Some(Quiet { stream, until });
            }
            end => Box::pin(leave(wire, end)),
        };
        poll_fn(|cx| match phases.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => leaving.as_mut().poll(cx),
        })
        .await;
        None
    }
}

/// What comes after the last answer.
enum End {
    /// Nothing for now. The client has so long to ask again.
    Quiet(Instant),
    /// Another protocol.
    Tunnel(Tunnel),
    /// A word to a client that did not say what it wanted.
    SendOff(Refusal),
    /// The end, to which the client may have to be listened for a while.
    Linger,
    Part,
    /// The end at once: the client is gone, or has to notice that its answer is not whole.
    Break,
}

async fn leave<S>(wire: Wire<S>, end: End)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match end {
        End::Tunnel(tunnel) => tunnel.run(wire.stream, wire.input.freeze()).await,
        End::SendOff(refusal) => send_off(wire.stream, refusal).await,
        End::Linger => linger(wire.stream).await,
        End::Part => part(wire.stream).await,
        End::Quiet(_) | End::Break => {}
    }
}

async fn speak<S, A>(
    wire: &mut Wire<S>,
    service: &A,
    terms: &Terms,
    until: &mut Option<Instant>,
    is_finishing: &AtomicBool,
) -> End
where
    S: AsyncRead + AsyncWrite + Unpin,
    A: Service,
{
    let is_finishing = || is_finishing.load(Relaxed);
    loop {
        let next = poll_fn(|cx| wire.poll_next(cx, terms, until.take(), is_finishing)).await;
        let (question, exchange) = match next {
            Next::Asks(asked) => {
                let exchange = Exchange::new(&asked);
                let body = wire.body(asked.framing, asked.expects_continue);
                (Ok(asked.request.map(|()| body)), exchange)
            }
            Next::Errs(refusal) => {
                wire.is_read_up = true;
                (Err(refusal), Exchange::UNKNOWN)
            }
            Next::Quiet(until) => return End::Quiet(until),
            Next::Late if wire.is_within_head() => {
                let text = "the request's head did not arrive";
                return End::SendOff(Refusal::new(StatusCode::REQUEST_TIMEOUT, text));
            }
            Next::Late => return End::Break,
            Next::Leaves => return End::Part,
        };
        let conversing = converse(wire, service, question, exchange, terms, &is_finishing);
        match Box::pin(conversing).await {
            None => {}
            Some(end) => return end,
        }
    }
}

/// Has one request answered, and sends the answer. `None` when the next request may follow.
async fn converse<S, A>(
    wire: &mut Wire<S>,
    service: &A,
    question: Question,
    mut exchange: Exchange,
    terms: &Terms,
    is_finishing: &impl Fn() -> bool,
) -> Option<End>
where
    S: AsyncRead + AsyncWrite + Unpin,
    A: Service,
{
    let answered = {
        let mut answering = pin!(service.answer(question));
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(response) = answering.as_mut().poll(cx) {
                    let is_last = is_finishing() || wire.is_rest_lost(cx) || wire.is_read_up;
                    return Poll::Ready(Ok::<_, Gone>((response, is_last)));
                }
                ready!(wire.poll_upload(cx))?;
            }
        })
        .await
    };
    let Ok((response, is_last)) = answered else {
        return Some(End::Break);
    };
    exchange.keeps_alive &= !is_last;
    let (head, body) = response.into_parts();
    wire.begin_answer();
    let size = (!body.is_end_stream()).then(|| body.size_hint());
    let mut encoder = Encoder::begin(&mut wire.output, &head, size, exchange);
    let status = head.status;
    drop(head);
    {
        let mut body = pin!((!encoder.is_done()).then_some(body));
        let sent = poll_fn(|cx| {
            loop {
                let sent = wire.poll_answer(cx, &mut encoder, body.as_mut(), exchange, terms);
                if sent.is_ready() {
                    return sent;
                }
                ready!(wire.poll_upload(cx))?;
            }
        });
        if sent.await.is_err() || encoder.is_broken() {
            return Some(End::Break);
        }
    }
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Some(service.tunnel().map_or(End::Break, End::Tunnel));
    }
    let rest = poll_fn(|cx| wire.poll_rest(cx)).await;
    wire.release();
    if wire.upload.is_some() || wire.is_read_up {
        return Some(End::Linger);
    }
    let goes_on = encoder.keeps_alive() && rest == Rest::Read && !is_finishing();
    (!goes_on).then_some(End::Part)
}
