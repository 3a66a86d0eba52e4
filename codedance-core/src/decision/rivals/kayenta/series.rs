//! The points that Kayenta's judge remembers.

use serde::{Deserialize, Serialize};

/// How many looks are remembered: four hours of one a minute.
pub(super) const LONGEST: usize = 240;

/// How many characters a look takes in the snapshot.
const WIDTH: usize = 16;

/// One metric's values of both sides, look by look; NaN where there was none.
///
/// Kept to seven digits, and written as one text of eight hexadecimal digits a value, which takes half
/// the room of numbers and knows NaN: an hour of one look a minute is 1 KB a metric, and the longest
/// series 4 KB.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub(super) struct Series(Vec<[f32; 2]>);

impl Series {
    /// Adds a look; the oldest is dropped once there are [`LONGEST`].
    pub(super) fn push(&mut self, canary: Option<f64>, stable: Option<f64>) {
        let keep = |value: Option<f64>| {
            let value = value.filter(|value| value.is_finite());
            value.map_or(f32::NAN, |value| (value as f32).clamp(f32::MIN, f32::MAX))
        };
        if self.0.len() >= LONGEST {
            self.0.remove(0);
        }
        self.0.push([keep(canary), keep(stable)]);
    }

    /// The latest `looks`, or all: the canary's points, and the stable side's.
    pub(super) fn latest(&self, looks: Option<u32>) -> (Vec<f64>, Vec<f64>) {
        let wanted = looks.map_or(self.0.len(), |looks| looks as usize);
        let from = self.0.len().saturating_sub(wanted);
        let points = self.0[from..].iter();
        points
            .map(|[canary, stable]| (f64::from(*canary), f64::from(*stable)))
            .unzip()
    }
}

impl From<Series> for String {
    fn from(series: Series) -> Self {
        let values = series.0.iter().flatten();
        values
            .map(|value| format!("{:08x}", value.to_bits()))
            .collect()
    }
}

/// What cannot be read ends the series, as a memory of another shape is forgotten.
impl From<String> for Series {
    fn from(text: String) -> Self {
        let value = |digits: &[u8]| {
            let digits = std::str::from_utf8(digits).ok()?;
            u32::from_str_radix(digits, 16).ok().map(f32::from_bits)
        };
        let looks = text.as_bytes().chunks_exact(WIDTH).map_while(|look| {
            let (canary, stable) = look.split_at(WIDTH / 2);
            Some([value(canary)?, value(stable)?])
        });
        Self(looks.take(LONGEST).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_written_and_read_back_with_its_gaps() {
        let mut series = Series::default();
        series.push(Some(0.051_058_53), Some(1e300));
        series.push(None, Some(f64::NAN));
        series.push(Some(-0.0), Some(f64::INFINITY));
        let text = String::from(series.clone());
        assert_eq!(text.len(), 3 * WIDTH);
        let (canary, stable) = Series::from(text.clone()).latest(None);
        assert_eq!(String::from(Series::from(text.clone())), text);
        assert!((canary[0] / 0.051_058_53 - 1.0).abs() < 1e-7);
        assert_eq!(stable[0], f64::from(f32::MAX));
        assert!(canary[1].is_nan() && stable[1].is_nan() && stable[2].is_nan());
        assert_eq!(Series::from(text[..20].to_owned()).latest(None).0.len(), 1);
        assert_eq!(Series::from("ü".repeat(8)), Series::default());
    }

    #[test]
    fn the_oldest_looks_are_dropped() {
        let mut series = Series::default();
        for look in 0..LONGEST + 5 {
            series.push(Some(look as f64), None);
        }
        let (all, _) = series.latest(None);
        assert_eq!((all.len(), all[0]), (LONGEST, 5.0));
        let (latest, _) = series.latest(Some(3));
        assert_eq!(latest, [242.0, 243.0, 244.0]);
        let again = Series::from(String::from(series));
        assert_eq!(again.latest(None).0, all);
    }
}
