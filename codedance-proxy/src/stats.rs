//! What is counted of each revision.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use http::StatusCode;

/// What has been counted of one revision since the proxy first heard of it. Nothing is ever reset.
///
/// A request is counted when the head of its answer arrives, or when it is certain that none will.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Answers of the revision by the class of their status, 1xx to 5xx in this order.
    pub answers: [u64; 5],
    /// Requests that never got an answer from the revision: nothing to connect to, a connection
    /// that broke, a time-out. Their clients saw a 502, 503 or 504 of the proxy.
    pub no_answer: u64,
    /// Answers that were counted in `answers`, and then broke off on the revision's side.
    pub cut_short: u64,
    /// Requests whose client went away, or stopped sending, before it had the whole answer. Where
    /// the answer had begun it is counted in `answers` too, otherwise nowhere else: a client's fault
    /// says nothing about the revision.
    pub client_aborts: u64,
    /// Requests sent a second time, since the kept connection they were first sent over turned out
    /// to be closed, or since the endpoint said that it had not looked at them. No client notices.
    pub resent: u64,
    /// Times that a request went on to another endpoint, since the one before did not accept or
    /// answer it; see [`Retries`](crate::Retries).
    pub retried: u64,
    /// Requests that were not repeated, although they could have been, since the budget of
    /// [`Retries`](crate::Retries) was spent.
    pub retries_denied: u64,
    /// Connections that an endpoint did not accept; another endpoint was tried where there was one.
    pub refused_connections: u64,
    /// Connections that an endpoint accepted, but on which TLS was not agreed: its certificate is not
    /// trusted or for another name, it is not content with the proxy's, or it does not speak TLS.
    /// None of them is ever used; another endpoint was tried where there was one.
    pub failed_handshakes: u64,
    /// How many answers took how long, from the request's head being read to the answer's head being
    /// read: one count for each of [`Config::latency_bounds`](crate::Config::latency_bounds) – above
    /// the bound before it, up to and including its own – and one for those above them all.
    pub latency_buckets: Vec<u64>,
    /// The sum of those times.
    pub latency_sum: Duration,
}

impl Totals {
    /// Requests whose outcome says something about the revision: all answers, and those without one.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.answers.iter().sum::<u64>() + self.no_answer
    }

    /// What was counted after `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let earlier_buckets = earlier.latency_buckets.iter().chain(std::iter::repeat(&0));
        Self {
            answers: std::array::from_fn(|class| self.answers[class] - earlier.answers[class]),
            no_answer: self.no_answer - earlier.no_answer,
            cut_short: self.cut_short - earlier.cut_short,
            client_aborts: self.client_aborts - earlier.client_aborts,
            resent: self.resent - earlier.resent,
            retried: self.retried - earlier.retried,
            retries_denied: self.retries_denied - earlier.retries_denied,
            refused_connections: self.refused_connections - earlier.refused_connections,
            failed_handshakes: self.failed_handshakes - earlier.failed_handshakes,
            latency_buckets: self
                .latency_buckets
                .iter()
                .zip(earlier_buckets)
                .map(|(now, then)| now - then)
                .collect(),
            latency_sum: self.latency_sum - earlier.latency_sum,
        }
    }
}

/// The events that are counted one by one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    NoAnswer,
    CutShort,
    ClientAbort,
    Resent,
    Retried,
    RetryDenied,
    RefusedConnection,
    FailedHandshake,
}

/// The live counters of one revision.
///
/// Every thread adds to a shard of its own, so that two of them answering at once do not pass one
/// cache line back and forth. Reading adds the shards up; it is not a snapshot of one instant, but
/// every single count only grows.
#[derive(Debug)]
pub(crate) struct Counters {
    bounds: Arc<[Duration]>,
    shards: Box<[Shard]>,
}

#[derive(Debug)]
#[repr(align(128))]
struct Shard {
    answers: [AtomicU64; 5],
    events: [AtomicU64; 8],
    latency_nanos: AtomicU64,
    latency_buckets: Box<[AtomicU64]>,
}

