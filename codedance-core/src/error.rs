//! What a port's adapter reports when it could not do what it was asked.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

type Source = Box<dyn std::error::Error + Send + Sync + 'static>;

/// The result of a port's method.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it was: this, not the text, decides what happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The back end did not answer, or answered that it cannot now. Trying again may help.
    Unavailable,
    /// No answer within the deadline: it may or may not have been done. Trying again may help.
    Timeout,
    /// The back end asks for fewer requests. Trying again later helps.
    RateLimited,
    /// Somebody else changed the same thing meanwhile. Trying again on fresh data helps.
    Conflict,
    /// What was to be acted on is not there.
    NotFound,
    /// The credentials do not allow it.
    Denied,
    /// The back end refused what was asked as malformed or impossible.
    Invalid,
    /// The adapter cannot do this at all; see its capability.
    Unsupported,
    /// The lease on the workload is held by another owner now. The caller must stop acting.
    LeaseLost,
    /// What was stored is torn or was changed: it cannot be trusted.
    Corrupt,
    /// A fault of the adapter itself.
    Internal,
}

impl ErrorKind {
    /// Whether the same request may succeed later without anybody's help.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::Unavailable | Self::Timeout | Self::RateLimited | Self::Conflict
        )
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unavailable => "unavailable",
            Self::Timeout => "timed out",
            Self::RateLimited => "rate limited",
            Self::Conflict => "conflict",
            Self::NotFound => "not found",
            Self::Denied => "denied",
            Self::Invalid => "invalid",
            Self::Unsupported => "unsupported",
            Self::LeaseLost => "lease lost",
            Self::Corrupt => "corrupt",
            Self::Internal => "internal fault",
        })
    }
}

/// A failure at a port: what was being done, of what kind, and why.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    operation: Cow<'static, str>,
    retry_after: Option<Duration>,
    source: Option<Source>,
}

impl Error {
    /// A failure of `operation`, a phrase that completes "failed to …", such as `read the weight of
    /// route shop/web`.
    pub fn new(kind: ErrorKind, operation: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            operation: operation.into(),
            retry_after: None,
            source: None,
        }
    }

    /// Adds the cause, an error or a text.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds the back end's own wish when to be asked again.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The refusal of what the adapter cannot do, `what` being a noun phrase.
    #[must_use]
    pub fn unsupported(what: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Unsupported, format!("use {what}"))
    }

    /// What kind of failure it was.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What was being done.
    #[must_use]
    pub fn operation(&self) -> &str {
        &self.operation
    }

    /// How long the back end asked to be left alone.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Whether the same request may succeed later without anybody's help.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        self.kind.is_retryable()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to {} ({})", self.operation, self.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// An [`Error`] as plain data: what the machine is told, and what the journal keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// What kind of failure it was.
    pub kind: ErrorKind,
    /// What failed and why, the causes joined by `: `.
    pub message: String,
}

impl Failure {
    /// A failure of the given kind, told in `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// Whether the same request may succeed later without anybody's help.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        self.kind.is_retryable()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let mut message = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            message.push_str(": ");
            message.push_str(&error.to_string());
            cause = error.source();
        }
        Self {
            kind: error.kind,
            message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_the_whole_chain() {
        let error = Error::new(ErrorKind::Unavailable, "scale v2")
            .with_source("connection refused")
            .with_retry_after(Duration::from_secs(1));
        let failure = Failure::from(&error);
        assert_eq!(
            failure.to_string(),
            "failed to scale v2 (unavailable): connection refused"
        );
        assert!(failure.is_retryable() && error.is_retryable());
        assert!(!ErrorKind::LeaseLost.is_retryable());
    }
}
