//! What was measured on both sides, over time.

mod answer;
mod columns;
mod counter;
mod csv;
mod fields;
mod journal;
mod matrix;
mod sum;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;
use std::time::Duration;

use codedance_core::Timestamp;
use codedance_core::error::Failure;
use codedance_core::metrics::{Reading, Sample, Window};

use crate::error::HistoryError;

pub use answer::SideLabel;
pub use fields::Field;
pub use matrix::RangeQueries;

/// Which revision a sample was taken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The revision that was coming.
    Canary,
    /// The revision that was in service.
    Stable,
}

impl Side {
    /// The word by which columns, cells and labels name it: `canary` or `stable`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Canary => "canary",
            Self::Stable => "stable",
        }
    }
}

/// One sample of one side of one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// The metric's name in the policy.
    pub metric: String,
    /// When the interval ended that it was taken over.
    pub at: Timestamp,
    /// Of which side.
    pub side: Side,
    /// What was read in the interval: of counts, those of the interval alone.
    pub sample: Sample,
}

/// Recorded metrics of both sides: for each metric of a policy, by its name, a sample of the canary and
/// one of the stable revision for each interval.
///
/// Intervals bear the time of their **end**, as the points of a Prometheus range query do, and begin where
/// the one before ended. Most have the length of the recording's [step](Self::step); where one is missing
/// nothing is known, and nothing is made up.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    step: Duration,
    /// When the recorded rollout began, if it is the recording of one.
    began: Option<Timestamp>,
    /// Until when it was recorded, where that is known; never before the end of an interval.
    ended: Option<Timestamp>,
    series: BTreeMap<String, BTreeMap<Timestamp, Interval>>,
    /// The looks at which the source failed, by their end.
    failures: BTreeMap<Timestamp, Failure>,
}

/// What was read of one metric in one interval.
#[derive(Clone, Debug, Default, PartialEq)]
struct Interval {
    canary: Sample,
    stable: Sample,
    /// When the newest sample was taken, if that was not the end.
    newest: Option<Timestamp>,
}

impl Interval {
    const fn side(&self, side: Side) -> &Sample {
        match side {
            Side::Canary => &self.canary,
            Side::Stable => &self.stable,
        }
    }

    fn has_data(&self) -> bool {
        self.canary != Sample::NoData || self.stable != Sample::NoData
    }

    const fn side_mut(&mut self, side: Side) -> &mut Sample {
        match side {
            Side::Canary => &mut self.canary,
            Side::Stable => &mut self.stable,
        }
    }
}

impl History {
    /// A recording of these samples, in any order. The step is the commonest distance between two
    /// intervals.
    ///
    /// # Errors
    /// When two samples are of the same metric, side and time, when histograms of a metric have other
    /// bounds than others, or when there are fewer than two points in time, so that nobody knows how long
    /// an interval is.
    pub fn new(measurements: impl IntoIterator<Item = Recorded>) -> Result<Self, HistoryError> {
        let mut series: BTreeMap<String, BTreeMap<Timestamp, Interval>> = BTreeMap::new();
        let mut taken = std::collections::BTreeSet::new();
        for measurement in measurements {
            let Recorded {
                metric,
                at,
                side,
                sample,
            } = measurement;
            if !taken.insert((metric.clone(), at, side)) {
                return Err(twice(&metric, at));
            }
            let intervals = series.entry(metric).or_default();
            *intervals.entry(at).or_default().side_mut(side) = sample;
        }
        let step = series.values().filter_map(commonest_distance).max();
        let Some(step) = step else {
            return Err(HistoryError::new(
                "time",
                "there are fewer than two points in time; at least two are needed to know how long an \
                 interval is",
            ));
        };
        let history = Self {
            step,
            began: None,
            ended: None,
            series,
            failures: BTreeMap::new(),
        };
        history.check_bounds().map(|()| history)
    }

    /// A recording of what a source reads of windows that follow each other, such as those of
    /// `codedance_prom::Prometheus::range`.
    ///
    /// # Errors
    /// As [`History::new`].
    pub fn from_readings(
        looks: impl IntoIterator<Item = (Window, Vec<Reading>)>,
    ) -> Result<Self, HistoryError> {
        let readings = looks.into_iter().flat_map(|(window, readings)| {
            let at = window.to;
            readings.into_iter().map(move |reading| (at, reading))
        });
        Self::new(readings.flat_map(|(at, reading)| {
            let metric = reading.name;
            [
                (Side::Canary, reading.canary),
                (Side::Stable, reading.stable),
            ]
            .map(|(side, sample)| Recorded {
                metric: metric.clone(),
                at,
                side,
                sample,
            })
        }))
    }

    /// The recording of both: other metrics, or other times.
    ///
    /// # Errors
    /// When both have the same metric at the same time, or histograms of it with other bounds.
    pub fn join(mut self, other: Self) -> Result<Self, HistoryError> {
        for (metric, intervals) in other.series {
            let mine = self.series.entry(metric.clone()).or_default();
            for (at, interval) in intervals {
                match mine.entry(at) {
                    Entry::Occupied(_) => return Err(twice(&metric, at)),
                    Entry::Vacant(place) => {
                        place.insert(interval);
                    }
                }
            }
        }
        self.step = self.step.max(other.step);
        self.began = self.began.or(other.began);
        self.ended = self.ended.max(other.ended);
        self.failures.extend(other.failures);
        self.check_bounds().map(|()| self)
    }

    /// The names of the metrics, in alphabetical order.
    pub fn metrics(&self) -> impl Iterator<Item = &str> {
        self.series.keys().map(String::as_str)
    }

