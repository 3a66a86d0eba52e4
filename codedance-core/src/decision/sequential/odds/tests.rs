//! The likelihood ratios of an interval, beside brute force and exact laws.

use super::*;
use crate::decision::sequential::likelihood::{COMMON, ENOUGH, Form};

const NULL: f64 = 0.024_692_61;
const ALTERNATIVES_OF_RATES: [f64; 5] = [0.25, 0.64, 1.1, 1.95, 3.7];

impl Interval {
    /// The logarithms of the factors.
    fn evidence(
        &self,
        noise: Noise,
        null: f64,
        alternatives: &[f64; ALTERNATIVES],
    ) -> [f64; ALTERNATIVES] {
        self.factors(noise, null, alternatives).map(f64::ln)
    }
}

fn deviation(variation: f64) -> f64 {
    Noise::of_shares(variation).deviation().unwrap()
}

/// The same by brute force: 40,000 points over all that could matter.
fn by_brute_force(likelihood: &Likelihood, deviation: f64, alternative: f64) -> f64 {
    let scale = deviation / STANDARD_DEVIATION;
    let points: Vec<(f64, f64)> = (0..40_000)
        .map(|index| -40.0 + f64::from(index) * 0.002)
        .map(|ratio| (ratio, likelihood.ln_at(ratio)))
        .collect();
    let ln_mean = |center: f64| {
        let ln = |(ratio, likelihood): &(f64, f64)| {
            let y = (ratio - center).abs() / scale;
            likelihood - 2.0 * y - 4.0 * (-y).exp().ln_1p()
        };
        let most = points.iter().map(ln).fold(f64::NEG_INFINITY, f64::max);
        most + points
            .iter()
            .map(|point| (ln(point) - most).exp())
            .sum::<f64>()
            .ln()
    };
    ln_mean(alternative) - ln_mean(NULL)
}

#[test]
fn averages_over_the_noise_are_exact() {
    for (canary, stable) in [
        ((0, 30), (3, 570)),
        ((1, 30), (2, 570)),
        ((3, 30), (0, 570)),
        ((0, 3_000), (280, 57_000)),
        ((15, 3_000), (280, 57_000)),
        ((31, 3_000), (280, 57_000)),
        ((300, 3_000), (280, 57_000)),
        ((3_000, 3_000), (280, 57_000)),
        ((1_400, 3_000), (28_300, 57_000)),
        ((1_700, 3_000), (28_300, 57_000)),
        ((12, 30), (283, 570)),
        ((30, 30), (283, 570)),
        ((1, 1), (1, 2)),
        ((5_000, 1_000_000), (5_000, 1_000_000)),
    ] {
        let interval = Interval::new(canary, stable).unwrap();
        let likelihood = Likelihood::of(&interval);
        for variation in [0.1, 0.35, 0.8] {
            let noise = Noise::of_shares(variation);
            let found = interval.evidence(noise, NULL, &ALTERNATIVES_OF_RATES);
            for (found, alternative) in found.iter().zip(ALTERNATIVES_OF_RATES) {
                let exact = by_brute_force(&likelihood, deviation(variation), alternative);
                let exact = exact.min(MOST.ln());
                // One that is out of the question may be more so than it should.
                let out = exact < -6.0 && *found < -6.0;
                assert!(
                    (found - exact).abs() <= 5e-3 * exact.abs().max(1.0) || out,
                    "{canary:?} {stable:?} {variation} {alternative}: {found} {exact}"
                );
            }
        }
    }
}

fn ln_factorial(n: u64) -> f64 {
    statrs::function::factorial::ln_factorial(n)
}

/// The noncentral hypergeometric law of the canary's bad requests, given how many there are in all.
fn conditional(canary: u64, stable: u64, bad: u64, odds: f64) -> Vec<(u64, f64)> {
    let ways = |n: u64, k: u64| ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k);
    let ln = |x: u64| ways(canary, x) + ways(stable, bad - x) + x as f64 * odds.ln();
    let all: Vec<u64> = (bad.saturating_sub(stable)..=canary.min(bad)).collect();
    let most = all.iter().map(|x| ln(*x)).fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = all.iter().map(|x| (ln(*x) - most).exp()).sum();
    all.iter()
        .map(|x| (*x, (ln(*x) - most).exp() / total))
        .collect()
}

