//! The decision layer, from outside.

mod comparison;
mod judges;
mod policy;
mod properties;
#[cfg(feature = "rules")]
mod rules;
mod support;
mod thresholds;
mod what_if;
