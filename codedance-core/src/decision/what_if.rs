//! What a plan could see: how likely a regression would be found, how soon, and at what cost.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::builder::PolicyError;
use super::quantity::{Quantity, Unit};
use super::sequential::{Growth, SequentialConfig};
use super::{JudgeConfig, Policy};
use crate::metrics::Signal;
use crate::percent::Percent;
use crate::plan::{Plan, Stage};
use crate::time::display_duration;

/// The regressions that are looked for: how many times the errors of stable.
const RATIOS: [f64; 3] = [1.5, 2.0, 5.0];

/// How likely a regression is to be found when a stage has baked long enough.
const POWER: f64 = 0.9;

/// A plan that would find twice the errors less often than this cannot see anything.
const BLIND: f64 = 0.5;

/// Nobody bakes a stage for longer.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);

/// The traffic that a policy expects, as a hint: nothing is judged by it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// Requests a minute of the whole workload, both revisions together. Above 0, at most 1e12.
    pub requests_per_minute: f64,
    /// The share of them that is bad on a good day: `0.5%`. Above 0 % and below 100 %.
    pub error_rate: Quantity,
}

impl Traffic {
    /// So many requests a minute, of which this share is bad on a good day.
    #[must_use]
    pub fn new(requests_per_minute: f64, error_rate: impl Into<Quantity>) -> Self {
        Self {
            requests_per_minute,
            error_rate: error_rate.into(),
        }
    }

    pub(super) fn check(&self) -> Result<(), PolicyError> {
        let requests = self.requests_per_minute;
        if !(requests > 0.0 && requests <= 1e12) {
            return Err(PolicyError::new(
                "requests_per_minute",
                format!("`{requests}` is out of range; write a number above 0, at most 1e12"),
            ));
        }
        let (rate, unit) = (self.error_rate, self.error_rate.unit());
        if unit != Unit::Share || !(rate.value() > 0.0 && rate.value() < 1.0) {
            return Err(PolicyError::new(
                "error_rate",
                format!(
                    "`{rate}` is no error rate; write a share above 0% and below 100%, such as `0.5%`"
                ),
            ));
        }
        Ok(())
    }
}

/// What a plan could see of regressions of the error rate, by the comparison that
/// [`Thresholds`](super::Thresholds#the-comparison) makes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct WhatIf {
    /// The traffic that was assumed.
    pub traffic: Traffic,
    /// For 1.5, 2 and 5 times the errors of stable, in this order.
    pub regressions: Vec<Regression>,
    /// How many stages compare both sides, and how long they bake together.
    stages: usize,
    bake: Duration,
}

/// What a plan could see of one regression that is there from the beginning.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Regression {
    /// How many times the errors of stable.
    pub ratio: f64,
    /// How likely it would be sent back before the last bake time has passed, from 0 to 1.
    pub power: f64,
    /// One for each stage of the plan, in its order.
    pub stages: Vec<StageSight>,
}

/// What one stage could see of a regression.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct StageSight {
    /// The canary's share of the traffic.
    pub weight: Percent,
    /// How long the stage bakes in the plan.
    pub bake: Duration,
    /// How likely the regression would have been sent back by the end of this stage, by all stages up to
    /// here together; from 0 to 1.
    pub power: f64,
    /// How long this stage alone would have to bake to find it with a power of 90 %. `None`: more than a week,
    /// or the stage has nothing to compare.
    pub needed: Option<Duration>,
    /// How many of the users' requests the canary would have answered by then.
    pub requests: Option<u64>,
}

impl Policy {
    /// What `plan` could see under this policy with this traffic. `None` if nothing is compared: no error or
    /// success rate is watched, or the comparison is switched off.
    #[must_use]
    pub fn what_if(&self, plan: &Plan, traffic: Traffic) -> Option<WhatIf> {
        let config = self.comparison()?;
        let counted = |signal: &Signal| !matches!(signal, Signal::Query(_));
        let all = self
            .metrics()
            .iter()
            .filter(|metric| counted(metric.signal()));
        let total: f64 = all.map(super::Metric::weight).sum();
        let rates = self
            .metrics()
            .iter()
            .filter(|metric| matches!(metric.signal(), Signal::ErrorRate | Signal::SuccessRate));
        let part = rates.map(super::Metric::weight).fold(0.0, f64::max) / total;
        if part.is_nan() || part <= 0.0 || traffic.check().is_err() {
            return None;
        }
        let sight = Sight {
            config,
            part,
            interval: self.interval(),
            traffic,
        };
        let compared = || plan.stages().iter().filter(|stage| can_compare(stage));
        Some(WhatIf {
            traffic,
            regressions: RATIOS.iter().map(|ratio| sight.of(plan, *ratio)).collect(),
            stages: compared().count(),
            bake: compared().map(|stage| stage.bake).sum(),
        })
    }