    /// How long most intervals are; of metrics that differ, the longest.
    #[must_use]
    pub const fn step(&self) -> Duration {
        self.step
    }

    /// From the beginning of the first interval to the end of the last; of a journal, to where the last
    /// stage was left.
    #[must_use]
    pub fn span(&self) -> Window {
        let ends = self.ends();
        let first = ends.first().copied().unwrap_or_default();
        let last = ends.last().copied().max(self.ended).unwrap_or_default();
        Window::new(before(first, self.step), last)
    }

    /// Where a backtest starts unless it is told: where the recorded rollout began, if this is the
    /// recording of one; else after the first 60 intervals if at least 70 were recorded, so that the judge
    /// knows what was usual before; else at the beginning.
    #[must_use]
    pub fn default_start(&self) -> Timestamp {
        const PAST: usize = 60;
        const LEAST_AFTER: usize = 10;
        let ends = self.ends();
        match (self.began, ends.len() >= PAST + LEAST_AFTER) {
            (Some(began), _) => began,
            (None, true) => ends[PAST - 1],
            (None, false) => self.span().from,
        }
    }

    /// The ends of all intervals, in order.
    fn ends(&self) -> Vec<Timestamp> {
        let all = self.series.values().flat_map(BTreeMap::keys);
        let failed = self.failures.keys();
        let distinct: std::collections::BTreeSet<_> = all.chain(failed).copied().collect();
        distinct.into_iter().collect()
    }

    /// What was read of a metric in the intervals that end within the window, put together. An interval
    /// belongs to the window in which it ends, so that no request is counted twice.
    pub(crate) fn reading(&self, metric: &str, window: Window) -> Reading {
        let within = self.within(metric, window);
        let (mut canary, mut stable, mut newest) = (Sample::NoData, Sample::NoData, None);
        for (end, interval) in within {
            canary = sum::together(canary, &interval.canary);
            stable = sum::together(stable, &interval.stable);
            if interval.has_data() {
                newest = Some(interval.newest.unwrap_or(*end));
            }
        }
        let reading = Reading::new(metric, canary, stable);
        match newest {
            Some(at) if at < window.to => reading.taken_at(at),
            Some(_) | None => reading,
        }
    }

    /// How the source failed at the last look of the window, if nothing was read after it.
    pub(crate) fn failure(&self, window: Window) -> Option<&Failure> {
        let (at, failure) = self.failures.range(after(window)).next_back()?;
        let later = Window::new(*at, window.to);
        let read = self
            .series
            .keys()
            .any(|metric| self.within(metric, later).next().is_some());
        (!read).then_some(failure)
    }

    /// Any sample of the metric that holds something.
    pub(crate) fn example(&self, metric: &str) -> Option<&Sample> {
        let intervals = self.series.get(metric)?.values();
        let mut samples = intervals.flat_map(|interval| [&interval.canary, &interval.stable]);
        samples.find(|sample| **sample != Sample::NoData)
    }

    /// The samples of one side that end within the window, in order.
    pub(crate) fn samples<'a>(
        &'a self,
        metric: &str,
        side: Side,
        window: Window,
    ) -> impl Iterator<Item = &'a Sample> {
        self.within(metric, window)
            .map(move |(_, interval)| interval.side(side))
    }

    /// Histograms can be compared and added only if they have the same bounds.
    fn check_bounds(&self) -> Result<(), HistoryError> {
        for (metric, intervals) in &self.series {
            let mut known = None;
            for (at, interval) in intervals {
                for sample in [&interval.canary, &interval.stable] {
                    let Sample::Histogram(histogram) = sample else {
                        continue;
                    };
                    if *known.get_or_insert_with(|| histogram.bounds()) != histogram.bounds() {
                        let message = format!(
                            "{metric} has other bounds at {at} than before, or on its other side; \
                             record the same buckets everywhere"
                        );
                        return Err(HistoryError::new("le", message));
                    }
                }
            }
        }
        Ok(())
    }

    fn within<'a>(
        &'a self,
        metric: &str,
        window: Window,
    ) -> impl Iterator<Item = (&'a Timestamp, &'a Interval)> {
        self.series
            .get(metric)
            .into_iter()
            .flat_map(move |intervals| intervals.range(after(window)))
    }
}

/// The ends that lie within the window: after its beginning, and up to its end. Windows that follow one
/// another share none.
fn after(window: Window) -> (Bound<Timestamp>, Bound<Timestamp>) {
    if window.from < window.to {
        (Bound::Excluded(window.from), Bound::Included(window.to))
    } else {
        // A range that excludes where it ends would be a panic; this one is empty.
        (Bound::Included(window.to), Bound::Excluded(window.to))
    }
}

/// So long before; the epoch if that is later.
fn before(at: Timestamp, length: Duration) -> Timestamp {
    let length = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(at.as_millis().saturating_sub(length))
}

fn twice(metric: &str, at: Timestamp) -> HistoryError {
    HistoryError::new(
        "",
        format!("{metric} was recorded twice at {at}; leave one of the two out"),
    )
}

/// The commonest distance between two neighbours; of several, the shortest. Gaps and jitter do not move
/// it, as they would a mean.
fn commonest_distance(intervals: &BTreeMap<Timestamp, Interval>) -> Option<Duration> {
    let mut counts: BTreeMap<Duration, usize> = BTreeMap::new();
    for (earlier, later) in intervals.keys().zip(intervals.keys().skip(1)) {
        *counts.entry(later.since(*earlier)).or_default() += 1;
    }
    let most = counts.values().copied().max()?;
    let commonest = counts.iter().find(|(_, count)| **count == most);
    commonest.map(|(distance, _)| *distance)
}
