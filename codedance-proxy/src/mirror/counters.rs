//! What is counted of copies.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use codedance_core::workload::Revision;

use crate::server::Proxy;
use crate::stats::Counters;

/// What has been counted of the copies for one revision. Nothing is ever reset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MirrorTotals {
    /// Answers by the class of their status, 1xx to 5xx in this order.
    pub answers: [u64; 5],
    /// Copies that never got an answer: nothing to connect to, a connection that broke, a time-out.
    pub no_answer: u64,
    /// Requests that were not copied since [`Mirror::in_flight`](crate::Mirror::in_flight) copies
    /// were under way.
    pub dropped: u64,
    /// Requests that were not copied since their body was too large.
    pub too_large: u64,
    /// Copies that were given up: the request's body did not come in whole, or the proxy was shut
    /// down.
    pub abandoned: u64,
    /// How many answers took how long, as in
    /// [`Totals::latency_buckets`](crate::Totals::latency_buckets): from sending the copy to the
    /// answer's head.
    pub latency_buckets: Vec<u64>,
    /// The sum of those times.
    pub latency_sum: Duration,
}

impl MirrorTotals {
    /// Whether nothing was copied, nor was to be.
    pub(crate) fn is_nothing(&self) -> bool {
        let skipped = self.dropped + self.too_large + self.abandoned;
        self.answers.iter().sum::<u64>() + self.no_answer + skipped == 0
    }
}

impl Proxy {
    /// What has been counted of the copies for a revision; `None` for one that the proxy does not
    /// know.
    #[must_use]
    pub fn mirror_totals(&self, revision: &Revision) -> Option<MirrorTotals> {
        let route = self.routing().route(revision)?;
        Some(route.revision.mirrored.totals())
    }
}

/// The live counters.
#[derive(Debug)]
pub(crate) struct MirrorCounters {
    pub(crate) exchanges: Counters,
    pub(super) dropped: AtomicU64,
    pub(super) too_large: AtomicU64,
    pub(super) abandoned: AtomicU64,
}

impl MirrorCounters {
    pub(crate) fn new(bounds: Arc<[Duration]>) -> Self {
        Self {
            exchanges: Counters::new(bounds),
            dropped: AtomicU64::new(0),
            too_large: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
        }
    }

    pub(crate) fn totals(&self) -> MirrorTotals {
        let exchanges = self.exchanges.totals();
        MirrorTotals {
            answers: exchanges.answers,
            no_answer: exchanges.no_answer,
            dropped: self.dropped.load(Relaxed),
            too_large: self.too_large.load(Relaxed),
            abandoned: self.abandoned.load(Relaxed),
            latency_buckets: exchanges.latency_buckets,
            latency_sum: exchanges.latency_sum,
        }
    }
}
