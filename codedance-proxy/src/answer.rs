//! The body of an answer on its way to a client.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::{Response, StatusCode};

use crate::access_log::Record;
use crate::carrier::Carrier;
use crate::endpoint::Flight;
use crate::refusal::Refusal;
use crate::stats::Event;

/// The body of an answer: the proxy's own text, or what an endpoint sends.
#[derive(Debug)]
pub(crate) enum Answer {
    Text(Option<Bytes>),
    Relay(Relay),
}

/// An endpoint's answer, passed on as it comes. It is in flight until it ends or is dropped.
#[derive(Debug)]
pub(crate) struct Relay {
    body: Incoming,
    /// `None` once the answer has ended.
    exchange: Option<(Carrier, Flight)>,
    /// `None` where nobody keeps a log.
    record: Option<Box<Record>>,
}

impl Answer {
    /// An answer of the proxy itself: one line of plain text.
    pub(crate) fn text(status: StatusCode, text: &str) -> Response<Self> {
        let mut response = Response::new(Self::Text(Some(format!("{text}\n").into())));
        *response.status_mut() = status;
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, plain);
        response
    }

    /// Tells a client why its request goes no further, and that none after it does.
    pub(crate) fn refuse(refusal: Refusal) -> Response<Self> {
        let mut response = Self::text(refusal.status, refusal.text);
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
        response
    }
}

impl Relay {
    pub(crate) fn new(body: Incoming, carrier: Carrier, flight: Flight) -> Self {
        let mut relay = Self {
            body,
            exchange: Some((carrier, flight)),
            record: None,
        };
        if relay.body.is_end_stream() {
            relay.end();
        }
        relay
    }

    /// Has the record note what is passed on, and end with the answer.
    pub(crate) fn log_to(&mut self, record: Box<Record>) {
        self.record = Some(record);
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    /// The answer is complete.
    fn end(&mut self) {
        if let Some((carrier, flight)) = self.exchange.take() {
            carrier.give_back(&flight.endpoint().pool);
        }
    }

    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.exchange {
            Some((carrier, _)) => carrier.poll_body(&mut self.body, cx),
            None => Pin::new(&mut self.body).poll_frame(cx),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some((_, flight)) = &self.exchange {
            flight
                .endpoint()
                .revision()
                .counters
                .count(Event::ClientAbort);
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let relay = match self.get_mut() {
            Self::Text(text) => return Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Relay(relay) => relay,
        };
        let polled = relay.poll_body(cx);
        if let Some(record) = &mut relay.record
            && let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            record.sends(data.len());
        }
        match &polled {
            Poll::Ready(Some(Err(_))) => {
                if let Some((_, flight)) = relay.exchange.take() {
                    flight.endpoint().revision().counters.count(Event::CutShort);
                }
            }
            Poll::Ready(None) => relay.end(),
            Poll::Ready(Some(Ok(_))) if relay.body.is_end_stream() => relay.end(),
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(text) => text.is_none(),
            Self::Relay(relay) => relay.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
            Self::Relay(relay) => relay.body.size_hint(),
        }
    }
}