/// The promise itself: whatever the traffic, its split and the base rate, the mean of each factor is
/// at most 1 at the null hypothesis, given how many requests were bad in all.
#[test]
fn on_average_a_healthy_canary_gains_nothing() {
    let (mut most_rare, mut most_common, mut checked) = (0.0_f64, 0.0_f64, 0);
    for (canary, stable) in [
        (1, 1),
        (1, 19),
        (5, 95),
        (50, 50),
        (30, 570),
        (60, 540),
        (150, 450),
        (300, 300),
        (20, 1_980),
        (200, 20),
        (1_000, 3_000),
    ] {
        for bad in [1, 2, 3, 7, 20, 50, 120, 290, 700, 1_500] {
            if bad >= canary + stable {
                continue;
            }
            for null in [1.0_f64, 1.025, 1.1, 2.0] {
                let alternatives = [1.2, 1.9, 3.0, 7.0, 0.5].map(|odds: f64| odds.ln() + null.ln());
                let mut means = [0.0; ALTERNATIVES];
                let mut form = Form::Rare;
                for (x, probability) in conditional(canary, stable, bad, null) {
                    let interval = Interval::new((x, canary), (bad - x, stable)).unwrap();
                    form = Likelihood::of(&interval).form;
                    let found = interval.evidence(Noise::NONE, null.ln(), &alternatives);
                    for (mean, ln) in means.iter_mut().zip(found) {
                        *mean += probability * ln.exp();
                    }
                }
                let most = match form {
                    Form::Rare => &mut most_rare,
                    Form::Common => &mut most_common,
                };
                // The last alternative is a better canary: there the rare form is no promise.
                let worse = if form == Form::Rare {
                    &means[..4]
                } else {
                    &means[..]
                };
                *most = worse.iter().copied().fold(*most, f64::max);
                checked += 1;
            }
        }
    }
    println!("{checked} cases: at most {most_rare} where rare, {most_common} where common");
    assert!(most_rare <= 1.0 + 1e-9, "{most_rare}");
    // The approximation of the common form.
    assert!(most_common <= 1.0 + 1e-3, "{most_common}");
}

#[test]
fn one_bad_request_more_of_a_side_speaks_against_it() {
    for noise in [Noise::NONE, Noise::of_shares(0.1), Noise::of_shares(0.8)] {
        // As long as the form stays the same; where it changes there is a small step.
        for (canary, stable) in [(60, 1_940), (600, 1_000), (3_000, 57_000)] {
            let mut before = [f64::NEG_INFINITY; ALTERNATIVES];
            for bad in 0..=60 {
                let interval = Interval::new((bad, canary), (20, stable)).unwrap();
                let now = interval.evidence(noise, NULL, &ALTERNATIVES_OF_RATES);
                for (now, before) in now.iter().zip(before) {
                    assert!(
                        *now >= before - 1e-3 * before.abs().min(99.0),
                        "{bad} {canary} {noise:?}: {before} {now}"
                    );
                }
                before = now;
            }
            let mut before = [f64::INFINITY; ALTERNATIVES];
            for bad in 0..=60 {
                let interval = Interval::new((3, canary), (bad, stable)).unwrap();
                let now = interval.evidence(noise, NULL, &ALTERNATIVES_OF_RATES);
                for (now, before) in now.iter().zip(before) {
                    assert!(
                        *now <= before + 1e-3 * before.abs().min(99.0),
                        "{bad} {stable} {noise:?}: {before} {now}"
                    );
                }
                before = now;
            }
        }
    }
}

#[test]
fn without_noise_an_interval_may_be_split() {
    let whole = Interval::new((6, 1_000), (30, 9_000)).unwrap();
    let parts = [((1, 400), (20, 3_600)), ((5, 600), (10, 5_400))];
    let whole = whole.evidence(Noise::NONE, NULL, &ALTERNATIVES_OF_RATES);
    let parts = parts.map(|(canary, stable)| {
        let part = Interval::new(canary, stable).unwrap();
        part.evidence(Noise::NONE, NULL, &ALTERNATIVES_OF_RATES)
    });
    for (index, whole) in whole.iter().enumerate() {
        let sum = parts[0][index] + parts[1][index];
        assert!((whole - sum).abs() < 1e-9, "{whole} {sum}");
    }
}

