//! Why: every reason is typed data first and an English sentence second.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ScoreRange;
use super::breach::{Breach, Grouped};
use super::comparison::Comparison;
use crate::error::Failure;
use crate::time;

/// Why a judge or the machine decided as it did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Reason {
    /// A metric lies beyond its limit.
    MetricFailed(Breach),
    /// A metric lies beyond its limit, on too few requests to be sure of it.
    MetricDoubtful(Breach),
    /// Looks were bad, several in a row or too many in one stage.
    BadLooks {
        /// How many in a row were.
        in_row: u32,
        /// How many of the stage's latest were.
        in_stage: u32,
    },
    /// A critical metric was as bad as can be, twice.
    CriticalMetric {
        /// Which metric.
        metric: String,
    },
    /// Not enough good looks in a row yet.
    FewGoodLooks {
        /// So many.
        have: u32,
        /// Of so many wanted.
        need: u32,
    },
    /// The score is neither good enough to advance nor bad enough to roll back.
    Undecided {
        /// The score.
        score: ScoreRange,
    },
    /// A required metric has no data.
    NoData {
        /// Which metric.
        metric: String,
        /// In what way.
        absence: Absence,
    },
    /// A required metric has too few samples.
    FewSamples {
        /// Which metric.
        metric: String,
        /// So many.
        have: u64,
        /// Of so many wanted.
        need: u64,
    },
    /// The metrics could not be read.
    SourceFailed {
        /// How often in a row.
        in_row: u32,
        /// How it failed the last time.
        failure: Failure,
    },
    /// Too many looks in a row could not tell.
    Inconclusive {
        /// How many looks in a row.
        looks: u32,
    },
    /// Replicas of the canary ended or cannot start.
    ReplicasFailed {
        /// How many.
        failed: u32,
    },
    /// Replicas of the canary restart.
    ReplicasRestarted {
        /// How often.
        restarts: u32,
        /// How often is too often.
        limit: u32,
    },
    /// None of the canary's replicas has been ready for a while.
    NoneReady {
        /// How many were wanted.
        desired: u32,
        /// For how long.
        #[serde(with = "time::duration")]
        lasting: Duration,
    },
    /// Too few replicas of the canary are ready.
    FewReady {
        /// How many are.
        ready: u32,
        /// How many were wanted.
        desired: u32,
    },
    /// The canary is worse than stable.
    CanaryWorse(Comparison),
    /// The canary looks worse than stable, but not so much that chance can be ruled out.
    CanarySuspect(Comparison),
    /// A metric of which only a value is known was worse on the canary's side at too many looks for
    /// chance.
    ValueWorse {
        /// Which metric.
        metric: String,
        /// At most one in so many healthy canaries would ever look this bad.
        one_in: u64,
    },
    /// It is not proven yet that the canary is not much worse than stable.
    NotProven {
        /// Which metric.
        metric: String,
        /// So strong is the proof: at most one in so many canaries with twice the odds of a bad
        /// request would ever look this good.
        have: f64,
        /// So strong it must be.
        need: f64,
    },
    /// A rule of the user's spoke.
    Rule {
        /// The rule's name.
        name: String,
        /// Its expression.
        expression: String,
    },
    /// A rule of the user's could not be evaluated on this evidence.
    RuleFailed {
        /// The rule's name.
        name: String,
        /// Why.
        message: String,
    },
    /// The policy appoints a judge of the user's own that this process does not have.
    UnknownJudge {
        /// Its name in the policy.
        name: String,
    },
    /// Whatever a judge of the user's own has to say, as a full sentence without a full stop.
    Other(String),
}

