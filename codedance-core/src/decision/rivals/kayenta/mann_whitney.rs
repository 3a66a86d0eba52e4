//! The comparison at the heart of Kayenta's judge, by itself: two series in, a classification out.
//!
//! ```
//! use codedance_core::decision::KayentaMetric;
//! use codedance_core::decision::mann_whitney::{Class, compare};
//!
//! let stable = [1.0; 10];
//! let mut canary = [100.0, 100.0, 100.0, 100.0, 100.0, 100.0, 100.0, 1.0, 1.0, 1.0];
//! // Seven points of ten are a hundred times as high, and it passes; the eighth makes the difference.
//! assert_eq!(compare(&canary, &stable, &KayentaMetric::default()).class, Class::Pass);
//! canary[7] = 100.0;
//! assert_eq!(compare(&canary, &stable, &KayentaMetric::default()).class, Class::High);
//! ```

use statrs::distribution::{ContinuousCDF, Normal};
use statrs::function::erf::erfc;

use super::metric::{Direction, Effect, KayentaMetric, Measure, Missing};

/// The share of the shift that Kayenta puts up with. Its configuration has a key for it that is never
/// read.
const TOLERANCE: f64 = 0.25;

/// How unlikely the canary's ranks must be: one side of Kayenta's confidence of 98 %, which no
/// configuration changes either.
const DOUBT: f64 = 0.01;

/// How far the points of a constant series are spread, in relation to its value.
const NOISE: f64 = 1e-5;

/// What came of comparing two series.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Comparison {
    /// Where the canary lies.
    pub class: Class,
    /// By how much the canary lies above the stable side: the median of all differences between a point
    /// of the one and a point of the other (Hodges and Lehmann), in the metric's unit. 0 when nothing
    /// was tested.
    pub shift: f64,
    /// How likely ranks as lopsided as these are if the canary is shifted by no more than a quarter of
    /// `shift`, to the side that is less likely. Below 0.01 is proof enough. 1 when nothing was tested.
    pub p_value: f64,
    /// The size of the effect as [`Effect::measure`] has it; `None` where there is none, as for the ratio
    /// of means of which one is 0. What has no size passes no limit on it by.
    pub effect: Option<f64>,
}

/// Where the canary's series lies beside the stable one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// No shift was proven, or none that matters.
    Pass,
    /// Higher.
    High,
    /// Lower.
    Low,
    /// One side has no points.
    NoData,
}

/// Compares the canary's points with those of the stable side, as `NetflixACAJudge-v1.0` does.
///
/// Of `metric`, what concerns a single comparison is read: direction, missing points, outliers and
/// effect. Points need no order, and the sides may differ in number. Infinite values are taken for
/// missing ones. Costs some 20 µs for 60 points on either side.
///
/// # What differs from Kayenta
/// Kayenta finds the shift, and the ends of its confidence interval, by stepping towards a root until it
/// is within 0.0001, whatever the metric's scale. Here the shift is the median itself, and whether the
/// interval lies beyond the tolerance is asked of the test directly, which is the same question: so the
/// answer is exact for a rate of 0.05 % as well. Between few points there are many roots beside the median,
/// and Kayenta takes whichever it meets first.
///
/// The interval never reaches beyond the least and the greatest difference of two points. So a canary all
/// of whose points lie above all of the stable side's is high even if there are but two of them, of which
/// no test could be sure; that is so here, too.
///
/// Where both sides are constant, but not the same, Kayenta adds random noise to break the ties. Here
/// the quantiles of that noise are added, and the answer is the one that Kayenta gives on average. Where
/// even so either side has but one value, Kayenta gives up on the metric, which then does not count; here
/// it passes.
#[must_use]
pub fn compare(canary: &[f64], stable: &[f64], metric: &KayentaMetric) -> Comparison {
    let (mut x, mut y) = (clean(canary, metric), clean(stable, metric));
    let untested = |class| Comparison {
        class,
        shift: 0.0,
        p_value: 1.0,
        effect: None,
    };
    if x.is_empty() || y.is_empty() {
        return untested(match metric.missing {
            Missing::Remove => Class::NoData,
            Missing::Replace => Class::Pass,
        });
    }
    if x == y || (is_constant(&x) && is_constant(&y) && x[0] == y[0]) {
        return untested(Class::Pass);
    }
    if is_constant(&x) && is_constant(&y) {
        spread(&mut x);
        spread(&mut y);
        if is_constant(&x) && is_constant(&y) {
            return untested(Class::Pass);
        }
    }
    let shift = median_difference(&x, &y);
    let tolerated = TOLERANCE * shift.abs();
    let above = Ranks::of(&x, -tolerated, &y).chance_of_more();
    let below = Ranks::of(&x, tolerated, &y).chance_of_less();
    let effect = metric.effect.of(&x, &y);
    let (least, greatest) = (x[0] - y[y.len() - 1], x[x.len() - 1] - y[0]);
    let class = if (above < DOUBT || least > tolerated)
        && metric.direction != Direction::Decrease
        && effect.is_none_or(|size| size >= metric.effect.least_increase())
    {
        Class::High
    } else if (below < DOUBT || greatest < -tolerated)
        && metric.direction != Direction::Increase
        && effect.is_none_or(|size| size <= metric.effect.least_decrease())
    {
        Class::Low
    } else {
        Class::Pass
    };
    Comparison {
        class,
        shift,
        p_value: above.min(below),
        effect,
    }
}

