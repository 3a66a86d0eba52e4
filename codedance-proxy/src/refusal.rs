//! Requests that the proxy answers itself.

use http::StatusCode;

/// Why a request goes no further, and what its client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) text: &'static str,
}

pub(crate) const BODY_TOO_LARGE: Refusal = Refusal::new(
    StatusCode::PAYLOAD_TOO_LARGE,
    "the request's body is too large",
);

impl Refusal {
    pub(crate) const fn new(status: StatusCode, text: &'static str) -> Self {
        Self { status, text }
    }

    /// The whole answer, for a connection that no HTTP server looks after.
    pub(crate) fn message(self) -> String {
        let Self { status, text } = self;
        let length = text.len() + 1;
        format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\
             content-type: text/plain; charset=utf-8\r\n\r\n{text}\n"
        )
    }

    pub(crate) const fn bad_request(text: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }
}
