//! Requests on their way to an endpoint.

use std::sync::Arc;

use http::Request;

use crate::endpoint::Endpoint;
use crate::multiplex;
use crate::refusal::Refusal;
use crate::retries::Retries;
use crate::upload::{Progress, Upload};

/// A request that is to be sent, perhaps more than once.
pub(crate) struct Outgoing {
    /// Without its body once that is on its way and cannot be had again.
    pub(crate) request: Request<Upload>,
    pub(crate) progress: Option<Arc<Progress>>,
    /// Whether sending it twice is the same as sending it once.
    pub(crate) repeatable: bool,
    /// Whether it asks for another protocol.
    pub(crate) asks_to_switch: bool,
}

impl Outgoing {
    pub(crate) fn new(request: Request<Upload>, asks_to_switch: bool) -> Self {
        let progress = request.body().progress();
        Self {
            repeatable: request.body().again().is_some() && request.method().is_idempotent(),
            request,
            progress,
            asks_to_switch,
        }
    }

    /// What is sent over a connection of HTTP/2, once.
    pub(crate) fn copy_for_http2(
        &mut self,
        endpoint: &Endpoint,
    ) -> Result<Request<Upload>, Refusal> {
        let mut copy = Request::new(self.request.body_mut().for_attempt());
        copy.method_mut().clone_from(self.request.method());
        copy.uri_mut().clone_from(self.request.uri());
        copy.headers_mut().clone_from(self.request.headers());
        multiplex::settle_head(&mut copy, endpoint.scheme(), endpoint.address)?;
        Ok(copy)
    }

    /// Whether it is to be sent to another endpoint after this one may have read it.
    pub(crate) const fn survives(&self, retries: &Retries) -> bool {
        retries.unanswered && self.repeatable && !self.asks_to_switch
    }
}
