//! How endpoints are asked whether they are well.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::header::HeaderValue;
use http::uri::PathAndQuery;

use crate::error::ProxyError;

/// Active health checks: each endpoint in rotation is asked again and again by a `GET`: in
/// HTTP/1.1 over a connection of its own, in HTTP/2 over the one that requests share.
///
/// An endpoint that has just been added counts as healthy, so that it gets requests at once, and is
/// asked at once; its first check decides alone. From then on it takes several checks in a row to
/// change its state, as [`healthy_threshold`](Self::healthy_threshold) and
/// [`unhealthy_threshold`](Self::unhealthy_threshold) say. HAProxy does the same.
///
/// An unhealthy endpoint gets a request only when no healthy one of its revision accepts it. So when
/// *all* endpoints of a revision are unhealthy, requests go to them in turn as if there were no
/// checks: what Envoy calls panic, with a threshold of "none is left". A check that is wrong then
/// costs nothing, and a revision that is down is seen to be down by the answers that it does not
/// give. HAProxy would answer 503.
///
/// At most one check of an endpoint is under way at any time, and the time between two varies by a
/// tenth, so that many proxies do not ask in step. Checks are not counted among the requests of the
/// revision. They end when the endpoint is drained and when the proxy shuts down.
///
/// ```
/// # use std::time::Duration;
/// use codedance_proxy::HealthCheck;
///
/// let check = HealthCheck::new("/healthz")
///     .with_interval(Duration::from_secs(5))
///     .with_statuses(200..=200);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthCheck {
    /// What is asked for: a path, perhaps with a query, that begins with `/`.
    pub path: String,
    /// The `Host` of the request. Default `None`: the endpoint's address.
    pub host: Option<String>,
    /// How long after one check the next begins, give or take a tenth. Default 2 s.
    pub interval: Duration,
    /// How long a check may take, from connecting to the head of the answer. Default 1 s.
    pub timeout: Duration,
    /// So many passed checks in a row make an unhealthy endpoint healthy. From 1. Default 2.
    pub healthy_threshold: u32,
    /// So many failed checks in a row make a healthy endpoint unhealthy. From 1. Default 3.
    pub unhealthy_threshold: u32,
    /// The statuses with which a check is passed. Default 200 to 399.
    pub statuses: RangeInclusive<u16>,
}

impl HealthCheck {
    /// Asks for `path`, with the defaults of HAProxy for everything else.
    #[must_use]
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            host: None,
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            healthy_threshold: 2,
            unhealthy_threshold: 3,
            statuses: 200..=399,
        }
    }

    /// Sets [`HealthCheck::host`].
    #[must_use]
    pub fn with_host(mut self, host: impl Into<String>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// Sets [`HealthCheck::interval`].
    #[must_use]
    pub fn with_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Sets [`HealthCheck::timeout`].
    #[must_use]
    pub fn with_timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// Sets [`HealthCheck::healthy_threshold`].
    #[must_use]
    pub fn with_healthy_threshold(mut self, checks: u32) -> Self {
        self.healthy_threshold = checks;
        self
    }

    /// Sets [`HealthCheck::unhealthy_threshold`].
    #[must_use]
    pub fn with_unhealthy_threshold(mut self, checks: u32) -> Self {
        self.unhealthy_threshold = checks;
        self
    }

    /// Sets [`HealthCheck::statuses`].
    #[must_use]
    pub fn with_statuses(mut self, statuses: RangeInclusive<u16>) -> Self {
        self.statuses = statuses;
        self
    }

    pub(crate) fn check(&self) -> Result<(), ProxyError> {
        let refuse = |key, wanted| Err(ProxyError::Config { key, wanted });
        if !self.path.starts_with('/') || PathAndQuery::try_from(&*self.path).is_err() {
            return refuse("health_check.path", "a path that begins with `/`");
        }
        let host = self.host.as_deref().unwrap_or("-");
        if host.is_empty() || HeaderValue::from_str(host).is_err() {
            return refuse("health_check.host", "what can stand in a Host header");
        }
        for (key, length) in [
            ("health_check.interval", self.interval),
            ("health_check.timeout", self.timeout),
        ] {
            if length.is_zero() {
                return refuse(key, "longer than nothing");
            }
        }
        for (key, checks) in [
            ("health_check.healthy_threshold", self.healthy_threshold),
            ("health_check.unhealthy_threshold", self.unhealthy_threshold),
        ] {
            if checks == 0 {
                return refuse(key, "1 or more");
            }
        }
        let (first, last) = (*self.statuses.start(), *self.statuses.end());
        if !(200..=599).contains(&first) || !(first..=599).contains(&last) {
            return refuse("health_check.statuses", "a range within 200 to 599");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_that_cannot_be_are_refused_by_name() {
        let check = HealthCheck::new("/healthz?deep=1").with_host("shop:80");
        check.check().unwrap();
        #[expect(
            clippy::reversed_empty_ranges,
            reason = "that such a range is refused is the point"
        )]
        let upside_down = 300..=200;
        for (bad, name) in [
            (HealthCheck::new("healthz"), "path"),
            (HealthCheck::new("/a b"), "path"),
            (check.clone().with_host(""), "host"),
            (check.clone().with_host("a\r\nb"), "host"),
            (check.clone().with_interval(Duration::ZERO), "interval"),
            (check.clone().with_timeout(Duration::ZERO), "timeout"),
            (check.clone().with_healthy_threshold(0), "healthy_threshold"),
            (
                check.clone().with_unhealthy_threshold(0),
                "unhealthy_threshold",
            ),
            (check.clone().with_statuses(100..=200), "statuses"),
            (check.clone().with_statuses(200..=600), "statuses"),
            (check.clone().with_statuses(upside_down), "statuses"),
        ] {
            let text = bad.check().unwrap_err().to_string();
            assert!(text.starts_with(&format!("health_check.{name} ")), "{text}");
        }
    }
}
