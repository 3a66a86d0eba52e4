//! From times and values to coordinates, and where the ticks go.

use std::time::Duration;

use codedance_core::Timestamp;

/// Beyond this, differences of finite numbers need not be finite.
const FARTHEST: f64 = 1e300;

/// The time axis that all charts of a story share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeScale {
    began: Timestamp,
    length: Duration,
    left: f64,
    width: f64,
}

impl TimeScale {
    /// From `began` over `length`, drawn from `left` over `width`.
    pub(crate) fn new(began: Timestamp, length: Duration, left: f64, width: f64) -> Self {
        Self {
            began,
            // What took no time at all is drawn as if it took a second.
            length: if length.is_zero() {
                Duration::from_secs(1)
            } else {
                length
            },
            left,
            width,
        }
    }

    pub(crate) fn x(&self, at: Timestamp) -> f64 {
        self.along(at.since(self.began))
    }

    pub(crate) fn since(&self, at: Timestamp) -> Duration {
        at.since(self.began)
    }

    pub(crate) fn right(&self) -> f64 {
        self.left + self.width
    }

    fn along(&self, since: Duration) -> f64 {
        let share = since.as_secs_f64() / self.length.as_secs_f64();
        self.left + self.width * share.clamp(0.0, 1.0)
    }

    /// At most about ten round times, each with its coordinate.
    pub(crate) fn ticks(&self) -> Vec<(Duration, f64)> {
        const ROUND: [u64; 22] = [
            1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600,
            43_200, 86_400, 172_800, 604_800, 1_209_600, 2_592_000,
        ];
        let seconds = self.length.as_secs_f64();
        let round = ROUND
            .into_iter()
            .find(|step| seconds / *step as f64 <= 10.0);
        let step = match round {
            Some(1) => step(seconds, 6.0).min(1.0),
            Some(step) => step as f64,
            None => step(seconds, 6.0),
        };
        let times = (0..=20).map(|index| Duration::from_secs_f64(f64::from(index) * step));
        times
            .take_while(|time| *time <= self.length)
            .map(|time| (time, self.along(time)))
            .collect()
    }
}

/// The value axis of one chart.
#[derive(Clone, Debug)]
pub(crate) struct ValueScale {
    low: f64,
    high: f64,
    step: f64,
    top: f64,
    height: f64,
}

impl ValueScale {
    /// Exactly from `low` to `high` with a tick at every `step`, drawn from `top` over `height`.
    pub(crate) const fn fixed(low: f64, high: f64, step: f64, top: f64, height: f64) -> Self {
        Self {
            low,
            high,
            step,
            top,
            height,
        }
    }

    /// Wide enough for the values, with round ends and nought in it; whole steps only if `whole`.
    pub(crate) fn from_nought(
        values: impl IntoIterator<Item = f64>,
        whole: bool,
        top: f64,
        height: f64,
    ) -> Self {
        Self::spanning(values.into_iter().chain([0.0]), whole, top, height)
    }

    /// Just wide enough for the values, with round ends: for what lives far from nought, such as a
    /// success rate.
    pub(crate) fn around(values: impl IntoIterator<Item = f64>, top: f64, height: f64) -> Self {
        Self::spanning(values, false, top, height)
    }

    fn spanning(values: impl IntoIterator<Item = f64>, whole: bool, top: f64, height: f64) -> Self {
        let mut ends: Option<(f64, f64)> = None;
        for value in values.into_iter().filter(|value| value.is_finite()) {
            let value = value.clamp(-FARTHEST, FARTHEST);
            ends = Some(ends.map_or((value, value), |(low, high)| {
                (low.min(value), high.max(value))
            }));
        }
        let (low, mut high) = ends.unwrap_or_default();
        // A line needs some height, also where all values are the same.
        let least = low.abs().max(high.abs()) * 1e-3;
        if high - low < least.max(f64::MIN_POSITIVE * 1e6) {
            high = low + if least > 0.0 { least } else { 1.0 };
        }
        let mut step = step(high - low, 4.0);
        if whole {
            step = step.max(1.0).round();
        }
        // Without the forgiveness, an end that is round already would grow by a step.
        let low = (low / step + 1e-9).floor() * step;
        Self {
            low,
            high: ((high / step - 1e-9).ceil() * step).max(low + step),
            step,
            top,
            height,
        }
    }

