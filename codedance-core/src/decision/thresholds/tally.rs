//! What [`Thresholds`](super::Thresholds) remembers from one look to the next.

use serde::{Deserialize, Serialize};

use crate::decision::Evidence;
use crate::decision::sample::Seen;
use crate::decision::sequential::Trials;

/// The judge's memory. Part of every snapshot, so it is small: 5 metrics take less than 2 KiB, or 2.5 KiB where proof is wanted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Ledger {
    /// The stage that everything here was counted in.
    stage: usize,
    /// The end of the last window that was counted, in milliseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<i64>,
    /// The end of the last window that could not be read, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<i64>,
    /// Since when the canary has had no ready replica, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unready: Option<i64>,
    /// How many looks in a row were good.
    pub(super) good: u32,
    /// How many looks in a row were bad; looks that could not tell neither add to it nor end it.
    pub(super) bad: u32,
    /// The latest looks that were judged, the newest in the lowest bit: 1 for a bad one.
    history: u64,
    /// How many looks in a row could not tell.
    pub(super) unclear: u32,
    /// How often in a row the metrics could not be read.
    pub(super) errors: u32,
    /// One for each metric, in the policy's order.
    pub(super) tallies: Vec<Tally>,
    /// What canary and stable say together, since the rollout began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trials: Option<Trials>,
}

/// What kind of look it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// A metric failed.
    Bad,
    /// Every required metric passed, and the score is good.
    Good,
    /// Every required metric passed, and the score is not good.
    Fair,
    /// A required metric has no data.
    Blind,
    /// A required metric is beyond its limit, but not for certain.
    Doubtful,
    /// Some required metrics have too few samples yet.
    Thin {
        /// What there is lies within the limits.
        within: bool,
    },
}

impl Look {
    /// Whether it could tell.
    pub(super) const fn is_judged(self) -> bool {
        matches!(self, Self::Bad | Self::Good | Self::Fair)
    }
}

impl Ledger {
    /// Starts afresh if the stage or the number of metrics is another.
    pub(super) fn enter(&mut self, stage: usize, metrics: usize) {
        if self.stage != stage || self.tallies.len() != metrics {
            *self = Self {
                stage,
                until: self.until,
                failed: self.failed,
                unready: self.unready,
                errors: self.errors,
                tallies: vec![Tally::default(); metrics],
                trials: self.trials.take(),
                ..Self::default()
            };
        }
    }

    /// Whether this window was not counted before. From here on it counts as counted.
    pub(super) fn is_new(&mut self, evidence: &Evidence<'_>) -> bool {
        let to = Some(evidence.window.to.as_millis());
        // None is less than any time. A window that could not be read may be read again.
        let known = if evidence.failure.is_some() {
            self.until.max(self.failed)
        } else {
            self.until
        };
        if to <= known {
            return false;
        }
        if evidence.failure.is_some() {
            self.failed = to;
        } else {
            self.until = to;
        }
        true
    }

    pub(super) fn count(&mut self, look: Look, good_in_row: u32) {
        if look.is_judged() {
            self.history = (self.history << 1) | u64::from(look == Look::Bad);
            self.unclear = 0;
        } else if !(look == Look::Thin { within: true } && self.good >= good_in_row) {
            self.unclear = self.unclear.saturating_add(1);
        }
        match look {
            Look::Bad => self.bad = self.bad.saturating_add(1),
            Look::Good | Look::Fair => self.bad = 0,
            Look::Blind | Look::Doubtful | Look::Thin { .. } => {}
        }
        match look {
            Look::Good => self.good = self.good.saturating_add(1),
            Look::Bad | Look::Fair | Look::Blind | Look::Doubtful => self.good = 0,
            Look::Thin { .. } => {}
        }
    }

    /// How many of the latest `looks` judged looks of the stage were bad.
    pub(super) const fn bad_among(&self, looks: u32) -> u32 {
        let kept = if looks >= u64::BITS {
            u64::MAX
        } else {
            (1 << looks) - 1
        };
        (self.history & kept).count_ones()
    }
}

