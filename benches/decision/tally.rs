//! What came of many rollouts, and how far chance may be off.

use serde::Serialize;

use crate::simulate::Hit;

/// A figure and its Monte-Carlo standard error.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Estimate {
    pub(crate) value: f64,
    pub(crate) error: f64,
}

/// When each rollout of a scenario was sent back by a judge, if it was.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    hits: Vec<Option<Hit>>,
    minutes: Vec<u64>,
    requests: Vec<u64>,
}

impl Tally {
    pub(crate) fn new(hits: impl Iterator<Item = Option<Hit>>) -> Self {
        let hits: Vec<_> = hits.collect();
        let sorted = |of: fn(&Hit) -> u64| {
            let mut values: Vec<_> = hits.iter().flatten().map(of).collect();
            values.sort_unstable();
            values
        };
        let minutes = sorted(|hit| hit.minute as u64);
        let requests = sorted(|hit| hit.requests);
        Self {
            hits,
            minutes,
            requests,
        }
    }

    /// How many rollouts there were.
    pub(crate) const fn rollouts(&self) -> usize {
        self.hits.len()
    }

    /// How many percent of them were sent back.
    pub(crate) fn power(&self) -> Estimate {
        Estimate {
            value: 100.0 * self.requests.len() as f64 / self.hits.len() as f64,
            error: 100.0 * self.share_error(self.hits.len()),
        }
    }

    /// The standard error that the share would have after `rollouts`.
    ///
    /// As if one rollout more had been sent back and one more had not: none of a thousand does not mean
    /// that there is none.
    pub(crate) fn share_error(&self, rollouts: usize) -> f64 {
        let share = (self.requests.len() + 1) as f64 / (self.hits.len() + 2) as f64;
        (share * (1.0 - share) / rollouts as f64).sqrt()
    }

    /// After how many minutes half of the rollouts were sent back; none if fewer than half were.
    pub(crate) fn median_minute(&self) -> Option<Estimate> {
        median(&self.minutes, self.rollouts())
    }

    /// After how many requests to the canary, likewise.
    pub(crate) fn median_requests(&self) -> Option<Estimate> {
        median(&self.requests, self.rollouts())
    }

    /// The requests of all that were sent back, in ascending order.
    pub(crate) fn requests(&self) -> &[u64] {
        &self.requests
    }
}

/// The median of `count` values, of which those that are missing lie above all others.
///
/// With the missing ones left out, a judge that misses the harder half of the cases would look the faster
/// for it. The error is a quarter of what lies between the ranks two standard deviations off to either
/// side: two and not one, since values come in clumps, a minute's requests apart.
fn median(ascending: &[u64], count: usize) -> Option<Estimate> {
    let middle = (count as f64 - 1.0) / 2.0;
    let last = ascending.len().checked_sub(1)?;
    if middle > last as f64 {
        return None;
    }
    let off = (count as f64).sqrt();
    let at = |rank: f64| ascending[(rank.max(0.0) as usize).min(last)] as f64;
    Some(Estimate {
        value: f64::midpoint(at(middle.floor()), at(middle.ceil())),
        error: (at((middle + off).ceil()) - at((middle - off).floor())) / 4.0,
    })
}