#[test]
fn noise_that_vanishes_is_no_noise() {
    for (canary, stable) in [((6, 1_000), (30, 9_000)), ((20, 40), (170, 360))] {
        let interval = Interval::new(canary, stable).unwrap();
        let exact = interval.evidence(Noise::NONE, NULL, &ALTERNATIVES_OF_RATES);
        let nearly = interval.evidence(Noise::of_shares(0.05), NULL, &ALTERNATIVES_OF_RATES);
        for (exact, nearly) in exact.iter().zip(nearly) {
            assert!(
                (exact - nearly).abs() < 0.06 * exact.abs().max(1.0),
                "{exact} {nearly}"
            );
        }
    }
}

/// From a rare form to a common one the likelihood takes a small step. It takes nothing from a canary's
/// guilt, unless the stable side has next to no traffic: then 2 % of it.
#[test]
fn where_the_form_changes_one_bad_request_more_still_speaks_against_the_canary() {
    let form = |interval: Interval| Likelihood::of(&interval).form;
    let mut checked = 0;
    for canary in [20_u64, 50, 100, 300, 1_000, 3_000] {
        for stable in [1_u64, 10, 50, 300, 1_000, 10_000, 57_000] {
            let all = canary + stable;
            let is_common = |bad: u64| {
                let share = bad as f64 / all as f64;
                share >= COMMON && share * (all - bad) as f64 >= ENOUGH
            };
            let Some(bad) = (1..all).find(|bad| is_common(*bad)) else {
                continue;
            };
            let fewest = bad.saturating_sub(stable).max(1);
            for ours in fewest..=canary.min(bad) {
                let theirs = (bad - ours, stable);
                let fewer = Interval::new((ours - 1, canary), theirs).unwrap();
                let more = Interval::new((ours, canary), theirs).unwrap();
                assert_eq!((form(fewer), form(more)), (Form::Rare, Form::Common));
                for variation in [0.1, 0.3, 1.0] {
                    let noise = Noise::of_shares(variation);
                    let of =
                        |interval: Interval| interval.evidence(noise, NULL, &ALTERNATIVES_OF_RATES);
                    for (fewer, more) in of(fewer).into_iter().zip(of(more)) {
                        let step = if stable < 50 { 0.02 } else { 1e-9 };
                        assert!(
                            fewer <= 0.0 || more >= fewer - step,
                            "{ours} of {canary}, {theirs:?}, {variation}: {fewer} {more}"
                        );
                        checked += 1;
                    }
                }
            }
        }
    }
    assert!(checked > 10_000, "{checked}");
}

#[test]
fn nothing_is_too_extreme() {
    let extremes = [0, 1, 2, 50, 1 << 30, 1 << 53, u64::MAX];
    let mut checked = 0;
    for canary in extremes {
        for stable in extremes {
            for canary_bad in extremes {
                for stable_bad in extremes {
                    let sides = ((canary_bad, canary), (stable_bad, stable));
                    let Some(interval) = Interval::new(sides.0, sides.1) else {
                        assert!(canary == 0 || stable == 0);
                        continue;
                    };
                    for noise in [Noise::NONE, Noise::of_shares(0.1), Noise::of_shares(2.0)] {
                        for ln in interval.evidence(noise, NULL, &ALTERNATIVES_OF_RATES) {
                            assert!(!ln.is_nan() && ln <= MOST.ln(), "{sides:?} {noise:?}: {ln}");
                            checked += 1;
                        }
                    }
                }
            }
        }
    }
    assert!(checked > 1_000);
    assert_eq!(Interval::new((0, 0), (3, 100)), None);
    let none = Interval::new((0, 100), (0, 900)).unwrap();
    assert_eq!(
        none.evidence(Noise::of_shares(0.3), NULL, &ALTERNATIVES_OF_RATES),
        [0.0; 5]
    );
}