    pub(crate) fn y(&self, value: f64) -> f64 {
        let share = (value.clamp(-FARTHEST, FARTHEST) - self.low) / (self.high - self.low);
        self.top + self.height * (1.0 - share.clamp(0.0, 1.0))
    }

    /// The coordinate of nought, where areas stand.
    pub(crate) fn ground(&self) -> f64 {
        self.y(0.0)
    }

    /// Round values, each with its coordinate.
    pub(crate) fn ticks(&self) -> Vec<(f64, f64)> {
        let count = ((self.high - self.low) / self.step).round().min(20.0) as u32;
        (0..=count)
            .map(|index| self.low + f64::from(index) * self.step)
            .map(|value| {
                if value.abs() < self.step / 2.0 {
                    0.0
                } else {
                    value
                }
            })
            .map(|value| (value, self.y(value)))
            .collect()
    }
}

/// The round step, one of 1, 2 and 5 times a power of ten, that makes about `wanted` of the span.
fn step(span: f64, wanted: f64) -> f64 {
    let rough = span / wanted;
    let power = 10.0_f64.powf(rough.log10().floor());
    let times = rough / power;
    let times = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|round| times <= *round * 1.000_001)
        .unwrap_or(10.0);
    times * power
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, proptest};

    use super::*;

    #[test]
    fn value_ticks_are_one_two_or_five() {
        let ticks = |values: &[f64]| -> Vec<f64> {
            let scale = ValueScale::from_nought(values.iter().copied(), false, 0.0, 100.0);
            scale.ticks().iter().map(|tick| tick.0).collect()
        };
        assert_eq!(ticks(&[0.07]), [0.0, 0.02, 0.04, 0.06, 0.08]);
        assert_eq!(ticks(&[]), [0.0, 0.5, 1.0]);
        assert_eq!(ticks(&[3.0, -1.0]), [-1.0, 0.0, 1.0, 2.0, 3.0]);
        let near_one = ValueScale::around([0.992, 1.0], 0.0, 100.0).ticks();
        let near_one: Vec<_> = near_one
            .iter()
            .map(|tick| format!("{:.3}", tick.0))
            .collect();
        assert_eq!(near_one, ["0.992", "0.994", "0.996", "0.998", "1.000"]);
    }

    #[test]
    fn time_ticks_are_those_of_a_clock() {
        let ticks = |millis| -> Vec<u128> {
            TimeScale::new(Timestamp::EPOCH, Duration::from_millis(millis), 0.0, 100.0)
                .ticks()
                .iter()
                .map(|tick| tick.0.as_millis())
                .collect()
        };
        assert_eq!(ticks(0), [0, 200, 400, 600, 800, 1_000]);
        assert_eq!(ticks(42_000)[..3], [0, 5_000, 10_000]);
        assert_eq!(ticks(100_000)[..3], [0, 10_000, 20_000]);
        assert_eq!(ticks(3_600_000)[..3], [0, 600_000, 1_200_000]);
    }

    proptest! {
        #[test]
        fn every_coordinate_is_finite(
            values in prop::collection::vec(any::<f64>(), 0..5),
            whole in any::<bool>(),
            length in any::<u64>(),
        ) {
            let values = || values.iter().copied();
            for scale in [
                ValueScale::from_nought(values(), whole, 10.0, 100.0),
                ValueScale::around(values(), 10.0, 100.0),
            ] {
            let ticks = scale.ticks();
            prop_assert!((1..=21).contains(&ticks.len()));
            for y in ticks.iter().map(|tick| tick.1).chain(values().map(|v| scale.y(v))) {
                prop_assert!(y.is_nan() || (10.0..=110.0).contains(&y));
            }
            prop_assert!(ticks.iter().all(|tick| tick.0.is_finite() && tick.1.is_finite()));
            }
            let time = TimeScale::new(Timestamp::EPOCH, Duration::from_millis(length), 10.0, 100.0);
            prop_assert!(time.ticks().len() <= 21);
            prop_assert!(time.ticks().iter().all(|tick| (10.0..=110.0).contains(&tick.1)));
            prop_assert!((10.0..=110.0).contains(&time.x(Timestamp::MAX)));
        }
    }
}
