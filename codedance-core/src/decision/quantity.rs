//! Values with their unit: limits as users write them, and measurements as people read them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::metrics::Signal;
use crate::percent::Percent;
use crate::time::{display_duration, parse_duration};

/// What the plain number of a measurement means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Unit {
    /// A share of the requests, from 0 to 1.
    Share,
    /// Seconds.
    Seconds,
    /// Whatever the user's own query gives.
    Plain,
}

impl Unit {
    /// The unit in which a signal is measured.
    #[must_use]
    pub const fn of(signal: &Signal) -> Self {
        match signal {
            Signal::ErrorRate | Signal::SuccessRate => Self::Share,
            Signal::Latency(_) => Self::Seconds,
            Signal::Query(_) => Self::Plain,
        }
    }

    /// How a limit in this unit is written, for error messages.
    pub(super) const fn example(self) -> &'static str {
        match self {
            Self::Share => "a share with a percent sign, such as `1%`",
            Self::Seconds => "a duration with a unit, such as `500ms`",
            Self::Plain => "a plain number, such as `0.8`",
        }
    }

    /// Writes `value` for a person: `5.11 %`, `812 ms`, `0.8`.
    pub(super) fn show(self, value: f64) -> impl fmt::Display {
        Shown { value, unit: self }
    }
}

/// A limit with its unit, as users write it: `1%`, `500ms`, `0.8`.
///
/// Units are spelled out so that nothing is ambiguous: is `fail: 5` five percent, five seconds, or
/// five times too many? Reads text, and plain numbers for [`Quantity::Number`] alone.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Quantity {
    /// So many percent, from 0 to 100; finer than [`Percent`] can be, as `0.001%`.
    Percent(f64),
    /// A length of time, in whole milliseconds.
    Time(Duration),
    /// A plain number.
    Number(f64),
}

impl Quantity {
    /// The unit that it is written in.
    #[must_use]
    pub const fn unit(self) -> Unit {
        match self {
            Self::Percent(_) => Unit::Share,
            Self::Time(_) => Unit::Seconds,
            Self::Number(_) => Unit::Plain,
        }
    }

    /// The number in its [unit](Quantity::unit): `1%` is 0.01, `500ms` is 0.5.
    #[must_use]
    pub fn value(self) -> f64 {
        match self {
            Self::Percent(percent) => percent / 100.0,
            Self::Time(length) => length.as_secs_f64(),
            Self::Number(number) => number,
        }
    }
}

impl From<Percent> for Quantity {
    fn from(share: Percent) -> Self {
        Self::Percent(f64::from(share.basis_points()) / 100.0)
    }
}

impl From<Duration> for Quantity {
    fn from(length: Duration) -> Self {
        Self::Time(length)
    }
}

impl From<f64> for Quantity {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Time(length) => display_duration(*length).fmt(f),
            Self::Number(number) => number.fmt(f),
        }
    }
}

/// Neither a share, nor a duration, nor a number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a limit; write `1%` for a rate, `500ms` for a latency, `0.8` for a query's value"
)]
pub struct QuantityError(String);

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let text = text.trim();
        let number = |text: &str| {
            let number = text.trim().parse::<f64>().ok();
            number.filter(|number| number.is_finite())
        };
        text.strip_suffix('%')
            .map_or_else(
                || number(text).map(Self::Number),
                |text| number(text).map(Self::Percent),
            )
            .or_else(|| parse_duration(text).ok().map(Self::Time))
            .ok_or_else(|| QuantityError(text.to_owned()))
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_f64(*number),
            Self::Percent(_) | Self::Time(_) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = Quantity;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a limit such as `1%`, `500ms` or `0.8`")
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Quantity, E> {
                Ok(Quantity::Number(number as f64))
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Quantity, E> {
                Ok(Quantity::Number(number as f64))
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Quantity, E> {
                Ok(Quantity::Number(number))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Quantity, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

/// A measurement as a person reads it.
struct Shown {
    value: f64,
    unit: Unit,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value;
        // Reasons clamp infinities to the largest number, so that they survive JSON.
        if value.abs() >= 1e15 {
            return f.write_str("beyond all measure");
        }
        match self.unit {
            Unit::Share => {
                let percent = value * 100.0;
                // Near 100 % it is the distance from it that has to be legible.
                let size = percent.min(100.0 - percent).abs();
                write!(f, "{} %", rounded(percent, size))
            }
            Unit::Seconds if value.abs() < 1.0 => {
                let millis = value * 1e3;
                write!(f, "{} ms", rounded(millis, millis))
            }
            Unit::Seconds => write!(f, "{} s", rounded(value, value)),
            Unit::Plain => rounded(value, value).fmt(f),
        }
    }
}

/// `value` with so many decimals that a number of this `size` has three digits, at most six.
fn rounded(value: f64, size: f64) -> f64 {
    let size = size.abs();
    let decimals = if size > 0.0 {
        (2.0 - size.log10().floor()).clamp(0.0, 6.0)
    } else {
        2.0
    };
    let scale = 10_f64.powf(decimals);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_they_are_written() {
        for (text, value) in [
            ("1%", 0.01),
            ("0.001%", 0.000_01),
            ("99.95%", 0.9995),
            ("500ms", 0.5),
            ("1m 30s", 90.0),
            ("0.8", 0.8),
            ("-3", -3.0),
        ] {
            let quantity: Quantity = text.parse().unwrap();
            assert_eq!(quantity.value(), value, "{text}");
            assert_eq!(quantity.to_string(), text);
            let json = serde_json::to_string(&quantity).unwrap();
            assert_eq!(serde_json::from_str::<Quantity>(&json).unwrap(), quantity);
        }
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        for text in ["", "%", "five", "NaN", "inf", "NaN%", "1e999", "5 parsecs"] {
            assert!(text.parse::<Quantity>().is_err(), "{text}");
        }
    }

    #[test]
    fn measurements_read_well() {
        for (unit, value, text) in [
            (Unit::Share, 41.0 / 803.0, "5.11 %"),
            (Unit::Share, 0.9995, "99.95 %"),
            (Unit::Share, 0.01, "1 %"),
            (Unit::Share, 0.0, "0 %"),
            (Unit::Share, 0.000_123, "0.0123 %"),
            (Unit::Seconds, 0.812_345, "812 ms"),
            (Unit::Seconds, 0.5, "500 ms"),
            (Unit::Seconds, 0.001_25, "1.25 ms"),
            (Unit::Seconds, 2.5, "2.5 s"),
            (Unit::Seconds, f64::MAX, "beyond all measure"),
            (Unit::Plain, 12_345.678, "12346"),
            (Unit::Plain, -0.5, "-0.5"),
        ] {
            assert_eq!(unit.show(value).to_string(), text);
        }
    }
}