/// In what way a metric has no data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Absence {
    /// There is nothing: no series, no requests.
    Nothing,
    /// The newest sample is too old.
    Stale(#[serde(with = "time::duration")] Duration),
    /// What there is cannot be judged: not a number, more bad requests than requests, a gauge where
    /// counts are needed.
    Unusable,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MetricFailed(breach) => breach.fmt(f),
            Self::MetricDoubtful(breach) => {
                write!(f, "{breach}, but on too few requests to be sure")
            }
            Self::BadLooks { in_row, in_stage } => write!(
                f,
                "{in_row} {} in a row {} bad, {in_stage} in this stage",
                plural(*in_row, "look"),
                if *in_row == 1 { "was" } else { "were" }
            ),
            Self::CriticalMetric { metric } => write!(
                f,
                "the critical metric {metric} was as bad as can be, at two looks in a row"
            ),
            Self::FewGoodLooks { have, need } => {
                write!(f, "{have} of {need} good looks in a row so far")
            }
            Self::Undecided { score } => {
                write!(
                    f,
                    "the score of {score} is neither good nor bad enough to decide"
                )
            }
            Self::NoData { metric, absence } => match absence {
                Absence::Nothing => write!(f, "{metric} has no data"),
                Absence::Stale(age) => write!(
                    f,
                    "the newest sample of {metric} is {} old",
                    time::display_duration(*age)
                ),
                Absence::Unusable => {
                    write!(f, "what the source answered for {metric} cannot be judged")
                }
            },
            Self::FewSamples { metric, have, need } => write!(
                f,
                "{metric} has {} of the {} requests that it needs",
                Grouped(*have),
                Grouped(*need)
            ),
            Self::SourceFailed { in_row: 1, failure } => {
                write!(f, "the metrics could not be read: {failure}")
            }
            Self::SourceFailed { in_row, failure } => write!(
                f,
                "the metrics could not be read, {in_row} times in a row: {failure}"
            ),
            Self::Inconclusive { looks } => {
                write!(
                    f,
                    "{looks} {} in a row could not tell",
                    plural(*looks, "look")
                )
            }
            Self::ReplicasFailed { failed } => write!(
                f,
                "{failed} {} of the canary ended or cannot start",
                plural(*failed, "replica")
            ),
            Self::ReplicasRestarted { restarts, limit } => write!(
                f,
                "replicas of the canary restarted {restarts} {}, and the limit is {limit}",
                plural(*restarts, "time")
            ),
            Self::NoneReady { desired, lasting } => write!(
                f,
                "none of the canary's {desired} {} has been ready for {}",
                plural(*desired, "replica"),
                time::display_duration(*lasting)
            ),
            Self::FewReady { ready, desired } => {
                write!(f, "{ready} of {desired} replicas of the canary are ready")
            }
            Self::CanaryWorse(comparison) => comparison.fmt(f),
            Self::CanarySuspect(comparison) => {
                write!(
                    f,
                    "{comparison}, which is not enough to tell it from chance"
                )
            }
            Self::ValueWorse { metric, one_in } => write!(
                f,
                "{metric} was worse on the canary's side at so many looks that of healthy canaries at \
                 most 1 in {} would ever look so",
                Grouped(*one_in)
            ),
            Self::NotProven { metric, have, need } => write!(
                f,
                "it is not proven yet that the canary's {metric} is less than twice as bad: the proof \
                 is {have:.1} of {need} strong"
            ),
            Self::Rule { name, expression } => write!(f, "the rule {name} holds: {expression}"),
            Self::RuleFailed { name, message } => {
                write!(f, "the rule {name} could not be evaluated: {message}")
            }
            Self::UnknownJudge { name } => write!(
                f,
                "the policy appoints the judge {name}, which this process does not have"
            ),
            Self::Other(text) => f.write_str(text),
        }
    }
}

fn plural(count: u32, noun: &str) -> impl fmt::Display {
    format!("{noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Unit;

    #[test]
    fn reasons_read_well_and_survive_json() {
        let rate = Breach::new("errors", 41.0 / 803.0, 0.01, Unit::Share);
        let success = Breach::new("success", 762.0 / 803.0, 0.99, Unit::Share);
        let latency = Breach::new("p99", 0.812_345_678, 0.5, Unit::Seconds);
        for (reason, sentence) in [
            (
                Reason::MetricFailed(rate.clone().with_requests(Some(41), Some(803))),
                "errors is 5.11 % (41 of 803 requests), above its limit of 1 %",
            ),
            (
                Reason::MetricFailed(success.with_requests(Some(762), Some(803))),
                "success is 94.89 % (762 of 803 requests), below its limit of 99 %",
            ),
            (
                Reason::MetricFailed(latency.with_requests(None, Some(5_210))),
                "p99 is 812 ms (over 5,210 requests), above its limit of 500 ms",
            ),
            (
                Reason::MetricFailed(Breach::new("p99", f64::INFINITY, 0.5, Unit::Seconds)),
                "p99 is beyond all measure, above its limit of 500 ms",
            ),
            (
                Reason::MetricDoubtful(rate),
                "errors is 5.11 %, above its limit of 1 %, but on too few requests to be sure",
            ),
            (
                Reason::BadLooks {
                    in_row: 1,
                    in_stage: 6,
                },
                "1 look in a row was bad, 6 in this stage",
            ),
            (
                Reason::FewSamples {
                    metric: "errors".to_owned(),
                    have: 12,
                    need: 1_050_000,
                },
                "errors has 12 of the 1,050,000 requests that it needs",
            ),
            (
                Reason::NoData {
                    metric: "p99".to_owned(),
                    absence: Absence::Stale(Duration::from_secs(301)),
                },
                "the newest sample of p99 is 5m 1s old",
            ),
            (
                Reason::NoneReady {
                    desired: 3,
                    lasting: Duration::from_secs(30),
                },
                "none of the canary's 3 replicas has been ready for 30s",
            ),
            (
                Reason::ReplicasFailed { failed: 1 },
                "1 replica of the canary ended or cannot start",
            ),
        ] {
            assert_eq!(reason.to_string(), sentence);
            let json = serde_json::to_string(&reason).unwrap();
            assert_eq!(serde_json::from_str::<Reason>(&json).unwrap(), reason);
            assert!(json.len() < 160, "{json}");
        }
    }
}
