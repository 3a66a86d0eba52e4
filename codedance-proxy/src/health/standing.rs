//! What is thought of one endpoint.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::status::Health;

/// How gladly a request is sent to an endpoint: the first of these that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    Ready,
    /// It lately did not accept a connection.
    Cooling,
    /// Unhealthy or ejected.
    Out,
}

/// What is thought of an endpoint: by its checks, and by what became of its requests.
#[derive(Debug)]
pub(crate) struct Standing {
    begun: Instant,
    /// Milliseconds after `begun`, as all times here; 0 for never.
    cool_until: AtomicU64,
    ejected_until: AtomicU64,
    health: AtomicU8,
    /// Requests that went wrong since the last that did not.
    failures: AtomicU32,
    ejections: Mutex<Ejections>,
    passed_checks: AtomicU64,
    failed_checks: AtomicU64,
    /// Whether somebody checks it.
    claimed: AtomicBool,
}

#[derive(Debug, Default)]
struct Ejections {
    total: u64,
    /// How many times as long as the first the last one was.
    level: u32,
}

impl Standing {
    pub(crate) fn new() -> Self {
        Self {
            begun: Instant::now(),
            cool_until: AtomicU64::new(0),
            ejected_until: AtomicU64::new(0),
            health: AtomicU8::new(Health::Unchecked as u8),
            failures: AtomicU32::new(0),
            ejections: Mutex::default(),
            passed_checks: AtomicU64::new(0),
            failed_checks: AtomicU64::new(0),
            claimed: AtomicBool::new(false),
        }
    }

    pub(crate) fn rank(&self) -> Rank {
        if self.health() == Health::Unhealthy || self.is_ahead(&self.ejected_until) {
            Rank::Out
        } else if self.is_ahead(&self.cool_until) {
            Rank::Cooling
        } else {
            Rank::Ready
        }
    }

    /// Has the endpoint passed over for `length`.
    pub(crate) fn cool_down(&self, length: Duration) {
        self.cool_until.store(self.after(length), Relaxed);
    }

    pub(crate) fn health(&self) -> Health {
        match self.health.load(Relaxed) {
            state if state == Health::Healthy as u8 => Health::Healthy,
            state if state == Health::Unhealthy as u8 => Health::Unhealthy,
            _ => Health::Unchecked,
        }
    }

    /// Whether the caller is the first who wants to check the endpoint.
    pub(crate) fn claim(&self) -> bool {
        !self.claimed.swap(true, Relaxed)
    }

    /// Notes a check and what is thought of the endpoint now.
    pub(crate) fn checked(&self, passed: bool, health: Health) {
        let count = if passed {
            &self.passed_checks
        } else {
            &self.failed_checks
        };
        count.fetch_add(1, Relaxed);
        self.health.store(health as u8, Relaxed);
    }

    /// How many checks were passed, and how many failed.
    pub(crate) fn checks(&self) -> (u64, u64) {
        let load = |count: &AtomicU64| count.load(Relaxed);
        (load(&self.passed_checks), load(&self.failed_checks))
    }

    /// Notes a request that went well.
    pub(crate) fn succeeded(&self) {
        // Looked at first: writing would take the cache line from all other threads.
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
        }
    }

    /// Notes a request that went wrong, and returns how many did in a row.
    pub(crate) fn failed(&self) -> u32 {
        self.failures.fetch_add(1, Relaxed).saturating_add(1)
    }

    pub(crate) fn failures(&self) -> u32 {
        self.failures.load(Relaxed)
    }

    /// Takes the endpoint out of rotation: for `base`, or as many times as long as it was ejected
    /// lately, at most for `most`. Returns for how long.
    ///
    /// Each `base` that it stays in rotation takes one of those times back.
    pub(crate) fn eject(&self, base: Duration, most: Duration) -> Duration {
        let mut ejections = self
            .ejections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let since_last = self.now().saturating_sub(self.ejected_until.load(Relaxed));
        let forgiven = u128::from(since_last) / base.as_millis().max(1);
        let level = u128::from(ejections.level).saturating_sub(forgiven);
        ejections.level = u32::try_from(level).unwrap_or(u32::MAX).saturating_add(1);
        ejections.total += 1;
        let length = base.saturating_mul(ejections.level).min(most);
        self.ejected_until.store(self.after(length), Relaxed);
        self.failures.store(0, Relaxed);
        length
    }

    /// How long the endpoint stays ejected; `None` when it is not.
    pub(crate) fn ejected_for(&self) -> Option<Duration> {
        let until = self.ejected_until.load(Relaxed);
        let left = until.checked_sub(self.now()).filter(|left| *left > 0);
        left.map(Duration::from_millis)
    }

    /// How often it was ejected.
    pub(crate) fn ejections(&self) -> u64 {
        let ejections = self
            .ejections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        ejections.total
    }

    fn is_ahead(&self, time: &AtomicU64) -> bool {
        let time = time.load(Relaxed);
        // The usual case first: it needs no clock.
        time != 0 && time > self.now()
    }

    fn now(&self) -> u64 {
        millis(self.begun.elapsed())
    }

    fn after(&self, length: Duration) -> u64 {
        millis(self.begun.elapsed().saturating_add(length))
    }
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const BASE: Duration = Duration::from_secs(30);
    const MOST: Duration = Duration::from_secs(80);

    #[tokio::test(start_paused = true)]
    async fn ejections_grow_and_good_conduct_shortens_them() {
        let standing = Standing::new();
        assert_eq!(
            (standing.rank(), standing.ejected_for()),
            (Rank::Ready, None)
        );
        for length in [30, 60, 80] {
            let length = Duration::from_secs(length);
            assert_eq!(standing.eject(BASE, MOST), length);
            assert_eq!(standing.ejected_for(), Some(length));
            advance(length - Duration::from_secs(1)).await;
            assert_eq!(standing.rank(), Rank::Out);
            advance(Duration::from_secs(1)).await;
            assert_eq!(standing.rank(), Rank::Ready);
        }
        assert_eq!(standing.ejections(), 3);
        // Three times were counted; two of them are forgiven.
        advance(2 * BASE).await;
        assert_eq!(standing.eject(BASE, MOST), 2 * BASE);
        advance(100 * BASE).await;
        assert_eq!(standing.eject(BASE, MOST), BASE);
    }

    #[tokio::test(start_paused = true)]
    async fn who_refused_a_connection_comes_before_who_is_out() {
        let standing = Standing::new();
        standing.cool_down(BASE);
        assert_eq!(standing.rank(), Rank::Cooling);
        standing.checked(false, Health::Unhealthy);
        assert_eq!(standing.rank(), Rank::Out);
        standing.checked(true, Health::Healthy);
        assert_eq!(standing.rank(), Rank::Cooling);
        advance(BASE).await;
        assert_eq!((standing.rank(), standing.checks()), (Rank::Ready, (1, 1)));
    }
}
