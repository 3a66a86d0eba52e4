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

mod date;
mod encode;
mod outbox;
mod wire;

#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::mem::take;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use hyper::body::Body;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tracing::debug;

use super::Speaks;
use super::lingering::{linger, part, send_off};
use super::opening::poll_begin;
use crate::config::Config;
use crate::inbound::Inbound;
use crate::limits::Limits;
use crate::phase::Phase;
use crate::refusal::Refusal;
use crate::tunnel::Tunnel;
use crate::wakeups::{Wakeup, Wakeups};
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
}

impl Terms {
    pub(crate) const fn of_client(config: &Config) -> Self {
        Self {
            limits: config.limits,
            header_timeout: config.header_timeout,
            send_timeout: config.send_timeout,
        }
    }
}

/// What a client asks, or why that is refused. It goes through many hands.
pub(crate) type Question = Result<Box<Request<Inbound>>, Refusal>;

/// Who answers the requests of a client.
pub(crate) trait Service {
    type Body: Body<Data = Bytes>;

    /// How those are served who ask.
    fn terms(&self) -> Terms;

    /// What wakes them up.
    fn wakeups(&self) -> &Wakeups;

    fn answer(&self, question: Question) -> impl Future<Output = Response<Self::Body>> + Send;

    /// What follows an answer that switches protocols.
    fn tunnel(&self) -> Option<Tunnel> {
        None
    }
}

/// Serves one connection until its client is done or the proxy is over. Unless it is known that the
/// client speaks HTTP/1.1, it may turn out to speak HTTP/2: then returns what has come of that.
///
/// Most connections wait for a request, and there are many: what that takes lies here, and what it
/// takes to answer, or to end, is boxed as long as it lasts.
#[expect(
    clippy::manual_async_fn,
    reason = "a function would hold its arguments twice"
)]
pub(crate) fn serve<S, A>(
    stream: &mut S,
    service: &A,
    mut is_known: bool,
) -> impl Future<Output = Option<BytesMut>>
where
    S: AsyncRead + AsyncWrite + Unpin,
    A: Service,
{
    async move {
        let mut wakeup = Wakeup::new(service.wakeups());
        let mut until = Instant::now() + service.terms().header_timeout;
        loop {
            let end = {
                let input = poll_fn(|cx| poll_rest(stream, cx, until, &mut wakeup)).await;
                let speaking = input.map(|input| {
                    let wire = Wire::new(&mut *stream, input, &mut wakeup);
                    Box::pin(speak(wire, service, until, is_known))
                });
                match speaking {
                    None => End::Part,
                    Some(speaking) => unless_over(speaking, service).await.unwrap_or(End::Break),
                }
            };
            match end {
                End::Rest(next) => (until, is_known) = (next, true),
                End::Http2(first) => return Some(first),
                End::Break => return None,
                end => {
                    unless_over(Box::pin(leave(&mut *stream, end)), service).await;
                    return None;
                }
            }
        }
    }
}

/// What becomes of it, if the proxy is not over before.
fn unless_over<T>(
    mut future: Pin<Box<impl Future<Output = T>>>,
    service: &impl Service,
) -> impl Future<Output = Option<T>> {
    let phases = &service.wakeups().phases;
    poll_fn(move |cx| match phases.is_at(Phase::Over) {
        true => Poll::Ready(None),
        false => future.as_mut().poll(cx).map(Some),
    })
}

/// Waits for a request of a client that is asking for nothing. `None` when it is done, has not asked in
/// time, or is not to ask any more.
fn poll_rest<S: AsyncRead + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    until: Instant,
    wakeup: &mut Wakeup<'_>,
) -> Poll<Option<BytesMut>> {
    let mut input = BytesMut::new();
    match poll_begin(stream, cx, &mut input) {
        Poll::Ready(Ok(1..)) => {
            wakeup.join(cx, until);
            Poll::Ready(Some(input))
        }
        Poll::Ready(Ok(0)) => Poll::Ready(None),
        Poll::Ready(Err(error)) => {
            debug!(%error, "a client's connection ended badly");
            Poll::Ready(None)
        }
        Poll::Pending => wakeup.poll_enough(cx, until).map(|_| None),
    }
}

/// What comes after the last answer.
enum End {
    /// Nothing for now. The client has so long to ask again.
    Rest(Instant),
    /// HTTP/2, of which so much has come.
    Http2(BytesMut),
    /// Another protocol, and what has come of it.
    Tunnel(Tunnel, Bytes),
    /// A word to a client that did not say what it wanted.
    SendOff(Refusal),
    /// The end, to which the client may have to be listened for a while.
    Linger,
    Part,
    /// The end at once: the client is gone, or has to notice that its answer is not whole.
    Break,
}

async fn leave<S>(stream: S, end: End)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match end {
        End::Tunnel(tunnel, sent) => tunnel.run(stream, sent).await,
        End::SendOff(refusal) => send_off(stream, refusal).await,
        End::Linger => linger(stream).await,
        End::Part => part(stream).await,
        End::Rest(_) | End::Http2(_) | End::Break => {}
    }
}

/// Answers a request that has begun, and those that come without a pause behind it. The first head has
/// to be there by `until`.
#[expect(
    clippy::manual_async_fn,
    reason = "a function would hold its arguments twice"
)]
fn speak<S, A>(
    mut wire: Wire<'_, '_, S>,
    service: &A,
    mut until: Instant,
    is_known: bool,
) -> impl Future<Output = End>
where
    S: AsyncRead + AsyncWrite + Unpin,
    A: Service,
{
    async move {
        if !is_known {
            match poll_fn(|cx| wire.poll_speaks(cx, until)).await {
                Some(Speaks::Http1) => {}
                Some(Speaks::Http2) => return End::Http2(wire.input),
                None => return End::Break,
            }
        }
        let terms = service.terms();
        loop {
            let next = poll_fn(|cx| wire.poll_next(cx, &terms, until)).await;
            let (question, exchange) = match next {
                Next::Asks(question, exchange) => (question, exchange),
                Next::Late if wire.is_within_head() => {
                    let text = "the request's head did not arrive";
                    return End::SendOff(Refusal::new(StatusCode::REQUEST_TIMEOUT, text));
                }
                Next::Late => return End::Break,
                Next::Leaves => return End::Part,
            };
            let conversing = converse(&mut wire, service, question, exchange, &terms);
            if let Some(end) = conversing.await {
                return end;
            }
            until = Instant::now() + terms.header_timeout;
            if wire.input.is_empty() {
                return End::Rest(until);
            }
        }
    }
}

/// Has one request answered, and sends the answer. `None` when the next request may follow.
async fn converse<S, A>(
    wire: &mut Wire<'_, '_, S>,
    service: &A,
    question: Question,
    mut exchange: Exchange,
    terms: &Terms,
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
                    let is_last = wire.is_finishing() || wire.is_rest_lost(cx) || wire.is_read_up;
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
        let sent = take(&mut wire.input).freeze();
        let tunnel = service.tunnel();
        return Some(tunnel.map_or(End::Break, |tunnel| End::Tunnel(tunnel, sent)));
    }
    let rest = poll_fn(|cx| wire.poll_rest(cx)).await;
    if wire.upload.is_some() || wire.is_read_up {
        return Some(End::Linger);
    }
    let goes_on = encoder.keeps_alive() && rest == Rest::Read && !wire.is_finishing();
    (!goes_on).then_some(End::Part)
}
