//! What is good enough: limits as written, and what follows from them.

use serde::{Deserialize, Serialize};

use super::builder::PolicyError;
use super::curve::{Curve, Curves};
use super::quantity::{Quantity, Unit};
use crate::metrics::Signal;

/// The limits of one metric, as written; a [`Policy`](super::Policy) checks them against the metric's
/// signal.
///
/// | signal | written as | worse is | left out |
/// |---|---|---|---|
/// | error rate | `1%` | higher | `warn` = `fail`, `crit` = 2 × `fail`, at most 100 % |
/// | success rate | `99%` | lower | `warn` = `fail`; `crit` doubles the share of errors: 99 % gives 98 % |
/// | latency | `500ms` | higher | `warn` = `fail`, `crit` = 2 × `fail` |
/// | query | `0.8` | higher | `warn` = `fail`, `crit` = 2 × `fail` if that is above 0 |
/// | query, in `below` | `0.8` | lower | `warn` = `fail`, `crit` = ½ `fail` if that is above 0 |
///
/// The score is 100 up to `warn`, falls to 50 at `fail` and to 0 at `crit`, in straight lines. A value
/// that is exactly at a limit is still within it. A query with limits on both sides has the lower of
/// the two scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Limits {
    /// Up to here all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warn: Option<Quantity>,
    /// Beyond it the metric has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail: Option<Quantity>,
    /// From here on it is as bad as can be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crit: Option<Quantity>,
    /// The limits that a query's value may not fall below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub below: Option<Floor>,
}

/// The limits that a query's value may not fall below; see [`Limits`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Floor {
    /// Down to here all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warn: Option<Quantity>,
    /// Below it the metric has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail: Option<Quantity>,
    /// From here down it is as bad as can be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crit: Option<Quantity>,
}

impl Limits {
    /// Fails beyond `fail`; the others follow from it.
    #[must_use]
    pub fn fail(fail: impl Into<Quantity>) -> Self {
        Self {
            fail: Some(fail.into()),
            ..Self::default()
        }
    }

    /// A query's value that fails below `fail`; the others follow from it.
    #[must_use]
    pub fn floor(fail: impl Into<Quantity>) -> Self {
        Self::default().with_floor(fail)
    }

    /// The same with the limit up to which all is well.
    #[must_use]
    pub fn with_warn(mut self, warn: impl Into<Quantity>) -> Self {
        self.warn = Some(warn.into());
        self
    }

    /// The same with the limit from which it is as bad as can be.
    #[must_use]
    pub fn with_crit(mut self, crit: impl Into<Quantity>) -> Self {
        self.crit = Some(crit.into());
        self
    }

    /// The same for a query whose value also fails below `fail`.
    #[must_use]
    pub fn with_floor(mut self, fail: impl Into<Quantity>) -> Self {
        self.below = Some(Floor {
            fail: Some(fail.into()),
            ..Floor::default()
        });
        self
    }

    /// The curves for a signal, or which key is wrong and how to mend it.
    pub(super) fn curves(&self, signal: &Signal) -> Result<Curves, PolicyError> {
        let upper = Written {
            key: "",
            warn: self.warn,
            fail: self.fail,
            crit: self.crit,
        };
        if let (Some(below), Signal::Query(_)) = (self.below, signal) {
            let lower = Written {
                key: "below.",
                warn: below.warn,
                fail: below.fail,
                crit: below.crit,
            };
            return Ok(Curves {
                upper: upper
                    .is_given()
                    .then(|| upper.rising(Unit::Plain))
                    .transpose()?,
                lower: Some(lower.falling()?),
            });
        }
        if self.below.is_some() {
            return Err(PolicyError::new(
                "below",
                "only a query has limits below; write `fail` beside `limits`' other keys",
            ));
        }
        let curve = match signal {
            Signal::SuccessRate => upper.mirrored()?,
            Signal::ErrorRate | Signal::Latency(_) | Signal::Query(_) => {
                upper.rising(Unit::of(signal))?
            }
        };
        Ok(Curves {
            upper: Some(curve),
            lower: None,
        })
    }
}

