//! At which evidence a canary is convicted, and that it stays so.

use codedance_core::decision::{
    Assessment, Comparison, JudgeConfig, Limits, Metric, Policy, PolicyBuilder, Reaction, Reason,
    SequentialConfig, ThresholdsConfig,
    Verdict::{Advance, Hold, Rollback},
};
use codedance_core::metrics::{Histogram, Reading, Sample, Signal};
use codedance_core::{ErrorKind, Failure};
use proptest::prelude::*;

use super::any_sample;
use crate::support::{Watcher, p99, percent, why};

/// One side of a look: so many bad ones of so many.
pub(super) type Side = (u64, u64);

/// Three times as many errors as the stable side, on 5 % of the traffic.
pub(super) const BAD: (Side, Side) = ((45, 3_000), (285, 57_000));

/// A rate with a limit that nothing here reaches: what is decided, the comparison has decided.
pub(super) fn lenient(name: &str) -> Metric {
    Metric::new(name, Signal::ErrorRate, Limits::fail(percent(90.0)))
}

pub(super) fn one_rate() -> PolicyBuilder {
    Policy::builder().with_metric(lenient("errors"))
}

pub(super) fn with(config: SequentialConfig) -> PolicyBuilder {
    let config = ThresholdsConfig::default().with_sequential(config);
    one_rate().with_judge(JudgeConfig::Thresholds(config))
}

pub(super) fn sample((bad, total): Side) -> Sample {
    Sample::Counts { bad, total }
}

pub(super) fn sides((canary, stable): (Side, Side)) -> Reading {
    Reading::new("errors", sample(canary), sample(stable))
}

/// What the comparison says, and whether it convicts; `None` if it is not worth a word.
fn said(assessment: &Assessment) -> Option<(&Comparison, bool)> {
    assessment.reasons.iter().find_map(|reason| match reason {
        Reason::CanaryWorse(comparison) => Some((comparison, true)),
        Reason::CanarySuspect(comparison) => Some((comparison, false)),
        _ => None,
    })
}

pub(super) fn one_in(assessment: &Assessment) -> u64 {
    said(assessment).map_or(1, |(comparison, _)| comparison.one_in)
}

/// How many looks it takes to convict, at most 200.
pub(super) fn looks_to_convict(watcher: &mut Watcher, sides_: (Side, Side)) -> Option<usize> {
    (1..=200).find(|_| watcher.look(&[sides(sides_)]).verdict == Rollback)
}

proptest! {
    #[test]
    fn no_single_look_convicts(samples in prop::array::uniform4(any::<u64>()), cut in 0..64_u32) {
        let [a, b, c, d] = samples.map(|sample| sample >> cut);
        let look = sides(((a.min(b), b), (c.min(d), d)));
        let assessment = Watcher::new(one_rate()).look(&[look]);
        prop_assert!(one_in(&assessment) <= 20, "{}", why(&assessment));
        prop_assert_ne!(assessment.verdict, Rollback);
    }

    #[test]
    fn one_bad_request_more_speaks_against_its_side(
        (canary, stable) in ((0..30_u64, 200..3_000_u64), (0..60_u64, 3_000..60_000_u64)),
        before in 4..8_usize,
        more in 1..20_u64,
    ) {
        let mut watcher = Watcher::new(one_rate());
        for _ in 0..before {
            // Enough for a suspicion, so that there is something to see.
            watcher.look(&[sides(((30, 3_000), (285, 57_000)))]);
        }
        let mut look = |canary, stable| {
            let memory = watcher.memory.clone();
            let odds = one_in(&watcher.look(&[sides((canary, stable))]));
            watcher.memory = memory;
            odds
        };
        let found = look(canary, stable);
        prop_assert!(look((canary.0 + more, canary.1), stable) >= found);
        prop_assert!(look(canary, (stable.0 + more, stable.1)) <= found);
    }

    /// Neither good looks nor missing ones take it back, nor a new stage, nor nonsense.
    #[test]
    fn once_convicted_always_convicted(
        later in prop::collection::vec((0..5, any_sample(), any_sample(), any::<bool>()), 1..20),
    ) {
        let mut watcher = Watcher::new(one_rate());
        prop_assert!(looks_to_convict(&mut watcher, BAD).is_some());
        let convicted = why(&watcher.look(&[]));
        for (kind, canary, stable, new_stage) in later {
            watcher.stage += usize::from(new_stage);
            let assessment = match kind {
                0 => watcher.look(&[sides(((0, 3_000), (900, 57_000)))]),
                1 => watcher.look(&[]),
                2 => watcher.fail(&Failure::new(ErrorKind::Timeout, "nobody answers")),
                _ => watcher.look(&[Reading::new("errors", canary, stable)]),
            };
            prop_assert_eq!(assessment.verdict, Rollback);
            prop_assert_eq!(why(&assessment), convicted.clone());
        }
    }
}

