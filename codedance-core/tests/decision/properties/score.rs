//! The score of one look.

use std::time::Duration;

use codedance_core::decision::{Limits, Metric, Policy, PolicyBuilder, Score};
use codedance_core::metrics::{Reading, Sample, Signal};
use proptest::prelude::*;

use super::{after, fitting_look, history, policy, worse};
use crate::support::{Watcher, cpu, errors, p99, slow};

proptest! {
    #[test]
    fn worse_never_has_a_better_score(
        history in history(),
        look in fitting_look(),
        index in 0..4_usize,
        by in 0.0..2.0_f64,
    ) {
        let Some(sample) = worse(&look[index].canary, by) else { return Ok(()) };
        let mut spoiled = look.clone();
        spoiled[index].canary = sample;
        let better = after(policy(), &history).look(&look);
        let worse = after(policy(), &history).look(&spoiled);
        prop_assert!(worse.score.low <= better.score.low, "{} {}", worse.score, better.score);
        prop_assert!(worse.score.high <= better.score.high, "{} {}", worse.score, better.score);
    }

    #[test]
    fn weights_may_be_scaled(history in history(), look in fitting_look(), factor in 1e-3..1e3_f64) {
        let scaled = policy().build().unwrap().metrics().iter().fold(Policy::builder(), |p, m| {
            p.with_metric(m.clone().with_weight(m.weight() * factor))
        });
        let (a, b) = (after(policy(), &history).look(&look), after(scaled, &history).look(&look));
        prop_assert_eq!(a.verdict, b.verdict);
        prop_assert!((a.score.low.points() - b.score.low.points()).abs() < 0.011);
    }

    /// The stable side's values are compared with, so they are scaled too.
    #[test]
    fn units_may_be_scaled(
        values in prop::collection::vec((0.0..2.0_f64, 0.0..2.0_f64), 1..12),
        power in -9..9_i32,
    ) {
        let looks = |factor: f64| {
            let limits = Limits::fail(0.8 * factor).with_warn(0.6 * factor).with_crit(factor);
            let metric = Metric::new("cpu", Signal::Query("q".to_owned()), limits);
            let mut watcher = Watcher::new(Policy::builder().with_metric(metric));
            let look = |(canary, stable): &(f64, f64)| {
                let sides = [canary, stable].map(|value| Sample::Gauge(value * factor));
                let [canary, stable] = sides;
                let assessment = watcher.look(&[Reading::new("cpu", canary, stable)]);
                (assessment.verdict, assessment.score)
            };
            values.iter().map(look).collect::<Vec<_>>()
        };
        prop_assert_eq!(looks(1.0), looks(2.0_f64.powi(power)));
    }

    #[test]
    fn missing_is_an_interval(look in fitting_look(), index in 0..5_usize) {
        let mut without = look.clone();
        without[index].canary = Sample::NoData;
        let known = after(policy(), &[]).look(&look).score;
        let unknown = after(policy(), &[]).look(&without).score;
        prop_assert!(unknown.low <= known.low && known.high <= unknown.high, "{known} {unknown}");
    }

    #[test]
    fn a_critical_failure_caps_the_score(
        weights in prop::array::uniform4(1e-6..1e6_f64),
        seconds in 0.51..9.0_f64,
    ) {
        let more = Metric::new("more", p99(), Limits::fail(Duration::from_secs(1)));
        let metrics = [errors(), cpu(), slow().critical(), more];
        let weighted = metrics.into_iter().zip(weights);
        let policy = weighted.fold(Policy::builder(), |policy: PolicyBuilder, (metric, weight)| {
            policy.with_metric(metric.with_weight(weight))
        });
        let quantile = |value| Sample::Quantile { value, count: 100 };
        let assessment = Watcher::new(policy).look(&[
            Reading::new("errors", Sample::Counts { bad: 0, total: 100 }, Sample::NoData),
            Reading::new("cpu", Sample::Gauge(0.0), Sample::NoData),
            Reading::new("p99", quantile(seconds), Sample::NoData),
            Reading::new("more", quantile(0.0), Sample::NoData),
        ]);
        prop_assert!(assessment.score.high <= Score::new(49.0));
        if seconds >= 1.0 {
            prop_assert_eq!(assessment.score.high, Score::WORST);
        }
    }
}
