//! Requests that got no answer.

use http::StatusCode;

use crate::refusal::{BODY_TOO_LARGE, Refusal};

/// Why no endpoint answered.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Failure {
    NoEndpoint,
    Unreachable,
    /// It does not prove who it is; this is what its client is told.
    NotTrusted(&'static str),
    Lost,
    /// It says that it looks at no more requests now.
    Refused,
    TimedOut,
    Client,
    TooLarge,
    /// Only HTTP/1.1 could express it.
    Malformed(Refusal),
}

impl Failure {
    /// Whether it says something about the endpoint.
    pub(crate) const fn is_endpoints_fault(self) -> bool {
        match self {
            Self::Unreachable
            | Self::NotTrusted(_)
            | Self::Refused
            | Self::Lost
            | Self::TimedOut => true,
            Self::NoEndpoint | Self::Malformed(_) | Self::Client | Self::TooLarge => false,
        }
    }

    /// What its client is told.
    pub(crate) fn answer(self) -> (StatusCode, &'static str) {
        match self {
            Self::NoEndpoint => (
                StatusCode::SERVICE_UNAVAILABLE,
                "nothing serves this revision now",
            ),
            Self::Unreachable => (
                StatusCode::BAD_GATEWAY,
                "the server behind this proxy cannot be reached",
            ),
            Self::NotTrusted(reason) => (StatusCode::BAD_GATEWAY, reason),
            Self::Lost => (
                StatusCode::BAD_GATEWAY,
                "the server behind this proxy closed the connection without an answer",
            ),
            Self::Refused => (
                StatusCode::SERVICE_UNAVAILABLE,
                "the server behind this proxy takes no more requests now",
            ),
            Self::TimedOut => (
                StatusCode::GATEWAY_TIMEOUT,
                "the server behind this proxy did not answer in time",
            ),
            Self::TooLarge => (BODY_TOO_LARGE.status, BODY_TOO_LARGE.text),
            Self::Malformed(refusal) => (refusal.status, refusal.text),
            Self::Client => (
                StatusCode::REQUEST_TIMEOUT,
                "the request's body did not arrive",
            ),
        }
    }
}

/// Why a request got no answer over a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SendError {
    /// The connection was closed before any of the request was written, which is as it was.
    Unsent,
    /// The endpoint says that it has not looked at the request.
    Unseen,
    /// The endpoint broke off this request, and no other.
    Reset,
    /// The connection broke after something may have been read.
    Lost,
    /// The endpoint stayed silent for too long.
    TimedOut,
    /// The body of the request is larger than it may be.
    TooLarge,
    /// The client stopped sending the body of its request.
    ClientFailed,
}
