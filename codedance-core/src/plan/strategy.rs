//! The port of the strategies, and the built-in ones as configuration.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    Batches, BlueGreen, Exponential, Linear, Manual, Plan, PlanError, Recreate, Rolling, Steps,
};
use crate::percent::Percent;
use crate::workload::Workload;

/// Makes a plan for a workload.
///
/// # Contract
/// Pure: the same workload gives the same plan. A strategy makes stages; the machine reaches them, so a
/// strategy of your own needs no word about scaling, routing, draining or going back.
pub trait Strategy: fmt::Debug + Send + Sync {
    /// The plan for this workload.
    ///
    /// # Errors
    /// When no plan can be made of it: the key at fault, and how to mend it.
    fn plan(&self, workload: &Workload) -> Result<Plan, PlanError>;
}

/// Any built-in strategy, as it is written in configuration: `linear: {bake: 5m}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BuiltIn {
    /// See [`Linear`].
    Linear(Linear),
    /// See [`Exponential`].
    Exponential(Exponential),
    /// See [`Manual`].
    Manual(Manual),
    /// See [`Steps`].
    Steps(Steps),
    /// See [`BlueGreen`].
    BlueGreen(BlueGreen),
    /// See [`Rolling`].
    Rolling(Rolling),
    /// See [`Recreate`].
    Recreate(Recreate),
    /// See [`Batches`].
    Batches(Batches),
}

impl Strategy for BuiltIn {
    fn plan(&self, workload: &Workload) -> Result<Plan, PlanError> {
        match self {
            Self::Linear(strategy) => strategy.plan(workload),
            Self::Exponential(strategy) => strategy.plan(workload),
            Self::Manual(strategy) => strategy.plan(workload),
            Self::Steps(strategy) => strategy.plan(workload),
            Self::BlueGreen(strategy) => strategy.plan(workload),
            Self::Rolling(strategy) => strategy.plan(workload),
            Self::Recreate(strategy) => strategy.plan(workload),
            Self::Batches(strategy) => strategy.plan(workload),
        }
    }
}

/// A number of replicas or hosts: a count (`2`) or a share of all (`"25%"`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Amount {
    /// So many.
    Count(u32),
    /// Such a part of all.
    Share(Percent),
}

impl Amount {
    /// How many of `all`, a share rounded up.
    #[must_use]
    pub fn of_rounded_up(self, all: u32) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Share(share) => share.of_rounded_up(all),
        }
    }

    /// How many of `all`, a share rounded down.
    #[must_use]
    pub fn of_rounded_down(self, all: u32) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Share(share) => share.of_rounded_down(all),
        }
    }

    /// Whether it is written as nothing: `0` or `"0%"`.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        matches!(self, Self::Count(0) | Self::Share(Percent::ZERO))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::Share(share) => share.fmt(f),
        }
    }
}

/// Neither a count nor a share.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an amount; write a count such as 2, or a share such as \"25%\"")]
pub struct AmountError(String);

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let parsed = if text.trim().ends_with('%') {
            text.parse().ok().map(Self::Share)
        } else {
            text.trim().parse().ok().map(Self::Count)
        };
        parsed.ok_or_else(|| AmountError(text.to_owned()))
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(count) => serializer.serialize_u32(*count),
            Self::Share(share) => serializer.collect_str(share),
        }
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = Amount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a count such as 2, or a share such as \"25%\"")
            }

            fn visit_u64<E: serde::de::Error>(self, count: u64) -> Result<Amount, E> {
                count.to_string().parse().map_err(E::custom)
            }

            fn visit_i64<E: serde::de::Error>(self, count: i64) -> Result<Amount, E> {
                count.to_string().parse().map_err(E::custom)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Amount, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_counts_or_shares_and_nothing_else() {
        assert_eq!("2".parse(), Ok(Amount::Count(2)));
        assert_eq!("25%".parse(), Ok(Amount::Share(Percent::new(25).unwrap())));
        for text in ["", "-1", "2.5", "101%", "all"] {
            assert!(text.parse::<Amount>().is_err(), "{text}");
        }
        for amount in [
            Amount::Count(7),
            Amount::Share(Percent::from_basis_points(1_250).unwrap()),
        ] {
            let json = serde_json::to_string(&amount).unwrap();
            assert_eq!(
                serde_json::from_str::<Amount>(&json).unwrap(),
                amount,
                "{json}"
            );
        }
    }
}
