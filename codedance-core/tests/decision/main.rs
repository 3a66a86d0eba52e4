//! The decision layer, from outside.

mod argo;
mod comparison;
mod flagger;
mod judges;
mod kayenta;
mod onlookers;
mod policy;
mod properties;
#[cfg(feature = "rules")]
mod rules;
mod support;
mod thresholds;
mod what_if;
