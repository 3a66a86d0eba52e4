//! How often, and for whom, another endpoint is tried.

use codedance_core::Percent;

use crate::error::ProxyError;

/// What the proxy does about a request that got no answer from the first endpoint.
///
/// - **No endpoint has seen it**: the connection was not accepted, or was closed before a byte of
///   the request was written, or an endpoint of HTTP/2 says so. Any request then goes to another
///   endpoint, however many [`attempts`](Self::attempts) allow: it costs the revision nothing.
/// - **A kept connection turned out to be closed.** A request that can be repeated is repeated once,
///   over a new connection; others never meet one, unless [`Reuse`](crate::Reuse) says so.
/// - **It may have been read**: a new connection, or in HTTP/2 its stream, broke before the head of
///   the answer was complete. A request that can be repeated goes to another endpoint if
///   [`unanswered`](Self::unanswered) is set, as long as the budget lasts. It is off by default,
///   because a request that brings down one endpoint would bring down the next.
/// - **In all other cases nothing is sent twice**: not after a time-out, which says that the endpoint
///   is busy, not after an answer has begun, and never a request that cannot be repeated.
///
/// Requests that can be repeated have an idempotent method (`GET`, `HEAD`, `OPTIONS`, `TRACE`, `PUT`,
/// `DELETE`) and no body. Another endpoint is always one of the same revision, and none is tried
/// twice for one request.
///
/// ```
/// use codedance_core::Percent;
/// use codedance_proxy::Retries;
///
/// let retries = Retries::default()
///     .with_attempts(1)
///     .with_unanswered(true)
///     .with_budget(Percent::new(10)?);
/// # Ok::<(), codedance_core::percent::PercentError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retries {
    /// How many more endpoints are tried after the first, 0 to 100. Default 3.
    pub attempts: u32,
    /// Whether requests that may have been read are repeated. Default false.
    pub unanswered: bool,
    /// The share of the revision's requests in flight that may be repeats of what may have been
    /// read. Default 20 %.
    pub budget: Percent,
    /// So many such repeats may be under way whatever the budget says: of few requests any share is
    /// too little. Default 3.
    pub min_concurrent: u32,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            attempts: 3,
            unanswered: false,
            budget: Percent::ratio(1, 5),
            min_concurrent: 3,
        }
    }
}

impl Retries {
    /// Sets [`Retries::attempts`].
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Sets [`Retries::unanswered`].
    #[must_use]
    pub fn with_unanswered(mut self, repeat: bool) -> Self {
        self.unanswered = repeat;
        self
    }

    /// Sets [`Retries::budget`].
    #[must_use]
    pub fn with_budget(mut self, share: Percent) -> Self {
        self.budget = share;
        self
    }

    /// Sets [`Retries::min_concurrent`].
    #[must_use]
    pub fn with_min_concurrent(mut self, count: u32) -> Self {
        self.min_concurrent = count;
        self
    }

    pub(crate) fn check(&self) -> Result<(), ProxyError> {
        if self.attempts > 100 {
            return Err(ProxyError::Config {
                key: "retries.attempts",
                wanted: "0 to 100",
            });
        }
        Ok(())
    }

    /// How many repeats may be under way while so many requests are.
    pub(crate) fn most(&self, in_flight: u64) -> u64 {
        let in_flight = u32::try_from(in_flight).unwrap_or(u32::MAX);
        let share = self.budget.of_rounded_down(in_flight);
        u64::from(share.max(self.min_concurrent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_a_share_of_many_and_a_count_of_few() {
        let retries = Retries::default();
        let most = [0, 15, 19, 20, 1_000].map(|in_flight| retries.most(in_flight));
        assert_eq!(most, [3, 3, 3, 4, 200]);
        assert_eq!(retries.with_min_concurrent(0).most(4), 0);
    }

    #[test]
    fn too_many_attempts_are_refused_by_name() {
        Retries::default().with_attempts(100).check().unwrap();
        let refused = Retries::default().with_attempts(101).check().unwrap_err();
        assert!(refused.to_string().starts_with("retries.attempts "));
    }
}