#[test]
fn a_single_look_may_say_no_more_than_20_and_says_that_of_the_worst() {
    let mut watcher = Watcher::new(one_rate());
    let all_bad = [sides(((3_000, 3_000), (0, 57_000)))];
    let first = watcher.look(&all_bad);
    assert!((15..=20).contains(&one_in(&first)), "{}", why(&first));
    let second = watcher.look(&all_bad);
    assert_eq!(said(&second).map(|(_, convicts)| convicts), Some(true));
    assert!((225..=400).contains(&one_in(&second)), "{}", why(&second));
}

/// For any alpha, a canary is convicted exactly when its odds have come to 1 in 1 / alpha, and is
/// suspected from 1 in 10 on.
#[test]
fn a_canary_is_convicted_at_the_odds_that_were_asked_for() {
    for alpha in [0.2, 0.05, 0.02, 0.01, 0.001, 1e-6] {
        let enough = 1.0 / alpha;
        let mut watcher = Watcher::new(with(SequentialConfig::default().with_alpha(alpha)));
        let convicted = (0..200).find_map(|_| {
            let assessment = watcher.look(&[sides(((20, 3_000), (285, 57_000)))]);
            if let Some((comparison, true)) = said(&assessment) {
                assert_eq!(assessment.verdict, Rollback);
                return Some(comparison.one_in as f64);
            }
            assert_ne!(assessment.verdict, Rollback, "{}", why(&assessment));
            let odds = one_in(&assessment);
            assert!(
                odds == 1 || (10.0..enough).contains(&(odds as f64)),
                "{odds}"
            );
            None
        });
        let convicted = convicted.expect("convicted within 200 looks");
        // These looks are so small that none jumps over as much again as is asked for.
        assert!(
            (enough..2.0 * enough).contains(&convicted),
            "{alpha}: {convicted}"
        );
    }
}

#[test]
fn a_better_canary_is_never_suspected_and_a_worse_one_is_convicted() {
    let histogram =
        |counts: [u64; 4]| Sample::Histogram(Histogram::new([0.1, 0.5, 2.0], counts).unwrap());
    let stable = histogram([5_000, 4_000, 900, 100]);
    let rate = |bad| (sample((bad, 3_000)), sample((285, 57_000)));
    let long = Limits::fail(std::time::Duration::from_secs(60));
    let good = Limits::fail(percent(1.0));
    for (metric, better, worse) in [
        (lenient("it"), rate(8), rate(32)),
        (
            Metric::new("it", Signal::SuccessRate, good),
            rate(8),
            rate(32),
        ),
        (
            Metric::new("it", p99(), long),
            (histogram([600, 350, 45, 5]), stable.clone()),
            (histogram([300, 500, 170, 30]), stable.clone()),
        ),
        // Only one request in a hundred, but those for long.
        (
            Metric::new("it", p99(), long),
            (histogram([500, 400, 95, 5]), stable.clone()),
            (histogram([480, 390, 90, 40]), stable),
        ),
    ] {
        let name = format!("{:?}", metric.signal());
        let policy = Policy::builder().with_metric(metric);
        let mut watcher = Watcher::new(policy.clone());
        for look in 0..100 {
            let (canary, stable) = better.clone();
            let assessment = watcher.look(&[Reading::new("it", canary, stable)]);
            assert_eq!(one_in(&assessment), 1, "{name}: {}", why(&assessment));
            assert_eq!(assessment.verdict, if look < 2 { Hold } else { Advance });
        }
        let mut watcher = Watcher::new(policy);
        let convicted = (0..40).any(|_| {
            let (canary, stable) = worse.clone();
            let assessment = watcher.look(&[Reading::new("it", canary, stable)]);
            assessment.verdict == Rollback
        });
        assert!(convicted, "{name}");
    }
}

#[test]
fn a_value_is_worse_on_the_side_of_its_limit() {
    let (most, least) = (Limits::fail(1e6), Limits::floor(1e-3));
    for (limits, canary, want) in [
        (most, 2.0, Rollback),
        (most, 0.5, Advance),
        (least, 2.0, Advance),
        (least, 0.5, Rollback),
    ] {
        let config = SequentialConfig::default().with_gauges(Reaction::Rollback);
        let config = ThresholdsConfig::default().with_sequential(config);
        let signal = Signal::Query("it".to_owned());
        let policy = Policy::builder()
            .with_metric(Metric::new("it", signal, limits))
            .with_judge(JudgeConfig::Thresholds(config));
        let mut watcher = Watcher::new(policy);
        let look = [Reading::new(
            "it",
            Sample::Gauge(canary),
            Sample::Gauge(1.0),
        )];
        let last = (0..30).map(|_| watcher.look(&look)).last().unwrap();
        assert_eq!(last.verdict, want, "{canary} {limits:?}: {}", why(&last));
    }
}
