//! What can go wrong between a question and its answer.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use codedance_core::time::display_duration;
use codedance_core::{Error, ErrorKind};
use reqwest::StatusCode;

/// One failure. What a server says in it holds no secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("{key}: {problem}")]
    Config { key: String, problem: String },
    #[error("{key}: cannot read {}", path.display())]
    File {
        key: String,
        path: PathBuf,
        source: io::Error,
    },
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
    #[error(
        "the operating system knows no authorities; install its `ca-certificates`, or name a file \
         under `ca_file`"
    )]
    NoAuthorities(#[source] rustls::Error),
    #[error("cannot set up HTTP")]
    Http(#[source] reqwest::Error),
    #[error("no answer within {}; `timeout` is the bound", display_duration(*.0))]
    Timeout(Duration),
    #[error(
        "no free turn within {}, while other requests took all {concurrency}; `concurrency` is the \
         bound",
        display_duration(*after)
    )]
    Crowded { after: Duration, concurrency: usize },
    #[error("no connection within {}; `connect_timeout` is the bound", display_duration(*.0))]
    ConnectTimeout(Duration),
    #[error("the server is not trusted; name the file of its authority under `ca_file`")]
    Untrusted(#[source] rustls::Error),
    #[error("the server cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    #[error("the answer broke off")]
    Torn(#[source] reqwest::Error),
    #[error("the answer broke off in the middle of its JSON")]
    Cut(#[source] serde_json::Error),
    #[error(
        "the answer is longer than {0} bytes; ask for fewer series or a longer step, or raise \
         `max_answer_bytes`"
    )]
    TooLong(usize),
    #[error("the server answered {status}: {said}")]
    Refused {
        status: StatusCode,
        said: String,
        kind: ErrorKind,
        retry_after: Option<Duration>,
    },
    #[error("the server sends on to {to}; write the address that it means in `url`")]
    Redirected { to: String },
    #[error(
        "there is no {path}; `url` may lack a prefix such as `/prometheus` or `/select/0/prometheus`: {said}"
    )]
    NoSuchPath { path: String, said: String },
    #[error("{found} came instead of JSON, perhaps from a gateway in between: {said}")]
    NotJson { found: String, said: String },
    #[error("the answer is not one of the Prometheus API")]
    Foreign(#[source] serde_json::Error),
    #[error("the query gives {found}; write one that gives {wanted}")]
    Type {
        found: &'static str,
        wanted: &'static str,
    },
    #[error("the answer is of the unknown type `{0}`")]
    UnknownType(String),
    #[error("the answer is not the whole: {0}")]
    Partial(String),
    #[error("a thread of the client ended early")]
    Thread,
}

impl Fault {
    pub(super) fn config(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Config {
            key: key.into(),
            problem: problem.into(),
        }
    }

    /// What went wrong while a request was sent or its answer was awaited.
    pub(super) fn of_sending(error: reqwest::Error, connect_timeout: Duration) -> Self {
        let error = error.without_url();
        if let Some(untrusted) = untrusted(&error) {
            Self::Untrusted(untrusted)
        } else if error.is_connect() && error.is_timeout() {
            Self::ConnectTimeout(connect_timeout)
        } else {
            Self::Unreachable(error)
        }
    }

    pub(super) fn kind(&self) -> ErrorKind {
        match self {
            Self::Config { .. }
            | Self::File { .. }
            | Self::NoAuthorities(_)
            | Self::TooLong(_)
            | Self::Redirected { .. }
            | Self::Type { .. } => ErrorKind::Invalid,
            Self::Timeout(_) | Self::Crowded { .. } | Self::ConnectTimeout(_) => ErrorKind::Timeout,
            Self::Untrusted(_)
            | Self::Unreachable(_)
            | Self::Torn(_)
            | Self::Cut(_)
            | Self::NotJson { .. }
            | Self::Foreign(_)
            | Self::UnknownType(_)
            | Self::Partial(_) => ErrorKind::Unavailable,
            Self::Refused { kind, .. } => *kind,
            Self::NoSuchPath { .. } => ErrorKind::NotFound,
            Self::Tls(_) | Self::Http(_) | Self::Thread => ErrorKind::Internal,
        }
    }

    /// Whether the same request may soon succeed.
    pub(super) fn is_worth_another_attempt(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::ConnectTimeout(_) | Self::Torn(_) | Self::Cut(_) => true,
            Self::Refused { status, kind, .. } => match *status {
                // A query that took all of its time would take it again.
                _ if *kind == ErrorKind::Timeout => false,
                StatusCode::TOO_MANY_REQUESTS => self.retry_after().is_some(),
                StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT => true,
                _ => false,
            },
            _ => false,
        }
    }

    pub(super) fn is_unauthorized(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::UNAUTHORIZED)
    }

    /// How long the server asked to be left alone.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The error that users see, `operation` completing "failed to …".
    pub(super) fn during(self: Arc<Self>, operation: String) -> Error {
        let error = Error::new(self.kind(), operation);
        let error = match self.retry_after() {
            Some(wait) => error.with_retry_after(wait),
            None => error,
        };
        error.with_source(self)
    }
}

/// What TLS has against the server's certificate, if that is what went wrong.
fn untrusted(error: &reqwest::Error) -> Option<rustls::Error> {
    let mut cause = error.source();
    while let Some(error) = cause {
        // An I/O error that wraps another passes over it in its own chain of causes.
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        let tls = match inner {
            Some(inner) => inner.downcast_ref::<rustls::Error>(),
            None => error.downcast_ref::<rustls::Error>(),
        };
        if let Some(tls @ rustls::Error::InvalidCertificate(_)) = tls {
            return Some(tls.clone());
        }
        cause = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}
