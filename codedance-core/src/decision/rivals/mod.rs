//! The judges of other tools, so that a team can keep the verdicts that it knows, and see ours beside
//! them.
//!
//! Each decides as the original does, as far as what it decides by is there, with its blind spots. So
//! they are not bound by every clause of [`Judge`](super::Judge)'s contract: where the original takes
//! absence for good or for bad, so do they. Each says where.

pub(super) mod argo;
pub(super) mod flagger;
pub(super) mod kayenta;
mod turns;

use super::builder::PolicyError;
use super::metric::Watch;

/// Checks that the policy has a metric at all: what has none to judge would always say the same.
pub(super) fn measured(key: &str, watches: &[Watch]) -> Result<(), PolicyError> {
    if watches.is_empty() {
        return Err(PolicyError::new(
            key,
            "needs something to judge; write it under `metrics`",
        ));
    }
    Ok(())
}

/// Checks that the policy has every metric that a judge's `metrics` name.
fn named_in<'a>(
    names: impl Iterator<Item = &'a String>,
    watches: &[Watch],
) -> Result<(), PolicyError> {
    for name in names {
        if !watches.iter().any(|watch| watch.name == *name) {
            let known: Vec<&str> = watches.iter().map(|watch| watch.name.as_str()).collect();
            return Err(PolicyError::new(
                format!("metrics.{name}"),
                format!(
                    "the policy has no metric of that name; write one of: {}",
                    known.join(", ")
                ),
            ));
        }
    }
    Ok(())
}
