//! Evidence in, assessment out: the judges, and the policy that appoints them.
//!
//! A [`Judge`] is a pure function. What it must remember between two looks is part of what it returns
//! ([`Memory`]), so that it lies in the rollout's snapshot and a replay decides the same, bit for bit.

mod evidence;
mod judge;
mod policy;
mod reason;
mod score;
mod standin;

pub use evidence::{Evidence, Memory};
pub use judge::{Assessment, Judge, MetricAssessment, MetricOutcome, Verdict};
pub use policy::{Limits, Metric, Policy, PolicyError, Reaction};
pub use reason::Reason;
pub use score::{Score, ScoreRange};
