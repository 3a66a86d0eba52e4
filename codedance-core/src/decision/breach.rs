//! A metric beyond its limit, in numbers that people read.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::quantity::Unit;

/// A metric beyond its limit: `errors is 5.11 % (41 of 803 requests), above its limit of 1 %`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Breach {
    /// Which metric.
    pub metric: String,
    /// The canary's value, in the unit. Always finite: what cannot be measured is [`f64::MAX`].
    pub value: f64,
    /// The limit that it broke, in the same unit. A value below it was too low.
    pub limit: f64,
    /// What both numbers mean.
    pub unit: Unit,
    /// How many requests make up the share: the bad ones for an error rate, the good ones for a success
    /// rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<u64>,
    /// Over how many requests it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<u64>,
}

impl Breach {
    /// `metric` with a `value` beyond its `limit`, both in `unit`.
    #[must_use]
    pub fn new(metric: impl Into<String>, value: f64, limit: f64, unit: Unit) -> Self {
        Self {
            metric: metric.into(),
            value: finite(value),
            limit: finite(limit),
            unit,
            part: None,
            of: None,
        }
    }

    /// The same, as `part` of `of` requests.
    #[must_use]
    pub const fn with_requests(mut self, part: Option<u64>, of: Option<u64>) -> Self {
        self.part = part;
        self.of = of;
        self
    }

    const fn side(&self) -> &'static str {
        if self.value < self.limit {
            "below"
        } else {
            "above"
        }
    }
}

/// JSON knows neither NaN nor infinities. Seven digits are all that a person or a graph needs.
fn finite(value: f64) -> f64 {
    if value.is_nan() || value == 0.0 {
        return 0.0;
    }
    let value = value.clamp(f64::MIN, f64::MAX);
    let scale = 10_f64.powi(6 - value.abs().log10().floor() as i32);
    let rounded = (value * scale).round() / scale;
    if rounded.is_finite() { rounded } else { value }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}", self.metric, self.unit.show(self.value))?;
        match (self.part, self.of) {
            (Some(part), Some(of)) => {
                write!(f, " ({} of {} requests)", Grouped(part), Grouped(of))
            }
            (None, Some(of)) => write!(f, " (over {} requests)", Grouped(of)),
            (_, None) => Ok(()),
        }?;
        write!(
            f,
            ", {} its limit of {}",
            self.side(),
            self.unit.show(self.limit)
        )
    }
}

/// A count with its thousands set apart: `5,210`.
pub(super) struct Grouped(pub(super) u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (index, digit) in digits.char_indices() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_reasons_are_finite() {
        for value in [
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MAX,
            f64::MIN_POSITIVE,
            0.0,
        ] {
            assert!(finite(value).is_finite(), "{value}");
        }
        assert_eq!(finite(0.812_345_678), 0.812_345_7);
    }
}
