//! What counts as evidence against a canary, and what does not.

use codedance_core::Timestamp;
use codedance_core::decision::{
    SequentialConfig,
    Verdict::{Advance, Hold, Rollback},
};
use codedance_core::metrics::{Reading, Sample};

use super::conviction::{
    BAD, Side, lenient, looks_to_convict, one_in, one_rate, sample, sides, with,
};
use crate::support::{Watcher, why};

/// Half a percent of errors, 5 % of the traffic.
const HEALTHY: (Side, Side) = ((15, 3_000), (285, 57_000));

/// A watcher with a suspicion, and what it says.
fn suspicious() -> (Watcher, u64) {
    let mut watcher = Watcher::new(one_rate());
    let found = (0..50).find_map(|_| {
        let odds = one_in(&watcher.look(&[sides(((24, 3_000), (285, 57_000)))]));
        (odds > 1).then_some(odds)
    });
    (watcher, found.expect("a suspicion"))
}

#[test]
fn quiet_looks_change_nothing() {
    for look in [
        sides(((0, 3_000), (0, 57_000))),
        sides(((0, 0), (285, 57_000))),
        sides(((15, 3_000), (0, 0))),
        Reading::new("errors", Sample::NoData, sample((285, 57_000))),
        Reading::new("errors", sample((15, 3_000)), Sample::NoData),
        Reading::new("others", sample((3_000, 3_000)), sample((0, 57_000))),
    ] {
        let (mut watcher, before) = suspicious();
        for minute in 0..300 {
            watcher.stage += usize::from(minute % 50 == 0);
            let after = one_in(&watcher.look(std::slice::from_ref(&look)));
            assert_eq!(after, before, "minute {minute} of {look:?}");
        }
    }
}

#[test]
fn what_cannot_be_counted_tells_nothing() {
    let old = Timestamp::from_millis(-3_600_000);
    for look in [
        // A counter that began anew.
        sides(((3_000, 15), (285, 57_000))),
        sides(((15, 3_000), (57_000, 285))),
        sides(((u64::MAX, 0), (0, 57_000))),
        sides(((3_000, 3_000), (0, 57_000))).taken_at(old),
        Reading::new("errors", Sample::Gauge(1e9), Sample::Gauge(0.0)),
    ] {
        let (mut watcher, before) = suspicious();
        for _ in 0..10 {
            let assessment = watcher.look(std::slice::from_ref(&look));
            assert_eq!(one_in(&assessment), before, "{look:?}");
            assert_eq!(assessment.verdict, Hold);
        }
    }
}

#[test]
fn a_metric_that_says_nothing_draws_the_evidence_to_one() {
    for weight in [0.25, 1.0, 4.0] {
        let two = one_rate().with_metric(lenient("others").with_weight(weight));
        let (mut alone, mut watcher) = (Watcher::new(one_rate()), Watcher::new(two.clone()));
        let mut quiet = Watcher::new(two);
        let mut compared = 0;
        for _ in 0..30 {
            let look = sides(((26, 3_000), (285, 57_000)));
            let silent = Reading::new("others", sample((0, 3_000)), sample((0, 57_000)));
            let alone = one_in(&alone.look(std::slice::from_ref(&look))) as f64;
            let both = one_in(&watcher.look(std::slice::from_ref(&look))) as f64;
            assert_eq!(one_in(&quiet.look(&[look, silent])) as f64, both);
            if both > 1.0 && alone < 100.0 {
                let mean = (alone + weight) / (1.0 + weight);
                assert!((both / mean - 1.0).abs() < 0.1, "{both} is not {mean}");
                compared += 1;
            }
        }
        assert!(compared > 0, "{weight}");
    }
}

#[test]
fn evidence_adds_up_over_stages() {
    let look = ((24, 3_000), (285, 57_000));
    let alone = looks_to_convict(&mut Watcher::new(one_rate()), look).unwrap();
    let mut watcher = Watcher::new(one_rate());
    for _ in 0..alone - 1 {
        assert_ne!(watcher.look(&[sides(look)]).verdict, Rollback);
    }
    watcher.stage = 1;
    assert_eq!(looks_to_convict(&mut watcher, look), Some(1));
    assert!(alone > 3, "{alone}");
}

#[test]
fn a_regression_that_begins_late_is_found() {
    // An hour in good health leaves nothing of what was staked on a sick canary.
    let mut watcher = Watcher::new(one_rate());
    for minute in 0..60 {
        watcher.stage = minute / 15;
        assert_ne!(watcher.look(&[sides(HEALTHY)]).verdict, Rollback);
    }
    let late = looks_to_convict(&mut watcher, BAD).unwrap();
    let soon = looks_to_convict(&mut Watcher::new(one_rate()), BAD).unwrap();
    assert!(late <= 3 * soon, "{late} looks, instead of {soon}");
}

#[test]
fn what_scatters_by_itself_is_no_evidence() {
    let past = |bad: [u64; 2]| -> Vec<Sample> {
        let minutes = bad.into_iter().cycle().take(60);
        minutes.map(|bad| sample((bad, 57_000))).collect()
    };
    let looks = |past: Vec<Sample>| {
        let mut watcher = Watcher::new(one_rate());
        let look = ((22, 3_000), (285, 57_000));
        watcher.look(&[sides(look).with_history(past)]);
        looks_to_convict(&mut watcher, look)
    };
    let (steady, wild) = (looks(past([285, 285])), looks(past([100, 470])));
    assert!(steady.is_some_and(|looks| looks < 25), "{steady:?}");
    let wild = wild.unwrap_or(200);
    assert!(wild > 2 * steady.unwrap(), "{steady:?} {wild}");
}

/// A canary must not earn tolerance by its own unsteadiness.
#[test]
fn the_noise_is_learned_from_the_stable_side() {
    let mut watcher = Watcher::new(one_rate());
    for minute in 0..40 {
        let bad = if minute % 2 == 0 { 0 } else { 30 };
        let assessment = watcher.look(&[sides(((bad, 3_000), (285, 57_000)))]);
        assert_ne!(assessment.verdict, Rollback, "{}", why(&assessment));
    }
    let looks = looks_to_convict(&mut watcher, BAD);
    assert!(looks.is_some_and(|looks| looks <= 6), "{looks:?}");
}

#[test]
fn twice_the_errors_and_a_request_a_minute_are_never_proven_healthy() {
    for look in [((6, 600), (57, 11_400)), ((0, 1), (0, 19))] {
        let mut watcher = Watcher::new(with(SequentialConfig::default().confirmed()));
        for minute in 0..80 {
            watcher.stage = minute / 40;
            let assessment = watcher.look(&[sides(look)]);
            assert_ne!(assessment.verdict, Advance, "{look:?}");
        }
    }
}
