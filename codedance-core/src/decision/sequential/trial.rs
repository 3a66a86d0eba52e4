//! What one metric says: a contest for a rate, one for each watched bound of a latency, signs for a value.

use serde::{Deserialize, Serialize};

use super::SequentialConfig;
use super::contest::{Contest, Count, Hypotheses};
use super::levels::{self, Level};
use super::odds::ALTERNATIVES;
use super::sign::Signs;
use crate::decision::metric::Watch;
use crate::metrics::{Histogram, Reading, Sample, Signal};

/// How many times the odds of a bad request may be worse, in terms of the tolerance: first one that
/// is close to it, for what the others would overlook.
const WORSE: [f64; ALTERNATIVES] = [1.25, 1.85, 2.9, 6.8, 40.0];

const WORSE_PRIOR: [f64; ALTERNATIVES] = [0.08, 0.53, 0.2, 0.15, 0.04];

/// Against a canary with twice the odds of a bad request: better, a little better, the same, a little
/// worse. The last place is not used.
const MUCH_WORSE: Hypotheses = Hypotheses {
    null: std::f64::consts::LN_2,
    alternatives: [
        -std::f64::consts::LN_2,
        -0.287_682_07,
        0.0,
        0.223_143_55,
        std::f64::consts::LN_2,
    ],
    prior: [0.25, 0.25, 0.25, 0.25, 0.0],
    noise: 0.0,
};

/// What is remembered of one metric.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) enum Trial {
    /// Nothing yet.
    #[default]
    #[serde(rename = "-")]
    Nothing,
    /// A rate.
    #[serde(rename = "r")]
    Rate(Box<Contest>),
    /// A latency with its histogram.
    #[serde(rename = "l")]
    Latency(Vec<Level>),
    /// A value.
    #[serde(rename = "v")]
    Value(Signs),
}

/// One wealth of a metric, with what was counted for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strand {
    pub(super) wealth: f64,
    pub(super) proof: f64,
    pub(super) canary: Count,
    pub(super) stable: Count,
    pub(super) bound: Option<f64>,
}

impl Trial {
    /// Whether it is about metrics of this kind.
    pub(super) const fn fits(&self, signal: &Signal) -> bool {
        match self {
            Self::Nothing => true,
            Self::Rate(_) => matches!(signal, Signal::ErrorRate | Signal::SuccessRate),
            Self::Latency(_) => matches!(signal, Signal::Latency(_)),
            Self::Value(_) => matches!(signal, Signal::Latency(_) | Signal::Query(_)),
        }
    }

    /// Begins with a metric's first reading, and what it tells of the time before the rollout.
    fn begin(signal: &Signal, reading: &Reading) -> Self {
        match (signal, &reading.stable, &reading.canary) {
            (Signal::ErrorRate | Signal::SuccessRate, ..) => {
                let mut contest = Contest::default();
                for count in reading.history.iter().filter_map(counts) {
                    contest.learn(count);
                }
                Self::Rate(Box::new(contest))
            }
            (Signal::Latency(_), Sample::Histogram(_), _) => {
                let past: Vec<_> = reading.history.iter().filter_map(histogram).collect();
                let mut levels = Level::choose(&past);
                for level in &mut levels {
                    for histogram in &past {
                        if let Some(count) = level.count(histogram) {
                            level.contest.learn(count);
                        }
                    }
                }
                if levels.is_empty() {
                    Self::Nothing
                } else {
                    Self::Latency(levels)
                }
            }
            (Signal::Latency(_), Sample::Quantile { .. }, Sample::Quantile { .. })
            | (Signal::Query(_), Sample::Gauge(_), Sample::Gauge(_)) => {
                Self::Value(Signs::default())
            }
            _ => Self::Nothing,
        }
    }