impl Effect {
    /// How large the effect is, if that can be said.
    fn of(&self, x: &[f64], y: &[f64]) -> Option<f64> {
        match self.measure {
            Measure::MeanRatio => {
                let (canary, stable) = (mean(x), mean(y));
                let ratio = canary / stable;
                (canary != 0.0 && stable != 0.0 && ratio.is_finite()).then_some(ratio)
            }
            Measure::Cles => {
                let ranks = Ranks::of(x, 0.0, y);
                Some(ranks.wins / ranks.pairs())
            }
        }
    }
}

/// The points that take part, in ascending order.
fn clean(points: &[f64], metric: &KayentaMetric) -> Vec<f64> {
    let mut points: Vec<f64> = match metric.missing {
        Missing::Remove => points.iter().copied().filter(|p| p.is_finite()).collect(),
        Missing::Replace => points
            .iter()
            .map(|p| if p.is_finite() { *p } else { 0.0 })
            .collect(),
    };
    points.sort_unstable_by(f64::total_cmp);
    if let (Some(factor), false) = (metric.outlier_factor, points.is_empty()) {
        let [p1, q1, q3, p99] = [0.01, 0.25, 0.75, 0.99].map(|share| quantile(&points, share));
        let reach = factor * (q3 - q1);
        // What lies within the outermost hundredths is kept in any case: Kayenta's "reduced sensitivity".
        let (low, high) = (p1.min(q1 - reach), p99.max(q3 + reach));
        points.retain(|point| (low..=high).contains(point));
    }
    points
}

/// A quantile of at least one ascending point, the way Apache Commons Math has it by default: at the
/// place `share` × (n + 1), in straight lines between neighbours.
fn quantile(points: &[f64], share: f64) -> f64 {
    let place = share * (points.len() as f64 + 1.0);
    let below = place.floor();
    let at = |place: f64| points[(place.max(1.0) as usize).min(points.len()) - 1];
    let (left, right) = (at(below), at(below + 1.0));
    left + (place - below) * (right - left)
}

fn is_constant(ascending: &[f64]) -> bool {
    ascending.first() == ascending.last()
}

/// Puts the quantiles of Kayenta's noise around a constant, ascending. Zeros stay zeros, as there.
fn spread(constant: &mut [f64]) {
    let (normal, count) = (Normal::standard(), constant.len() as f64);
    for (index, point) in constant.iter_mut().enumerate() {
        let quantile = normal.inverse_cdf((index as f64 + 0.5) / count);
        *point += NOISE * point.abs() * quantile;
    }
}

fn mean(points: &[f64]) -> f64 {
    points.iter().sum::<f64>() / points.len() as f64
}