/// The samples of one metric since they were last judged.
///
/// Written as an array, to keep snapshots small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Packed", into = "Packed")]
pub(super) struct Tally {
    /// What has come in since [`Next::Age`].
    young: Sum,
    /// What had come in before.
    old: Sum,
    /// How often in a row a critical metric was as bad as can be.
    pub(super) worst: u32,
    /// What becomes of the samples at the next look. Not at this one: should its window come again, the
    /// same samples must give the same answer.
    pub(super) next: Next,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sum {
    bad: u64,
    total: u64,
    /// Seconds times requests.
    seconds: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Next {
    /// They are kept: they do not suffice.
    #[default]
    #[serde(rename = "k")]
    Keep,
    /// Half of them are forgotten: they suffice, but other metrics are waited for.
    #[serde(rename = "a")]
    Age,
    /// They are forgotten: they were judged.
    #[serde(rename = "d")]
    Drop,
}

type Packed = (u64, u64, f64, u64, u64, f64, u32, Next);

impl From<Packed> for Tally {
    fn from(packed: Packed) -> Self {
        let (bad, total, seconds, old_bad, old_total, old_seconds, worst, next) = packed;
        let sum = |bad: u64, total: u64, seconds| Sum {
            bad: bad.min(total),
            total,
            seconds,
        };
        Self {
            young: sum(bad, total, seconds),
            old: sum(old_bad, old_total, old_seconds),
            worst,
            next,
        }
    }
}

impl From<Tally> for Packed {
    fn from(tally: Tally) -> Self {
        let Tally {
            young,
            old,
            worst,
            next,
        } = tally;
        (
            young.bad,
            young.total,
            young.seconds,
            old.bad,
            old.total,
            old.seconds,
            worst,
            next,
        )
    }
}

/// A number of seconds that stands for infinitely many, and yet can be summed and written as JSON.
const FOREVER: f64 = 1e15;

impl Tally {
    /// Makes room for a new look.
    pub(super) fn begin(&mut self, enough: u64) {
        match self.next {
            Next::Keep => {}
            Next::Age if self.young.total < enough => {}
            Next::Age => self.old = std::mem::take(&mut self.young),
            Next::Drop => (self.young, self.old) = Default::default(),
        }
        self.next = Next::Keep;
    }

    /// Adds what a look has seen.
    pub(super) fn add(&mut self, seen: Seen) {
        let young = &mut self.young;
        match seen {
            Seen::Rate { bad, total } => {
                young.bad = young.bad.saturating_add(bad);
                young.total = young.total.saturating_add(total);
            }
            Seen::Latency { seconds, count } => {
                young.total = young.total.saturating_add(count);
                young.seconds += seconds.clamp(-FOREVER, FOREVER) * count as f64;
            }
            Seen::Gauge(_) => {}
        }
    }

    /// What has been seen altogether, in the shape of `seen`: of rates the sum, of latencies the mean by
    /// requests, of gauges the last one.
    pub(super) fn together(&self, seen: Seen) -> Seen {
        let total = self.young.total.saturating_add(self.old.total);
        match seen {
            Seen::Rate { .. } if total > 0 => Seen::Rate {
                bad: self.young.bad.saturating_add(self.old.bad),
                total,
            },
            Seen::Latency { .. } if total > 0 => Seen::Latency {
                seconds: (self.young.seconds + self.old.seconds) / total as f64,
                count: total,
            },
            alone => alone,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_that_is_waited_with_forgets_the_older_half() {
        let look = Seen::Rate { bad: 1, total: 60 };
        let mut tally = Tally::default();
        for want in [60, 120, 120, 120] {
            tally.begin(50);
            tally.add(look);
            assert!(matches!(tally.together(look), Seen::Rate { total, .. } if total == want));
            tally.next = Next::Age;
        }
        tally.next = Next::Drop;
        tally.begin(50);
        assert_eq!(tally, Tally::default());
    }

    #[test]
    fn sums_saturate_and_stay_finite() {
        let rate = Seen::Rate {
            bad: u64::MAX,
            total: u64::MAX,
        };
        let slow = Seen::Latency {
            seconds: f64::INFINITY,
            count: u64::MAX,
        };
        let mut tally = Tally::default();
        for _ in 0..3 {
            tally.add(rate);
            tally.add(slow);
        }
        assert_eq!(tally.together(rate), rate);
        assert!(
            matches!(tally.together(slow), Seen::Latency { seconds, .. } if seconds.is_finite())
        );
        let json = serde_json::to_string(&tally).unwrap();
        assert_eq!(serde_json::from_str::<Tally>(&json).unwrap(), tally);
    }

    #[test]
    fn only_so_many_looks_back_are_counted() {
        let mut ledger = Ledger::default();
        for look in [Look::Bad, Look::Good, Look::Blind, Look::Bad, Look::Fair] {
            ledger.count(look, 3);
        }
        let counts = [1, 2, 3, 4, 64, 99].map(|looks| ledger.bad_among(looks));
        assert_eq!(counts, [0, 1, 1, 2, 2, 2]);
    }
}
