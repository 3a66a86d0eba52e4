//! What is known of a request, until its line is written.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::header::{HOST, HeaderMap, HeaderName, HeaderValue, REFERER, USER_AGENT};
use http::{Method, Request, Response, StatusCode, Version};

use super::config::Format;
use super::queue::Queue;
use super::{combined, json};
use crate::answer::Answer;
use crate::client::Client;
use crate::endpoint::RevisionState;
use crate::route::Reason;
use crate::upload::Progress;

/// What nginx logs of clients that go away.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// One request. Its line is handed over when this is dropped: at the end of the answer, or when the
/// client goes away.
#[derive(Debug)]
pub(crate) struct Record {
    queue: Arc<Queue>,
    pub(super) at: SystemTime,
    begun: Instant,
    pub(super) client: Vec<u8>,
    /// Method, path and version; `None` for what was no request.
    pub(super) line: Option<(Method, String, Version)>,
    pub(super) host: Option<HeaderValue>,
    pub(super) referer: Option<HeaderValue>,
    pub(super) user_agent: Option<HeaderValue>,
    status: Option<StatusCode>,
    upload: Option<Arc<Progress>>,
    pub(super) bytes_out: u64,
    pub(super) revision: Option<(Arc<RevisionState>, Reason)>,
    pub(super) endpoint: Option<SocketAddr>,
    pub(super) retries: u32,
    pub(super) upstream_time: Option<Duration>,
}

impl Record {
    pub(crate) fn begin<B>(queue: &Arc<Queue>, client: &Client, request: &Request<B>) -> Box<Self> {
        let path = request.uri().path_and_query();
        let path = path.map_or("/", |path| path.as_str());
        let line = (request.method().clone(), path.to_owned(), request.version());
        Self::new(queue, client, Some(line), request.headers())
    }

    /// Of what was no request.
    pub(crate) fn of_no_request(queue: &Arc<Queue>, client: &Client) -> Box<Self> {
        Self::new(queue, client, None, &HeaderMap::new())
    }

    fn new(
        queue: &Arc<Queue>,
        client: &Client,
        line: Option<(Method, String, Version)>,
        headers: &HeaderMap,
    ) -> Box<Self> {
        let header = |name: HeaderName| headers.get(name).cloned();
        Box::new(Self {
            queue: Arc::clone(queue),
            at: SystemTime::now(),
            begun: Instant::now(),
            client: client.address(headers).to_vec(),
            line,
            host: header(HOST),
            referer: header(REFERER),
            user_agent: header(USER_AGENT),
            status: None,
            upload: None,
            bytes_out: 0,
            revision: None,
            endpoint: None,
            retries: 0,
            upstream_time: None,
        })
    }

    /// Who is to answer, and why.
    pub(crate) fn chosen(&mut self, revision: &Arc<RevisionState>, reason: Reason) {
        self.revision = Some((Arc::clone(revision), reason));
    }

    /// Whose bytes are counted.
    pub(crate) fn uploads(&mut self, progress: Option<Arc<Progress>>) {
        self.upload = progress;
    }

    /// Which endpoint is tried, after so many others.
    pub(crate) fn tries(&mut self, endpoint: SocketAddr, others: u32) {
        self.endpoint = Some(endpoint);
        self.retries = others;
    }

    /// That an endpoint has answered.
    pub(crate) fn endpoint_answered(&mut self) {
        self.upstream_time = Some(self.begun.elapsed());
    }

    /// The answer as it goes to the client, which takes the record along as long as it lasts.
    pub(crate) fn answered(mut self: Box<Self>, response: &mut Response<Answer>) {
        self.status = Some(response.status());
        match response.body_mut() {
            Answer::Text(text) => self.bytes_out = text.as_ref().map_or(0, |t| t.len() as u64),
            Answer::Relay(relay) if relay.is_end_stream() => {}
            Answer::Relay(relay) => relay.log_to(self),
        }
    }

    /// A part of the answer that is passed on.
    pub(crate) fn sends(&mut self, bytes: usize) {
        self.bytes_out += bytes as u64;
    }

    pub(super) fn status(&self) -> u16 {
        self.status.map_or(CLIENT_CLOSED_REQUEST, |s| s.as_u16())
    }

    pub(super) fn bytes_in(&self) -> u64 {
        self.upload.as_ref().map_or(0, |upload| upload.bytes())
    }

    pub(super) fn request_time(&self) -> Duration {
        self.begun.elapsed()
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let mut line = match self.queue.format {
            Format::Combined => combined::line(self),
            Format::Json => json::line(self),
        };
        line.push('\n');
        self.queue.push(line);
    }
}