    /// What `plan` cannot see, if the policy says which [traffic](Policy::traffic) it expects and the plan
    /// would let a canary with twice the errors pass more often than not.
    #[must_use]
    pub fn blindness(&self, plan: &Plan) -> Option<WhatIf> {
        let foreseen = self.what_if(plan, self.traffic()?)?;
        foreseen.is_blind().then_some(foreseen)
    }

    /// How the first judge that compares both sides does it.
    fn comparison(&self) -> Option<SequentialConfig> {
        if self.judges().is_empty() {
            return Some(SequentialConfig::default());
        }
        self.judges().iter().find_map(|judge| match judge {
            JudgeConfig::Thresholds(config) => config.sequential,
            _ => None,
        })
    }
}

/// What the figures are computed from.
struct Sight {
    config: SequentialConfig,
    part: f64,
    interval: Duration,
    traffic: Traffic,
}

impl Sight {
    fn of(&self, plan: &Plan, ratio: f64) -> Regression {
        let mut together = Growth::default();
        let mut power = 0.0_f64;
        let mut stages = Vec::with_capacity(plan.stages().len());
        for stage in plan.stages() {
            let mut needed = None;
            if can_compare(stage) {
                let growth = self.growth(stage.weight, ratio);
                together.add(&growth, stage.bake.div_duration_f64(self.interval).floor());
                // Later evidence may be weaker: what was seen is not taken back.
                power = power.max(together.power(&self.config, self.part));
                needed = self.needed(&growth);
            }
            stages.push(StageSight {
                weight: stage.weight,
                bake: stage.bake,
                power,
                needed,
                requests: needed.map(|needed| self.canary(stage.weight, needed).ceil() as u64),
            });
        }
        Regression {
            ratio,
            power,
            stages,
        }
    }

    /// The canary's requests in so much time.
    fn canary(&self, weight: Percent, time: Duration) -> f64 {
        self.traffic.requests_per_minute * time.as_secs_f64() / 60.0 * fraction(weight)
    }

    /// How the evidence grows with each look.
    fn growth(&self, weight: Percent, ratio: f64) -> Growth {
        let canary = self.canary(weight, self.interval);
        let stable = canary * (1.0 / fraction(weight) - 1.0);
        let share = self.traffic.error_rate.value();
        Growth::of_interval(&self.config, canary, stable, share, ratio)
    }

    /// How long it takes to find it.
    fn needed(&self, growth: &Growth) -> Option<Duration> {
        let power = |looks: u32| {
            let mut sum = Growth::default();
            sum.add(growth, f64::from(looks));
            sum.power(&self.config, self.part)
        };
        let most = LONGEST.div_duration_f64(self.interval) as u32;
        let mut enough = 1;
        while power(enough) < POWER {
            if enough >= most {
                return None;
            }
            enough = (enough * 2).min(most);
        }
        let mut few = enough / 2;
        while enough - few > 1 {
            let middle = u32::midpoint(few, enough);
            if power(middle) < POWER {
                few = middle;
            } else {
                enough = middle;
            }
        }
        Some(self.interval * enough)
    }
}

/// Whether the metrics are judged in a stage, and both sides have traffic.
fn can_compare(stage: &Stage) -> bool {
    stage.analysis && stage.weight > Percent::ZERO && stage.weight < Percent::HUNDRED
}

/// The share as a number from 0 to 1.
fn fraction(share: Percent) -> f64 {
    f64::from(share.basis_points()) / 10_000.0
}

impl WhatIf {
    /// Whether a canary with twice the errors would pass more often than not.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        let twice = self
            .regressions
            .iter()
            .find(|regression| regression.ratio == 2.0);
        twice.is_some_and(|regression| regression.power < BLIND)
    }
}

/// `the plan cannot see much: 6 stages of 6m together at 20 requests a minute find twice the errors with a
/// power of 3 %; a stage at 50 % would have to bake for 14h 5m`.
impl fmt::Display for WhatIf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            stages, traffic, ..
        } = self;
        write!(
            f,
            "{stages} {} that bake for {} at {} requests a minute",
            if *stages == 1 { "stage" } else { "stages" },
            display_duration(self.bake),
            traffic.requests_per_minute,
        )?;
        for (index, regression) in self.regressions.iter().enumerate() {
            let join = if index == 0 { " find" } else { "," };
            let percent = (regression.power * 100.0).round();
            write!(
                f,
                "{join} {} times the errors with a power of {percent} %",
                regression.ratio
            )?;
        }
        let twice = self
            .regressions
            .iter()
            .find(|regression| regression.ratio == 2.0);
        let stages = twice.iter().flat_map(|regression| &regression.stages);
        let soonest = stages
            .filter_map(|stage| Some((stage.needed?, stage.weight)))
            .min();
        match soonest {
            Some((needed, weight)) => write!(
                f,
                "; to find 2 times the errors with 90 %, a stage at {weight} has to bake for {}",
                display_duration(needed)
            ),
            None => f.write_str("; no stage could find 2 times the errors with 90 % within a week"),
        }
    }
}