impl Counters {
    /// Counts latencies by these upper bounds, in ascending order.
    pub(crate) fn new(bounds: Arc<[Duration]>) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        // A power of two turns the remainder in `shard` into a mask.
        let shards = (0..threads.next_power_of_two().min(64))
            .map(|_| Shard {
                answers: Default::default(),
                events: Default::default(),
                latency_nanos: AtomicU64::new(0),
                latency_buckets: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            })
            .collect();
        Self { bounds, shards }
    }

    /// Counts an answer whose head came `latency` after the request.
    pub(crate) fn answered(&self, status: StatusCode, latency: Duration) {
        let shard = self.shard();
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        let bucket = self.bounds.partition_point(|bound| *bound < latency);
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        shard.answers[class].fetch_add(1, Relaxed);
        shard.latency_buckets[bucket].fetch_add(1, Relaxed);
        shard.latency_nanos.fetch_add(nanos, Relaxed);
    }

    pub(crate) fn count(&self, event: Event) {
        self.shard().events[event as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn totals(&self) -> Totals {
        let mut totals = Totals {
            latency_buckets: vec![0; self.bounds.len() + 1],
            ..Totals::default()
        };
        for shard in &self.shards {
            let event = |event: Event| shard.events[event as usize].load(Relaxed);
            add(&mut totals.answers, &shard.answers);
            add(&mut totals.latency_buckets, &shard.latency_buckets);
            totals.no_answer += event(Event::NoAnswer);
            totals.cut_short += event(Event::CutShort);
            totals.client_aborts += event(Event::ClientAbort);
            totals.resent += event(Event::Resent);
            totals.retried += event(Event::Retried);
            totals.retries_denied += event(Event::RetryDenied);
            totals.refused_connections += event(Event::RefusedConnection);
            totals.failed_handshakes += event(Event::FailedHandshake);
            totals.latency_sum += Duration::from_nanos(shard.latency_nanos.load(Relaxed));
        }
        totals
    }

    fn shard(&self) -> &Shard {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static THREAD: Cell<usize> = Cell::new(THREADS.fetch_add(1, Relaxed));
        }
        &self.shards[THREAD.get() % self.shards.len()]
    }
}

fn add(sums: &mut [u64], counts: &[AtomicU64]) {
    for (sum, count) in sums.iter_mut().zip(counts) {
        *sum += count.load(Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters() -> Counters {
        Counters::new([100, 500].map(Duration::from_millis).into())
    }

    #[test]
    fn a_bound_belongs_to_its_own_bucket() {
        let counters = counters();
        for millis in [0, 100, 101, 500, 501, 60_000] {
            counters.answered(StatusCode::OK, Duration::from_millis(millis));
        }
        let totals = counters.totals();
        assert_eq!(totals.latency_buckets, [2, 2, 2]);
        assert_eq!(totals.latency_sum, Duration::from_millis(61_202));
    }

    #[test]
    fn every_status_falls_into_one_class() {
        let counters = counters();
        for status in [200, 204, 301, 404, 500, 599, 999] {
            let status = StatusCode::from_u16(status).unwrap();
            counters.answered(status, Duration::ZERO);
        }
        counters.count(Event::NoAnswer);
        counters.count(Event::ClientAbort);
        let totals = counters.totals();
        assert_eq!(totals.answers, [0, 2, 1, 1, 3]);
        assert_eq!((totals.requests(), totals.client_aborts), (8, 1));
    }

    #[test]
    fn no_count_is_lost_between_threads() {
        let counters = counters();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        counters.answered(StatusCode::OK, Duration::ZERO);
                        counters.count(Event::Resent);
                    }
                });
            }
        });
        let before = Totals {
            answers: [0, 1_000, 0, 0, 0],
            ..Totals::default()
        };
        let totals = counters.totals().since(&before);
        assert_eq!((totals.requests(), totals.resent), (3_000, 4_000));
        assert_eq!(totals.latency_buckets, [4_000, 0, 0]);
    }
}
