//! How much a client may send.

use crate::error::ProxyError;

/// How much clients may send, and how many of them there may be at once.
///
/// Together they bound the memory that clients can make the proxy use: bodies are passed on as they
/// come, and are never held.
///
/// ```
/// use codedance_proxy::Limits;
///
/// let limits = Limits::default().with_body_bytes(10 * 1024 * 1024);
/// assert_eq!(limits.headers, 100);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a request's head, from the first line to the empty one; beyond, the answer is 431.
    /// In HTTP/2, those of all names and values, and 32 for each. 256 to 262,144. Default 32,768.
    pub head_bytes: usize,
    /// Bytes of a request's target; beyond, the answer is 414. 1 to [`head_bytes`](Self::head_bytes).
    /// Default 8,192.
    pub target_bytes: usize,
    /// Headers of a request; beyond, the answer is 431. 1 to 1,000. Default 100.
    pub headers: usize,
    /// Bytes of a request's body; beyond, the answer is 413. Where the length is not known before,
    /// the endpoint has seen a part by then. Default `None`: any length.
    pub body_bytes: Option<u64>,
    /// Requests under way at once over one connection of HTTP/2; what a client sends beyond is reset
    /// as refused, which tells it that nobody has seen it. 1 to 1,000. Default 128.
    pub streams: u32,
    /// Connections of clients at once; one more is answered with 503 and closed. From 1. Default
    /// 10,000.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 32 * 1024,
            target_bytes: 8 * 1024,
            headers: 100,
            body_bytes: None,
            streams: 128,
            connections: 10_000,
        }
    }
}

impl Limits {
    /// Sets [`Limits::head_bytes`].
    #[must_use]
    pub fn with_head_bytes(mut self, bytes: usize) -> Self {
        self.head_bytes = bytes;
        self
    }

    /// Sets [`Limits::target_bytes`].
    #[must_use]
    pub fn with_target_bytes(mut self, bytes: usize) -> Self {
        self.target_bytes = bytes;
        self
    }

    /// Sets [`Limits::headers`].
    #[must_use]
    pub fn with_headers(mut self, count: usize) -> Self {
        self.headers = count;
        self
    }

    /// Sets [`Limits::body_bytes`].
    #[must_use]
    pub fn with_body_bytes(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.body_bytes = bytes.into();
        self
    }

    /// Sets [`Limits::streams`].
    #[must_use]
    pub fn with_streams(mut self, count: u32) -> Self {
        self.streams = count;
        self
    }

    /// Sets [`Limits::connections`].
    #[must_use]
    pub fn with_connections(mut self, count: usize) -> Self {
        self.connections = count;
        self
    }

    pub(crate) fn check(&self) -> Result<(), ProxyError> {
        let refuse = |key, wanted| Err(ProxyError::Config { key, wanted });
        if !(256..=256 * 1024).contains(&self.head_bytes) {
            return refuse("limits.head_bytes", "256 to 262144");
        }
        if !(1..=self.head_bytes).contains(&self.target_bytes) {
            return refuse("limits.target_bytes", "1 to limits.head_bytes");
        }
        if !(1..=1_000).contains(&self.headers) {
            return refuse("limits.headers", "1 to 1000");
        }
        if !(1..=1_000).contains(&self.streams) {
            return refuse("limits.streams", "1 to 1000");
        }
        if self.connections == 0 {
            return refuse("limits.connections", "1 or more");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_within_which_nothing_works_are_refused_by_name() {
        let limits = Limits::default();
        limits.check().unwrap();
        for (bad, name) in [
            (limits.with_head_bytes(255), "limits.head_bytes"),
            (limits.with_head_bytes(1 << 30), "limits.head_bytes"),
            (limits.with_target_bytes(0), "limits.target_bytes"),
            (limits.with_target_bytes(40_000), "limits.target_bytes"),
            (limits.with_headers(0), "limits.headers"),
            (limits.with_headers(1_001), "limits.headers"),
            (limits.with_streams(0), "limits.streams"),
            (limits.with_streams(1_001), "limits.streams"),
            (limits.with_connections(0), "limits.connections"),
        ] {
            let text = bad.check().unwrap_err().to_string();
            assert!(text.starts_with(name), "{text}");
        }
    }
}
