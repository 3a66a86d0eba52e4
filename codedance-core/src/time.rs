//! Points in time and lengths of time, as plain data.
//!
//! The core never asks what time it is: every function that depends on time takes it as an argument.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time, in whole milliseconds since the Unix epoch (UTC).
///
/// Arithmetic saturates at the epoch and at [`Timestamp::MAX`], so the machine is total over any input. Written as
/// RFC 3339 (`2026-11-21T10:00:00.25Z`) wherever a person may read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The Unix epoch, where virtual clocks start.
    pub const EPOCH: Self = Self(0);
    /// The last representable point, 31 December 9999.
    pub const MAX: Self = Self(253_402_207_200_000);

    /// The point `millis` milliseconds after the epoch, clamped to the epoch and [`Timestamp::MAX`].
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        if millis < 0 {
            Self::EPOCH
        } else if millis > Self::MAX.0 {
            Self::MAX
        } else {
            Self(millis)
        }
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The time from `earlier` to `self`, zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, length: Duration) -> Self {
        Self::from_millis(self.0.saturating_add(millis(length)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, length: Duration) -> Self {
        Self::from_millis(self.0.saturating_sub(millis(length)))
    }
}

fn millis(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => at.fmt(f),
            Err(_) => write!(f, "{} ms after the epoch", self.0),
        }
    }
}

impl FromStr for Timestamp {
    type Err = ParseTimeError;

    fn from_str(text: &str) -> Result<Self, ParseTimeError> {
        match text.parse::<jiff::Timestamp>() {
            Ok(at) => Ok(Self::from_millis(at.as_millisecond())),
            Err(_) => Err(ParseTimeError::Timestamp(text.to_owned())),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A time or a duration that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseTimeError {
    /// Not an RFC 3339 timestamp.
    #[error("`{0}` is not a time; write RFC 3339, such as `2026-11-21T10:00:00Z`")]
    Timestamp(String),
    /// Not a duration with units.
    #[error("`{0}` is not a duration; write a number and a unit, such as `30s`, `5m` or `1h 30m`")]
    Duration(String),
}

/// Reads a duration with units: `250ms`, `30s`, `5m`, `1h 30m`.
///
/// # Errors
/// Without a unit (except `0`), when negative, or when finer than a millisecond.
pub fn parse_duration(text: &str) -> Result<Duration, ParseTimeError> {
    let refused = || ParseTimeError::Duration(text.to_owned());
    if text.trim() == "0" {
        return Ok(Duration::ZERO);
    }
    let parsed = jiff::fmt::friendly::SpanParser::new()
        .parse_duration(text.trim())
        .map_err(|_| refused())?;
    let length = Duration::try_from(parsed).map_err(|_| refused())?;
    if length.subsec_nanos() % 1_000_000 != 0 {
        return Err(refused());
    }
    Ok(length)
}

/// Writes a duration as [`parse_duration`] reads it: `1h 30m`, `250ms`, `0s`.
#[must_use]
pub fn display_duration(length: Duration) -> impl fmt::Display {
    Spelled(length)
}

struct Spelled(Duration);

impl fmt::Display for Spelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        let mut space = "";
        for (unit, millis) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
            let count = rest / millis;
            rest %= millis;
            if count > 0 {
                write!(f, "{space}{count}{unit}")?;
                space = " ";
            }
        }
        Ok(())
    }
}

/// Serde for [`Duration`] as text with units: `#[serde(with = "codedance_core::time::duration")]`.
pub mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes `5m`.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(length: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&super::display_duration(*length))
    }

    /// Reads `5m`.
    ///
    /// # Errors
    /// When it is no duration with units.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        super::parse_duration(&text).map_err(serde::de::Error::custom)
    }

    /// The same for an optional duration; absent and null are `None`.
    pub mod option {
        use std::time::Duration;

        use serde::{Deserialize, Deserializer, Serializer};

        /// Writes `5m` or null.
        ///
        /// # Errors
        /// Those of the serializer.
        pub fn serialize<S: Serializer>(
            length: &Option<Duration>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match length {
                Some(length) => super::serialize(length, serializer),
                None => serializer.serialize_none(),
            }
        }

        /// Reads `5m` or null.
        ///
        /// # Errors
        /// When it is neither null nor a duration with units.
        pub fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Duration>, D::Error> {
            let text = Option::<std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
            text.map(|text| crate::time::parse_duration(&text).map_err(serde::de::Error::custom))
                .transpose()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_they_are_written() {
        for millis in [0, 1, 250, 1_000, 61_000, 5_400_000, 90_061_001] {
            let length = Duration::from_millis(millis);
            let text = display_duration(length).to_string();
            assert_eq!(parse_duration(&text), Ok(length), "{text}");
        }
    }

    #[test]
    fn a_duration_without_a_unit_is_refused_with_the_mend() {
        for text in ["60", "", "-5s", "soon", "1us"] {
            let refused = parse_duration(text).unwrap_err().to_string();
            assert!(refused.contains("such as `30s`"), "{refused}");
        }
    }

    #[test]
    fn timestamps_round_trip_and_saturate() {
        let at = Timestamp::from_millis(1_763_719_200_250);
        assert_eq!(at.to_string().parse(), Ok(at));
        assert_eq!(Timestamp::MAX + Duration::MAX, Timestamp::MAX);
        assert_eq!(Timestamp::MAX - Duration::MAX, Timestamp::EPOCH);
        let second = Duration::from_secs(1);
        assert_eq!(
            Timestamp::EPOCH + 3 * second - second,
            Timestamp::EPOCH + 2 * second
        );
        assert_eq!(Timestamp::MAX.to_string().parse(), Ok(Timestamp::MAX));
        assert_eq!(Timestamp::EPOCH.since(at), Duration::ZERO);
        assert_eq!(Timestamp::from_millis(i64::MIN), Timestamp::EPOCH);
    }
}