    /// Takes in one look; a missing or unusable reading tells nothing. `rates` are the [hypotheses](rates) about
    /// every rate.
    pub(super) fn look(
        &mut self,
        config: &SequentialConfig,
        rates: &Hypotheses,
        watch: &Watch,
        reading: Option<&Reading>,
        new_stage: bool,
    ) {
        if let (Self::Nothing, Some(reading)) = (&*self, reading) {
            *self = Self::begin(&watch.signal, reading);
            // Nothing is known from before: the stable side's first histogram says which bounds to
            // watch. It is not judged by them.
            if let (Self::Nothing, Some(now)) = (&*self, histogram(&reading.stable)) {
                let levels = Level::choose(&[now]);
                if !levels.is_empty() {
                    *self = Self::Latency(levels);
                }
                return;
            }
        }
        match self {
            Self::Nothing => {}
            Self::Rate(contest) => {
                contest.begin(new_stage, config.confirmed);
                if let Some((canary, stable)) = reading.and_then(|reading| both(reading, counts)) {
                    contest.look(canary, stable, rates, &MUCH_WORSE);
                }
            }
            Self::Latency(levels) => {
                for level in levels {
                    let hypotheses = level.hypotheses(config.tolerance);
                    level.contest.begin(new_stage, config.confirmed);
                    let count = |sample: &Sample| histogram(sample).and_then(|h| level.count(h));
                    let sides = reading.and_then(|reading| both(reading, count));
                    if let Some((canary, stable)) = sides {
                        level.contest.look(canary, stable, &hypotheses, &MUCH_WORSE);
                    }
                }
            }
            Self::Value(signs) => {
                let worse = reading.and_then(|reading| worse(config, watch, reading));
                signs.add(worse, new_stage);
            }
        }
    }

    /// The wealths of a metric that is counted: one for a rate, one for each bound of a latency.
    pub(super) fn strands(&self) -> impl Iterator<Item = Strand> {
        let (rate, levels) = match self {
            Self::Nothing | Self::Value(_) => (None, [].as_slice()),
            Self::Rate(contest) => (Some(contest), [].as_slice()),
            Self::Latency(levels) => (None, levels.as_slice()),
        };
        let rate = rate.map(|contest| Strand::of(contest, &WORSE_PRIOR, None));
        let levels = levels.iter();
        rate.into_iter().chain(
            levels.map(|level| Strand::of(&level.contest, &levels::PRIOR, Some(level.bound()))),
        )
    }
}

impl Strand {
    fn of(contest: &Contest, prior: &[f64; ALTERNATIVES], bound: Option<f64>) -> Self {
        let (canary, stable) = contest.counts();
        Self {
            wealth: contest.worse(prior),
            proof: contest.proof(&MUCH_WORSE.prior),
            canary,
            stable,
            bound,
        }
    }
}

/// Both sides of a reading, if both can be read this way.
fn both<T>(reading: &Reading, read: impl Fn(&Sample) -> Option<T>) -> Option<(T, T)> {
    Some((read(&reading.canary)?, read(&reading.stable)?))
}

/// The hypotheses about a rate.
pub(super) fn rates(config: &SequentialConfig) -> Hypotheses {
    let null = config.tolerance.ln();
    Hypotheses {
        null,
        alternatives: WORSE.map(|factor| null + factor.ln()),
        prior: WORSE_PRIOR,
        noise: 0.0,
    }
}

/// Whether the canary's value is worse than what the tolerance allows; `None` if it is exactly that.
fn worse(config: &SequentialConfig, watch: &Watch, reading: &Reading) -> Option<bool> {
    let (canary, stable) = (value(&reading.canary)?, value(&reading.stable)?);
    // A query with a lower limit alone is better the higher it is.
    let (canary, stable) = if watch.curves.upper.is_none() {
        (-canary, -stable)
    } else {
        (canary, stable)
    };
    let limit = stable + stable.abs() * (config.tolerance - 1.0);
    (canary != limit).then_some(canary > limit)
}

fn counts(sample: &Sample) -> Option<Count> {
    match sample {
        Sample::Counts { bad, total } if bad <= total => Some(Count {
            bad: *bad,
            total: *total,
        }),
        _ => None,
    }
}

const fn histogram(sample: &Sample) -> Option<&Histogram> {
    match sample {
        Sample::Histogram(histogram) => Some(histogram),
        _ => None,
    }
}

fn value(sample: &Sample) -> Option<f64> {
    match sample {
        Sample::Gauge(value) => Some(*value),
        Sample::Quantile { value, count } if *count > 0 => Some(*value),
        _ => None,
    }
    .filter(|value| value.is_finite())
}