/// The median of all differences between a point of `x` and one of `y`, both ascending and not empty.
///
/// The differences are not put down and sorted: how many lie below a number is counted in one pass over
/// both sides, and the number is found by halving the range, which takes 64 steps for any two numbers.
fn median_difference(x: &[f64], y: &[f64]) -> f64 {
    let pairs = x.len() * y.len();
    let middle = pairs / 2;
    let mut low = ordinal(x[0] - y[y.len() - 1]);
    let mut high = ordinal(x[x.len() - 1] - y[0]);
    while low < high {
        // The greater one of two in the middle, so that the range gets smaller.
        let between = high - (high - low) / 2;
        if differences_below(x, y, number(between)).0 <= middle {
            low = between;
        } else {
            high = between - 1;
        }
    }
    let upper = number(low);
    let (count, next) = differences_below(x, y, upper);
    let lower = if pairs.is_multiple_of(2) && count == middle {
        next
    } else {
        upper
    };
    let [lower, upper] = [lower, upper].map(|number| number.clamp(f64::MIN, f64::MAX));
    let sum = lower + upper;
    if sum.is_finite() {
        sum / 2.0
    } else {
        lower / 2.0 + upper / 2.0
    }
}

/// How many differences are less than `limit`, and the greatest of them.
fn differences_below(x: &[f64], y: &[f64], limit: f64) -> (usize, f64) {
    let (mut count, mut greatest, mut from) = (0, f64::NEG_INFINITY, 0);
    for x in x {
        while y.get(from).is_some_and(|y| x - y >= limit) {
            from += 1;
        }
        let Some(least) = y.get(from) else {
            break;
        };
        count += y.len() - from;
        greatest = f64::max(greatest, x - least);
    }
    (count, greatest)
}

/// The place of a number among all numbers.
const fn ordinal(number: f64) -> u64 {
    let bits = number.to_bits();
    if number.is_sign_negative() {
        !bits
    } else {
        bits | 1 << 63
    }
}

/// The number at a place.
const fn number(ordinal: u64) -> f64 {
    f64::from_bits(if ordinal >> 63 == 0 {
        !ordinal
    } else {
        ordinal & !(1 << 63)
    })
}

/// How the points of one side rank among those of both.
///
/// statrs has the test, too; but it compares all points with each other to find those that cannot be
/// ordered, of which there are none here, and what it gives for small chances is 1 less a number close
/// to 1.
struct Ranks {
    /// In how many pairs the point of `x` is the greater one; ties count half. Mann and Whitney's U.
    wins: f64,
    /// The sum of t³ − t over all groups of t equal points.
    ties: f64,
    /// How many points either side has.
    sizes: (f64, f64),
}

impl Ranks {
    /// Both ascending; `shift` is added to each of `x`.
    fn of(x: &[f64], shift: f64, y: &[f64]) -> Self {
        let (mut wins, mut ties) = (0.0, 0.0);
        let (mut i, mut j) = (0, 0);
        let equal = |points: &[f64], from: usize, shift: f64, value: f64| {
            points[from..]
                .iter()
                .take_while(|p| *p + shift == value)
                .count()
        };
        while i < x.len() || j < y.len() {
            let next = [x.get(i).map(|p| p + shift), y.get(j).copied()];
            let value = next.into_iter().flatten().fold(f64::INFINITY, f64::min);
            let (mine, theirs) = (equal(x, i, shift, value), equal(y, j, 0.0, value));
            wins += mine as f64 * (j as f64 + theirs as f64 / 2.0);
            let group = (mine + theirs) as f64;
            ties += group * group * group - group;
            (i, j) = (i + mine, j + theirs);
        }
        Self {
            wins,
            ties,
            sizes: (x.len() as f64, y.len() as f64),
        }
    }

    fn pairs(&self) -> f64 {
        self.sizes.0 * self.sizes.1
    }

    /// How likely it is to win so many pairs or more by chance.
    fn chance_of_more(&self) -> f64 {
        self.chance(self.wins)
    }

    /// How likely it is to win so few pairs or fewer by chance.
    fn chance_of_less(&self) -> f64 {
        self.chance(self.pairs() - self.wins)
    }

    /// By the normal approximation, corrected for ties and for continuity.
    fn chance(&self, wins: f64) -> f64 {
        let all = self.sizes.0 + self.sizes.1;
        let spread = all + 1.0 - self.ties / (all * (all - 1.0));
        let deviation = (self.pairs() / 12.0 * spread).sqrt();
        // Where all points are equal this is −0.5 / 0, and the chance is 1.
        let z = (wins - self.pairs() / 2.0 - 0.5) / deviation;
        0.5 * erfc(z / std::f64::consts::SQRT_2)
    }
}
