//! Endpoints that fail where others do not.

use std::sync::Arc;
use std::time::Duration;

use codedance_core::Percent;
use http::StatusCode;
use tracing::warn;

use crate::endpoint::Endpoint;
use crate::error::ProxyError;

/// Passive health checks: an endpoint whose requests go wrong several times in a row is ejected from
/// rotation for a while. Named after, and like, what Envoy does.
///
/// A request has gone wrong when the endpoint does not accept the connection, closes it without an
/// answer, does not answer in time, or answers with a status of the class 5xx other than 501 and
/// 505, which are about the request. Anything else is a success, and begins the count anew. What a
/// client does wrong is neither.
///
/// The first ejection lasts [`base_ejection_time`](Self::base_ejection_time), the second twice as
/// long, and so on, at most [`max_ejection_time`](Self::max_ejection_time). Each base time in
/// rotation takes one of these steps back. A passed [`HealthCheck`](crate::HealthCheck) does not end
/// an ejection: what answers its checks and fails its requests is just what this is for.
///
/// Ejected endpoints count as unhealthy: they get a request only when no other of their revision
/// accepts it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutlierDetection {
    /// So many requests in a row that go wrong eject an endpoint. From 1. Default 5.
    pub consecutive_failures: u32,
    /// How long the first ejection lasts. Default 30 s.
    pub base_ejection_time: Duration,
    /// How long an ejection lasts at most, from the base time. Default 5 min.
    pub max_ejection_time: Duration,
    /// The share of a revision's endpoints that can be ejected at once, rounded down, but always one
    /// of several and never all. Default 10 %.
    pub max_ejected: Percent,
}

impl Default for OutlierDetection {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            base_ejection_time: Duration::from_secs(30),
            max_ejection_time: Duration::from_secs(300),
            max_ejected: Percent::ratio(1, 10),
        }
    }
}

impl OutlierDetection {
    /// Sets [`OutlierDetection::consecutive_failures`].
    #[must_use]
    pub fn with_consecutive_failures(mut self, failures: u32) -> Self {
        self.consecutive_failures = failures;
        self
    }

    /// Sets [`OutlierDetection::base_ejection_time`].
    #[must_use]
    pub fn with_base_ejection_time(mut self, length: Duration) -> Self {
        self.base_ejection_time = length;
        self
    }

    /// Sets [`OutlierDetection::max_ejection_time`].
    #[must_use]
    pub fn with_max_ejection_time(mut self, length: Duration) -> Self {
        self.max_ejection_time = length;
        self
    }

    /// Sets [`OutlierDetection::max_ejected`].
    #[must_use]
    pub fn with_max_ejected(mut self, share: Percent) -> Self {
        self.max_ejected = share;
        self
    }

    pub(crate) fn check(&self) -> Result<(), ProxyError> {
        let refuse = |key, wanted| Err(ProxyError::Config { key, wanted });
        if self.consecutive_failures == 0 {
            return refuse("outlier_detection.consecutive_failures", "1 or more");
        }
        if self.base_ejection_time.is_zero() {
            return refuse(
                "outlier_detection.base_ejection_time",
                "longer than nothing",
            );
        }
        if self.max_ejection_time < self.base_ejection_time {
            return refuse(
                "outlier_detection.max_ejection_time",
                "as long as outlier_detection.base_ejection_time or longer",
            );
        }
        Ok(())
    }

    /// How many of so many endpoints can be ejected at once.
    fn most_of(&self, endpoints: usize) -> usize {
        let count = u32::try_from(endpoints).unwrap_or(u32::MAX);
        let share = self.max_ejected.of_rounded_down(count).max(1);
        usize::try_from(share)
            .unwrap_or(usize::MAX)
            .min(endpoints.saturating_sub(1))
    }
}

/// Notes how an endpoint answered.
pub(crate) fn note_answer(
    detection: &Option<OutlierDetection>,
    endpoint: &Endpoint,
    peers: &[Arc<Endpoint>],
    status: StatusCode,
) {
    let about_request = [
        StatusCode::NOT_IMPLEMENTED,
        StatusCode::HTTP_VERSION_NOT_SUPPORTED,
    ];
    if detection.is_none() {
        // Nobody wants to know.
    } else if status.is_server_error() && !about_request.contains(&status) {
        note_failure(detection, endpoint, peers);
    } else {
        endpoint.standing.succeeded();
    }
}

/// Notes that an endpoint did not answer, and ejects it when that has happened too often.
pub(crate) fn note_failure(
    detection: &Option<OutlierDetection>,
    endpoint: &Endpoint,
    peers: &[Arc<Endpoint>],
) {
    let Some(detection) = detection else { return };
    let failures = endpoint.standing.failed();
    if failures < detection.consecutive_failures {
        return;
    }
    // One at a time: two that saw room for one more ejection would make it two.
    let _turn = endpoint.revision().ejecting();
    let is_ejected = |peer: &&Arc<Endpoint>| peer.standing.ejected_for().is_some();
    let ejected = peers.iter().filter(is_ejected).count();
    let already = endpoint.standing.ejected_for().is_some();
    if already || ejected >= detection.most_of(peers.len()) {
        return;
    }
    let length =
        (endpoint.standing).eject(detection.base_ejection_time, detection.max_ejection_time);
    let (address, revision) = (endpoint.address, &endpoint.revision().name);
    warn!(%address, %revision, failures, ?length, "an endpoint is ejected");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_always_remain() {
        let detection = OutlierDetection::default();
        let most: Vec<_> = [0, 1, 2, 10, 25, 40].map(|n| detection.most_of(n)).into();
        assert_eq!(most, [0, 0, 1, 1, 2, 4]);
        let all = detection.with_max_ejected(Percent::HUNDRED);
        assert_eq!([0, 1, 2, 10].map(|n| all.most_of(n)), [0, 0, 1, 9]);
    }

    #[test]
    fn settings_that_cannot_be_are_refused_by_name() {
        let detection = OutlierDetection::default();
        detection.check().unwrap();
        for (bad, name) in [
            (
                detection.clone().with_consecutive_failures(0),
                "consecutive_failures",
            ),
            (
                detection.clone().with_base_ejection_time(Duration::ZERO),
                "base_ejection_time",
            ),
            (
                detection.with_max_ejection_time(Duration::from_secs(29)),
                "max_ejection_time",
            ),
        ] {
            let text = bad.check().unwrap_err().to_string();
            assert!(
                text.starts_with(&format!("outlier_detection.{name} ")),
                "{text}"
            );
        }
    }
}
