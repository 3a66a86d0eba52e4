//! The driver's only sense of time.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::time::Instant;

use crate::time::Timestamp;

/// Tells the driver the time and lets it wait.
///
/// # Contract
/// - **Monotone.** [`now`](Self::now) never goes backwards in one process.
/// - **Punctual.** When [`sleep_until`](Self::sleep_until) returns, `now` is at or after the time asked
///   for; a time in the past returns at once.
/// - **Cancellation** is safe.
#[async_trait]
pub trait Clock: fmt::Debug + Send + Sync {
    /// What time it is.
    fn now(&self) -> Timestamp;

    /// Waits until `at`.
    async fn sleep_until(&self, at: Timestamp);
}

/// The time of the system when it was made, carried on by tokio's clock.
///
/// So it never jumps when somebody sets the system's time, and it stands still and leaps with
/// `tokio::time::pause` and `tokio::time::advance`, for tests in virtual time. A machine that was
/// suspended wakes up with this clock behind; the journal, which has a clock of its own, then refuses
/// the old lease.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    began: Timestamp,
    since: Instant,
}

impl SystemClock {
    /// A clock that tells the system's time.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place in this crate where the time is asked for"
    )]
    pub fn new() -> Self {
        // A system that believes to live before 1970 is read as living in 1970.
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self::starting_at(Timestamp::EPOCH + since.unwrap_or_default())
    }

    /// A clock on which it is `at` now: tests in virtual time begin where they like.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place in this crate where the time is asked for"
    )]
    pub fn starting_at(at: Timestamp) -> Self {
        Self {
            began: at,
            since: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.began + self.since.elapsed()
    }

    async fn sleep_until(&self, at: Timestamp) {
        tokio::time::sleep_until(self.since + at.since(self.began)).await;
    }
}

/// Waits for `length`, to the millisecond.
pub(super) async fn sleep(clock: &dyn Clock, length: Duration) {
    clock.sleep_until(clock.now() + length).await;
}

/// The same as a function, for `backon`.
pub(super) fn sleeper(
    clock: &Arc<dyn Clock>,
) -> impl Fn(Duration) -> futures::future::BoxFuture<'static, ()> + Send + use<> {
    let clock = Arc::clone(clock);
    move |length| {
        let clock = Arc::clone(&clock);
        Box::pin(async move { sleep(clock.as_ref(), length).await })
    }
}

/// What `work` gives, or `None` if it takes longer than `limit`; it is dropped then.
pub(super) async fn within<T>(
    clock: &dyn Clock,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        biased;
        done = work => Some(done),
        () = sleep(clock, limit) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_has_come_when_the_wait_for_it_ends() {
        let clock = SystemClock::starting_at(Timestamp::from_millis(500));
        tokio::time::advance(Duration::from_micros(300)).await;
        for millis in [400, 501, 777, 60_000] {
            let at = Timestamp::from_millis(millis);
            clock.sleep_until(at).await;
            assert!(clock.now() >= at, "{millis}");
            assert!(clock.now() <= at + Duration::from_millis(2) || millis < 500);
        }
        let too_slow = within(&clock, Duration::from_secs(1), std::future::pending::<()>()).await;
        assert_eq!(too_slow, None);
    }
}
