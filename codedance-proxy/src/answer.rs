//! The body of an answer on its way to a client.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::body::{Body, Frame, SizeHint};
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
    pub(crate) fn new(carrier: Carrier, flight: Flight) -> Self {
        let mut relay = Self {
            exchange: Some((carrier, flight)),
            record: None,
        };
        relay.end_if_complete();
        relay
    }

    /// Has the record note what is passed on, and end with the answer.
    pub(crate) fn log_to(&mut self, record: Box<Record>) {
        self.record = Some(record);
    }

    pub(crate) const fn is_end_stream(&self) -> bool {
        self.exchange.is_none()
    }

    fn end_if_complete(&mut self) {
        let is_complete = |(carrier, _): &mut (Carrier, Flight)| carrier.is_end_stream();
        if let Some((carrier, flight)) = self.exchange.take_if(is_complete) {
            carrier.give_back(&flight.endpoint().pool);
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some((carrier, _)) = &mut self.exchange else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(carrier).poll_frame(cx));
        match &frame {
            Some(Ok(_)) => self.end_if_complete(),
            Some(Err(_)) => {
                if let Some((_, flight)) = self.exchange.take() {
                    flight.endpoint().revision().counters.count(Event::CutShort);
                }
            }
            None => {
                if let Some((carrier, flight)) = self.exchange.take() {
                    carrier.give_back(&flight.endpoint().pool);
                }
            }
        }
        if let Some(record) = &mut self.record
            && let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            record.sends(data.len());
        }
        Poll::Ready(frame)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.exchange {
            Some((carrier, _)) => carrier.size_hint(),
            None => SizeHint::with_exact(0),
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
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Relay(relay) => relay.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(text) => text.is_none(),
            Self::Relay(relay) => relay.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
            Self::Relay(relay) => relay.size_hint(),
        }
    }
}
