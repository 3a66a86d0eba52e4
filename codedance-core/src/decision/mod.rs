//! Evidence in, assessment out: the judges, and the policy that appoints them.
//!
//! A [`Judge`] is a pure function. What it must remember between two looks is part of what it returns
//! ([`Memory`]), so that it lies in the rollout's snapshot and a replay decides the same, bit for bit.
//!
//! A [`Policy`] says which [`Metric`]s are watched, which [`Limits`] they have, and who judges them:
//!
//! | judge | decides by | remembers |
//! |---|---|---|
//! | [`Thresholds`], the default | limits, read with the uncertainty that few requests leave; and the canary against stable, over all looks together | counts of good and bad looks, evidence |
//! | [`Classic`] | 40, 30 and 30 points for three metrics | nothing |
//! | `Rules` (feature `rules`) | the user's own expressions, in CEL | nothing |
//! | [`Kayenta`] | ranks beside the stable revision's, by Mann and Whitney | the values of both sides |
//! | [`Flagger`] | checks of limits, of which so many may fail | how many failed |
//! | [`Argo`] | measurements, of which so many may fail, err, or be unable to tell | counts of them |
//! | a [`Judge`] of the user's own | whatever it likes, as long as it is pure | whatever it likes, as JSON |
//!
//! [`Policy::judge`] makes one judge of all that are appointed: the worst [`Verdict`] counts. `Kayenta`,
//! `Flagger` and `Argo` decide as those tools do, for teams that come from there; as
//! [onlookers](Policy::onlookers), judges only say what they would have decided.
//!
//! ```
//! use codedance_core::decision::{Evidence, Limits, Memory, Metric, Policy, Verdict};
//! use codedance_core::metrics::{Reading, Sample, Signal, Window};
//! use codedance_core::{Percent, Timestamp};
//!
//! let errors = Metric::new("errors", Signal::ErrorRate, Limits::fail(Percent::new(1)?));
//! let policy = Policy::builder().with_metric(errors).build()?;
//! let judge = policy.judge(&[]);
//!
//! let mut memory = Memory::default();
//! let verdicts = [1, 2, 3].map(|minute| {
//!     let at = |minute: i64| Timestamp::from_millis(minute * 60_000);
//!     let window = Window::new(at(minute - 1), at(minute));
//!     let canary = Sample::Counts { bad: 41, total: 803 };
//!     let stable = Sample::Counts { bad: 12, total: 15_000 };
//!     let readings = [Reading::new("errors", canary, stable)];
//!     let assessment = judge.assess(&Evidence::new(window, &readings, &memory));
//!     memory = assessment.memory;
//!     (assessment.verdict, assessment.reasons[0].to_string())
//! });
//! let (verdict, why) = &verdicts[0];
//! assert_eq!(*verdict, Verdict::Hold);
//! assert_eq!(why, "errors is 5.11 % (41 of 803 requests), above its limit of 1 %");
//! let (verdict, why) = &verdicts[2];
//! assert_eq!(*verdict, Verdict::Rollback);
//! assert!(why.starts_with("errors: canary 82 of 1,606 bad, stable 24 of 30,000; odds"), "{why}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod appoint;
mod breach;
mod builder;
mod classic;
mod comparison;
mod curve;
mod evidence;
mod finding;
mod judge;
mod limits;
mod metric;
mod panel;
mod policy;
mod quantity;
mod rates;
mod reason;
mod rivals;
#[cfg(feature = "rules")]
mod rules;
mod sample;
mod score;
mod sequential;
mod thresholds;
mod what_if;

pub use appoint::{JudgeConfig, RuleAction, RuleConfig};
pub use breach::Breach;
pub use builder::{PolicyBuilder, PolicyError};
pub use classic::{Classic, ClassicConfig};
pub use comparison::Comparison;
pub use evidence::{Evidence, Memory};
pub(crate) use judge::with_memory;
pub use judge::{Assessment, Judge, MetricAssessment, MetricOutcome, Onlooker, Verdict};
pub use limits::{Floor, Limits};
pub use metric::Metric;
pub use policy::{Policy, Reaction};
pub use quantity::{Quantity, QuantityError, Unit};
pub use reason::{Absence, Reason};
pub use rivals::argo::{Argo, ArgoConfig, ArgoMetric, Measured};
pub use rivals::flagger::{Flagger, FlaggerConfig};
pub use rivals::kayenta::{
    Direction, Effect, Kayenta, KayentaConfig, KayentaMetric, Measure, Missing, mann_whitney,
};
#[cfg(feature = "rules")]
pub use rules::Rules;
pub use score::{Score, ScoreRange};
pub use sequential::SequentialConfig;
pub use thresholds::{Thresholds, ThresholdsConfig};
pub use what_if::{Regression, StageSight, Traffic, WhatIf};
