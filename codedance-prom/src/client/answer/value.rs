//! Values and times, as servers write them.

use std::fmt;

use codedance_core::Timestamp;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

/// What a series is at one point in time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// May be infinite or not a number.
    Float(f64),
    Native(NativeBuckets),
}

/// A native histogram.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct NativeBuckets {
    #[serde(deserialize_with = "number")]
    pub(crate) count: f64,
    #[serde(deserialize_with = "number")]
    pub(crate) sum: f64,
    /// Those that are not empty, as the server sorts them: ascending.
    #[serde(default)]
    pub(crate) buckets: Vec<NativeBucket>,
}

/// How many observations lie between two bounds.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(from = "(Boundaries, Number, Number, Number)")]
pub(crate) struct NativeBucket {
    pub(crate) lower: f64,
    pub(crate) upper: f64,
    pub(crate) count: f64,
}

/// Which of its two bounds a bucket contains: a matter of one point, which no count depends on.
#[derive(Deserialize)]
struct Boundaries(#[expect(dead_code, reason = "read to be passed over")] u8);

impl From<(Boundaries, Number, Number, Number)> for NativeBucket {
    fn from((_, lower, upper, count): (Boundaries, Number, Number, Number)) -> Self {
        Self {
            lower: lower.0,
            upper: upper.0,
            count: count.0,
        }
    }
}

/// A time in decimal seconds.
pub(super) struct Seconds(pub(super) Timestamp);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        // A conversion from floating point keeps within the bounds of the integer.
        Ok(Self(Timestamp::from_millis(
            (seconds * 1_000.0).round() as i64
        )))
    }
}

/// A number in a text, such as `"0.25"`, `"+Inf"` or `"NaN"`.
pub(super) struct Number(pub(super) f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number(deserializer).map(Self)
    }
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    deserializer.deserialize_str(NumberVisitor)
}

struct NumberVisitor;

impl Visitor<'_> for NumberVisitor {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number in a text, such as \"0.25\" or \"+Inf\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<f64, E> {
        text.parse()
            .map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}
