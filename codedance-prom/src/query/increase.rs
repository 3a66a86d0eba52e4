//! How much counters grew in a window, exactly, in one expression.
//!
//! `rate` and `increase` of Prometheus guess what happened before the first and after the last sample of a
//! window, and see nothing of a series that is born in it; the errors of a sick canary are such a series.
//! Here the window is cut into steps as long as a scrape takes to come again, on a grid that all windows
//! share, and each step counts, of each series by itself, with `S` the value now and `P` a step ago:
//!
//! 1. `S - P` where that is not negative;
//! 2. `S` where the counter began anew, or was born, at a target that had been read a step ago;
//! 3. `S - Z` where the target was not read a step ago, but was before: `Z` is its last known value. So
//!    what happened in a gap between scrapes is counted once the gap ends;
//! 4. `S` where nothing is known of the target from before: it is new.
//!
//! The sum over the steps of a window is what was counted in it, and the windows of a rollout leave
//! nothing out and count nothing twice. What no scrape saw, between the last one and a restart, nobody
//! can know.
//!
//! The first three cases are joined with `or` on Prometheus and with `default` on VictoriaMetrics, whose
//! `or` chooses between whole series rather than point by point. Prometheus 2 counts
//! the beginning of a range to it, which the window before has counted already: there the range is a
//! millisecond shorter than the window.

use std::time::Duration;

use super::selector::Selector;
use crate::dialect::Language;

/// How a window is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    /// How long the window is.
    pub(crate) window: Duration,
    /// How long a step is, at most as long as the window.
    pub(crate) step: Duration,
    /// How long the last value of a target that cannot be read is remembered.
    pub(crate) lookback: Duration,
    pub(crate) language: Language,
}

impl Grid {
    /// The sum of the increases, for each combination of values of the labels `by`.
    pub(crate) fn increase(&self, selector: &Selector, by: &[&str]) -> String {
        let or = self.language.dialect.or();
        self.summed(selector, by, |s, p, z| {
            let known =
                format!("on (job, instance) group_left () (0 * count by (job, instance) ({p}))");
            format!(
                "(({s} - {p}) >= 0) {or} ({s} + {known}) {or} (({s} - {z}) >= 0) {or} ({s} + 0)"
            )
        })
    }

    /// The same of native histograms, which cannot be compared: their counts are.
    pub(crate) fn native_increase(&self, selector: &Selector, by: &[&str]) -> String {
        self.summed(selector, by, |s, p, z| {
            let grown = |before: &str| {
                format!(
                    "(({s} - {before}) and (histogram_count({s}) >= histogram_count({before})))"
                )
            };
            let (since_step, since_gap) = (grown(p), grown(z));
            format!(
                "{since_step} or (({s} and on (job, instance) {p}) * 1) or {since_gap} or ({s} * 1)"
            )
        })
    }

    /// The sum over the window's steps of what `increased` makes of each: of the value now, of that a step ago,
    /// and of the last known one.
    fn summed(
        &self,
        selector: &Selector,
        by: &[&str],
        increased: impl FnOnce(&Selector, &str, &str) -> String,
    ) -> String {
        let (step, lookback) = (millis(self.step), millis(self.lookback));
        let before = format!("{selector} offset {step}ms");
        let known = format!("last_over_time({selector}[{lookback}ms] offset {step}ms)");
        let (by, range) = (by.join(", "), self.range());
        let increased = increased(selector, &before, &known);
        format!("sum by ({by}) (sum_over_time(({increased})[{range}ms:{step}ms]))")
    }

    /// The length of a range that holds the points after the window's beginning, up to its end.
    fn range(&self) -> u128 {
        millis(self.window) - u128::from(self.language.closed_ranges)
    }

    /// Something if any of the series was known when the window began: only then can what is new be told
    /// from what was not looked at.
    pub(crate) fn watched(&self, selector: &Selector) -> String {
        let (window, lookback) = (millis(self.window), millis(self.lookback));
        format!("group(last_over_time({selector}[{lookback}ms] offset {window}ms))")
    }
}

/// When the newest sample of either side was taken, in seconds since the epoch.
pub(crate) fn newest(selector: &Selector, by: &str) -> String {
    format!("max by ({by}) (timestamp({selector}))")
}

fn millis(length: Duration) -> u128 {
    length.as_millis().max(1)
}
