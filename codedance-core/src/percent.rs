//! A share of the whole, exact to the basis point.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A share from 0 % to 100 %, held in basis points: 0.5 % is exactly 50.
///
/// Reads `5`, `0.5`, `"5"` and `"0.5%"`; writes the number of percent. More than two decimals are
/// refused rather than rounded, because a weight that is not what was asked for is a surprise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Percent(u16);

impl Percent {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// Everything.
    pub const HUNDRED: Self = Self(10_000);

    /// Whole percent.
    ///
    /// # Errors
    /// Above 100.
    pub fn new(percent: u32) -> Result<Self, PercentError> {
        percent
            .checked_mul(100)
            .and_then(|points| u16::try_from(points).ok())
            .map_or_else(|| Err(PercentError::of(percent)), Self::from_basis_points)
    }

    /// Hundredths of a percent, 0 to 10 000.
    ///
    /// # Errors
    /// Above 10 000.
    pub fn from_basis_points(points: u16) -> Result<Self, PercentError> {
        if points > Self::HUNDRED.0 {
            return Err(PercentError::of(f64::from(points) / 100.0));
        }
        Ok(Self(points))
    }

    /// The nearest share to `part` of `whole`, rounded down; all of it when `whole` is 0.
    #[must_use]
    pub fn ratio(part: u32, whole: u32) -> Self {
        if part >= whole {
            return Self::HUNDRED;
        }
        let points = u64::from(part) * 10_000 / u64::from(whole);
        Self(u16::try_from(points).unwrap_or(Self::HUNDRED.0))
    }

    /// Hundredths of a percent, 0 to 10 000.
    #[must_use]
    pub const fn basis_points(self) -> u16 {
        self.0
    }

    /// What is left of the whole: 100 % less this.
    #[must_use]
    pub const fn complement(self) -> Self {
        Self(Self::HUNDRED.0 - self.0)
    }

    /// This share of `count`, rounded up, as Kubernetes rounds a surge.
    #[must_use]
    pub fn of_rounded_up(self, count: u32) -> u32 {
        let points = u64::from(count) * u64::from(self.0);
        u32::try_from(points.div_ceil(10_000)).unwrap_or(count)
    }

    /// This share of `count`, rounded down, as Kubernetes rounds what may be unavailable.
    #[must_use]
    pub fn of_rounded_down(self, count: u32) -> u32 {
        let points = u64::from(count) * u64::from(self.0);
        u32::try_from(points / 10_000).unwrap_or(count)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / 100, self.0 % 100);
        match (part, part % 10) {
            (0, _) => write!(f, "{whole} %"),
            (_, 0) => write!(f, "{whole}.{} %", part / 10),
            _ => write!(f, "{whole}.{part:02} %"),
        }
    }
}

/// Not a share from 0 % to 100 % with at most two decimals.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not a share; write a number from 0 to 100 with at most two decimals")]
pub struct PercentError {
    found: String,
}

impl PercentError {
    fn of(found: impl ToString) -> Self {
        Self {
            found: found.to_string(),
        }
    }
}

impl FromStr for Percent {
    type Err = PercentError;

    fn from_str(text: &str) -> Result<Self, PercentError> {
        let number = text.trim().strip_suffix('%').unwrap_or(text).trim();
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(part) || whole.len() > 3 {
            return Err(PercentError::of(text));
        }
        let part = part.trim_end_matches('0');
        let hundredths = match part.len() {
            0 => Ok(0),
            1 => part.parse::<u32>().map(|tenths| tenths * 10),
            2 => part.parse(),
            _ => return Err(PercentError::of(text)),
        };
        let (Ok(whole), Ok(hundredths)) = (whole.parse::<u32>(), hundredths) else {
            return Err(PercentError::of(text));
        };
        u16::try_from(whole * 100 + hundredths)
            .ok()
            .and_then(|points| Self::from_basis_points(points).ok())
            .ok_or_else(|| PercentError::of(text))
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_multiple_of(100) {
            serializer.serialize_u16(self.0 / 100)
        } else {
            serializer.serialize_f64(f64::from(self.0) / 100.0)
        }
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = Percent;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a share from 0 to 100 with at most two decimals")
            }

            fn visit_u64<E: serde::de::Error>(self, whole: u64) -> Result<Percent, E> {
                whole.to_string().parse().map_err(E::custom)
            }

            fn visit_i64<E: serde::de::Error>(self, whole: i64) -> Result<Percent, E> {
                whole.to_string().parse().map_err(E::custom)
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Percent, E> {
                number.to_string().parse().map_err(E::custom)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Percent, E> {
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
    fn every_basis_point_survives_json_and_text() {
        for points in 0..=10_000 {
            let share = Percent::from_basis_points(points).unwrap();
            let json = serde_json::to_string(&share).unwrap();
            assert_eq!(
                serde_json::from_str::<Percent>(&json).unwrap(),
                share,
                "{json}"
            );
            assert_eq!(share.to_string().parse(), Ok(share));
            assert_eq!(share.complement().complement(), share);
        }
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for text in [
            "101", "-1", "1.234", "", "%", "five", "1e1", "NaN", "100.01", "1.", ".5",
        ] {
            assert!(text.parse::<Percent>().is_err(), "{text}");
        }
        assert!(Percent::new(u32::MAX).is_err());
        assert!(serde_json::from_str::<Percent>("1e300").is_err());
    }

    #[test]
    fn counts_are_rounded_as_kubernetes_rounds_them() {
        let quarter = Percent::new(25).unwrap();
        assert_eq!(
            (quarter.of_rounded_up(10), quarter.of_rounded_down(10)),
            (3, 2)
        );
        assert_eq!(Percent::HUNDRED.of_rounded_up(u32::MAX), u32::MAX);
        assert_eq!(Percent::ZERO.of_rounded_up(u32::MAX), 0);
        assert_eq!(Percent::ratio(1, 3).basis_points(), 3_333);
        assert_eq!(Percent::ratio(5, 0), Percent::HUNDRED);
    }
}
