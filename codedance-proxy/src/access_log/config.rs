//! Where the log goes, and in which form.

use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex};

use super::queue::Queue;
use crate::error::ProxyError;
use crate::server::Proxy;

/// A log with one line for each request, written when its answer has ended.
///
/// # Content
///
/// | JSON | combined | meaning |
/// |---|---|---|
/// | `time` | in brackets | when the head of the request had been read, in UTC |
/// | `client` | first | the client's address, as trusted proxies say it |
/// | `method`, `path`, `protocol` | in quotes | the request's first line; the path with its query; all `-` where the head was refused |
/// | `status` | after it | that of the answer; 499 when the client went away before there was one, as in nginx |
/// | `bytes_out` | after it | bytes of the answer's body that were passed on |
/// | `referer`, `user_agent` | in quotes | what the client says |
/// | `host` | `host` | what the client asked for |
/// | `bytes_in` | `in` | bytes of the request's body that were passed on |
/// | `request_time` | `time` | seconds from the request's head to the end of the answer |
/// | `upstream_time` | `upstream_time` | seconds until the head of the endpoint's answer, retries included |
/// | `endpoint` | `endpoint` | the address of the last endpoint that was tried |
/// | `revision` | `revision` | the revision that was chosen |
/// | `route` | `route` | why: `rule`, `cohort`, `weight`; `fallback` where the request has no key of a cohort; `only` where one revision gets everything |
/// | `retries` | `retries` | how many more endpoints were tried after the first |
///
/// What is unknown is `null` in JSON and `-` otherwise. A line in the combined form begins as those of
/// Apache and nginx do, and continues with `name=value`. A switch to another protocol is logged as
/// soon as it is agreed. Not logged are clients that send nothing or too late, or are turned away.
///
/// Nobody can forge a line: quotes, backslashes and everything that is not printable ASCII are
/// escaped, in the combined form as `\xHH`, in JSON as JSON does it.
///
/// # Cost
///
/// Lines are written by a thread of their own. Requests never wait for it: what it has not written yet
/// is kept up to [`with_buffer`](Self::with_buffer) bytes, and lines beyond are dropped and counted,
/// see [`Proxy::access_log_dropped`]. So are lines that could not be written. Without a log none of
/// this costs anything.
///
/// ```
/// use codedance_proxy::AccessLog;
///
/// let log = AccessLog::json(std::io::stdout()).with_buffer(256 * 1024);
/// ```
#[derive(Clone)]
pub struct AccessLog {
    pub(super) format: Format,
    pub(super) buffer: usize,
    /// Shared, because configurations are copied.
    pub(super) writer: Arc<Mutex<dyn Write + Send>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Combined,
    Json,
}

impl AccessLog {
    /// Lines like those of Apache and nginx.
    #[must_use]
    pub fn combined(writer: impl Write + Send + 'static) -> Self {
        Self::new(Format::Combined, writer)
    }

    /// A JSON object in each line.
    #[must_use]
    pub fn json(writer: impl Write + Send + 'static) -> Self {
        Self::new(Format::Json, writer)
    }

    fn new(format: Format, writer: impl Write + Send + 'static) -> Self {
        Self {
            format,
            buffer: 1024 * 1024,
            writer: Arc::new(Mutex::new(writer)),
        }
    }

    /// How many bytes may wait to be written, from 4 KiB. Default 1 MiB.
    #[must_use]
    pub fn with_buffer(mut self, bytes: usize) -> Self {
        self.buffer = bytes;
        self
    }

    pub(crate) fn check(&self) -> Result<(), ProxyError> {
        if self.buffer < 4096 {
            return Err(ProxyError::Config {
                key: "access_log.buffer",
                wanted: "4096 or more",
            });
        }
        Ok(())
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLog")
            .field("format", &self.format)
            .field("buffer", &self.buffer)
            .finish_non_exhaustive()
    }
}

impl Proxy {
    /// How many lines of the access log were lost, because its writer was too slow or failed.
    #[must_use]
    pub fn access_log_dropped(&self) -> u64 {
        self.log().map_or(0, Queue::dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_for_nothing_is_refused_by_name() {
        let log = AccessLog::json(std::io::sink());
        log.check().unwrap();
        let refused = log.with_buffer(4095).check().unwrap_err().to_string();
        assert!(refused.starts_with("access_log.buffer "), "{refused}");
    }
}