/// One side's limits, with the key that they stand under.
struct Written {
    key: &'static str,
    warn: Option<Quantity>,
    fail: Option<Quantity>,
    crit: Option<Quantity>,
}

impl Written {
    const fn is_given(&self) -> bool {
        self.warn.is_some() || self.fail.is_some() || self.crit.is_some()
    }

    fn wrong(&self, key: &str, problem: impl Into<String>) -> PolicyError {
        PolicyError::new(format!("{}{key}", self.key), problem)
    }

    /// The three values in the unit's own number; `crit` follows from `fail` by `derive`.
    fn values(
        &self,
        unit: Unit,
        derive: impl Fn(f64) -> Option<f64>,
    ) -> Result<[f64; 3], PolicyError> {
        let read = |key, written: Option<Quantity>| match written {
            Some(found) if found.unit() != unit => Err(self.wrong(
                key,
                format!(
                    "`{found}` does not fit the metric's signal; write {}",
                    unit.example()
                ),
            )),
            Some(found) => self.in_range(key, found).map(Some),
            None => Ok(None),
        };
        let fail = read("fail", self.fail)?.ok_or_else(|| {
            self.wrong(
                "fail",
                format!(
                    "is missing; write {}, beyond which it fails",
                    unit.example()
                ),
            )
        })?;
        let warn = read("warn", self.warn)?.unwrap_or(fail);
        let crit = match read("crit", self.crit)? {
            Some(crit) => crit,
            None => derive(fail).ok_or_else(|| {
                self.wrong(
                    "crit",
                    "is missing; it follows from `fail` only if that is above 0",
                )
            })?,
        };
        Ok([warn, fail, crit])
    }

    fn in_range(&self, key: &str, found: Quantity) -> Result<f64, PolicyError> {
        let fits = match found {
            Quantity::Percent(percent) => (0.0..=100.0).contains(&percent),
            Quantity::Time(length) => {
                !length.is_zero()
                    && length.subsec_nanos().is_multiple_of(1_000_000)
                    && length.as_secs_f64() <= 86_400.0
            }
            Quantity::Number(number) => number.abs() <= 1e15,
        };
        if fits {
            return Ok(found.value());
        }
        let range = match found.unit() {
            Unit::Share => "a share from 0% to 100%",
            Unit::Seconds => "whole milliseconds, from 1ms to 24h",
            Unit::Plain => "a number of at most 1e15",
        };
        Err(self.wrong(key, format!("`{found}` is out of range; write {range}")))
    }

    fn ordered(&self, curve: Curve, order: &str) -> Result<Curve, PolicyError> {
        if curve.warn > curve.fail {
            return Err(self.wrong(
                "warn",
                format!("lies beyond `fail`; write warn {order} fail {order} crit"),
            ));
        }
        if curve.fail > curve.crit {
            return Err(self.wrong(
                "crit",
                format!("lies before `fail`; write warn {order} fail {order} crit"),
            ));
        }
        Ok(curve)
    }

    fn rising(&self, unit: Unit) -> Result<Curve, PolicyError> {
        let [warn, fail, crit] = self.values(unit, |fail| match unit {
            Unit::Share => Some((2.0 * fail).min(1.0)),
            Unit::Seconds => Some(2.0 * fail),
            Unit::Plain => (fail > 0.0).then_some(2.0 * fail),
        })?;
        self.ordered(Curve { warn, fail, crit }, "≤")
    }

    fn falling(&self) -> Result<Curve, PolicyError> {
        let derive = |fail: f64| (fail > 0.0).then_some(fail / 2.0);
        let [warn, fail, crit] = self.values(Unit::Plain, derive)?;
        let (warn, fail, crit) = (-warn, -fail, -crit);
        self.ordered(Curve { warn, fail, crit }, "≥")
    }

    /// A success rate, as a curve over the share of errors.
    fn mirrored(&self) -> Result<Curve, PolicyError> {
        let values = self.values(Unit::Share, |fail| Some((2.0 * fail - 1.0).max(0.0)))?;
        // 1 − 0.999 is not quite 0.001: without rounding, 1 error of 1000 would break 99.9 %.
        let [warn, fail, crit] = values.map(|share| ((1.0 - share) * 1e12).round() / 1e12);
        self.ordered(Curve { warn, fail, crit }, "≥")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Quantile;

    fn written(limits: Limits, signal: &Signal) -> Result<[f64; 3], String> {
        let curves = limits.curves(signal).map_err(|error| error.to_string())?;
        let curve = curves.upper.or(curves.lower).unwrap();
        Ok([curve.warn, curve.fail, curve.crit])
    }

    fn percent(number: f64) -> Quantity {
        Quantity::Percent(number)
    }

    #[test]
    fn what_is_left_out_follows_from_fail() {
        let latency = Signal::Latency(Quantile::new(0.99).unwrap());
        let query = Signal::Query("q".to_owned());
        let second = std::time::Duration::from_secs(1);
        for (signal, limits, want) in [
            (
                &Signal::ErrorRate,
                Limits::fail(percent(1.0)),
                [0.01, 0.01, 0.02],
            ),
            (
                &Signal::ErrorRate,
                Limits::fail(percent(60.0)),
                [0.6, 0.6, 1.0],
            ),
            (
                &Signal::SuccessRate,
                Limits::fail(percent(99.0)),
                [0.01, 0.01, 0.02],
            ),
            (
                &Signal::SuccessRate,
                Limits::fail(percent(99.9)),
                [0.001, 0.001, 0.002],
            ),
            (
                &Signal::SuccessRate,
                Limits::fail(percent(30.0)),
                [0.7, 0.7, 1.0],
            ),
            (&latency, Limits::fail(second), [1.0, 1.0, 2.0]),
            (&query, Limits::fail(0.8).with_warn(0.5), [0.5, 0.8, 1.6]),
            (&query, Limits::floor(0.8), [-0.8, -0.8, -0.4]),
        ] {
            assert_eq!(written(limits, signal), Ok(want), "{limits:?}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_key_and_the_mend() {
        let latency = Signal::Latency(Quantile::new(0.5).unwrap());
        let query = Signal::Query("q".to_owned());
        let finer = std::time::Duration::from_micros(1_500);
        for (signal, limits, message) in [
            (
                &Signal::ErrorRate,
                Limits::fail(1.0),
                "fail: `1` does not fit",
            ),
            (&Signal::ErrorRate, Limits::default(), "fail: is missing"),
            (
                &Signal::ErrorRate,
                Limits::fail(percent(101.0)),
                "fail: `101%` is out of range",
            ),
            (
                &Signal::ErrorRate,
                Limits::fail(percent(f64::NAN)),
                "fail: `NaN%` is out of range",
            ),
            (
                &Signal::ErrorRate,
                Limits::fail(percent(1.0)).with_warn(percent(2.0)),
                "warn: lies beyond `fail`; write warn ≤ fail ≤ crit",
            ),
            (
                &Signal::SuccessRate,
                Limits::fail(percent(99.0)).with_warn(percent(98.0)),
                "warn: lies beyond `fail`; write warn ≥ fail ≥ crit",
            ),
            (
                &Signal::SuccessRate,
                Limits::fail(percent(99.0)).with_crit(percent(99.5)),
                "crit: lies before `fail`",
            ),
            (
                &Signal::ErrorRate,
                Limits::floor(percent(1.0)),
                "below: only a query",
            ),
            (
                &latency,
                Limits::fail(percent(1.0)),
                "fail: `1%` does not fit",
            ),
            (&latency, Limits::fail(finer), "fail: `1ms` is out of range"),
            (&query, Limits::fail(-1.0), "crit: is missing"),
            (&query, Limits::floor(0.0), "below.crit: is missing"),
            (
                &query,
                Limits::fail(f64::INFINITY),
                "fail: `inf` is out of range",
            ),
        ] {
            let error = written(limits, signal).unwrap_err();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
