//! The recordings that the example comes with.

use std::path::PathBuf;

use codedance_backtest::{Backtest, Ending, History, Recorded, Side, backtest};
use codedance_core::config;
use codedance_core::decision::{Policy, Verdict};
use codedance_core::metrics::{Reading, Sample, Window};
use codedance_core::plan::Plan;
use serde::Deserialize;

use crate::world::at;

#[path = "../../../examples/backtest/data/tables.rs"]
mod tables;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Setup {
    plan: Plan,
    policy: Policy,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/backtest")
}

fn gone(recording: &str) -> Backtest {
    let text = std::fs::read_to_string(folder().join("policy.yaml")).unwrap();
    let Setup { plan, policy } = config::from_yaml(&text).unwrap();
    let table = std::fs::read(folder().join("data").join(recording)).unwrap();
    let history = History::from_csv(recording, table.as_slice()).unwrap();
    backtest(policy, plan, &history).unwrap()
}

#[test]
fn the_recordings_are_what_their_seed_gives() {
    for (name, table) in tables::all(1) {
        let kept = std::fs::read_to_string(folder().join("data").join(name)).unwrap();
        let mend = "run `cargo run --example backtest-data -- --seed 1 examples/backtest/data`";
        assert!(kept == table, "{name} is another: {mend}");
    }
}

#[test]
fn a_healthy_release_is_promoted() {
    let gone = gone("healthy.csv");
    assert_eq!(gone.ending, Ending::Promoted, "{gone}");
    assert_eq!(gone.lasted().as_secs(), 18 * 60, "{gone}");
    assert!(gone.stages.iter().all(|stage| stage.held.is_zero()));
}

#[test]
fn a_bad_release_is_rolled_back_soon_after_it_turned_bad() {
    let gone = gone("bad-release.csv");
    let Ending::RolledBack { stage, .. } = &gone.ending else {
        panic!("{gone}");
    };
    assert_eq!(*stage, 1, "it turned bad in the second stage");
    let bad_for = gone.lasted().as_secs() - 5 * 60;
    assert!((30..=120).contains(&bad_for), "{gone}");
    let spent = gone.canary.unwrap();
    assert!(spent.bad > 0 && spent.total < 20 * 630, "{gone}");
}

/// The absolute limit lies above what everybody suffers, so the canary is not blamed for it.
#[test]
fn an_incident_of_everybody_is_not_blamed_on_the_canary() {
    let gone = gone("incident.csv");
    assert_eq!(gone.ending, Ending::Promoted, "{gone}");
    let rolls_back = |look: &codedance_backtest::Look| look.assessment.verdict == Verdict::Rollback;
    assert!(!gone.looks.iter().any(rolls_back));
}

#[test]
fn readings_of_a_range_are_a_recording() {
    let counts = |bad| Sample::Counts { bad, total: 500 };
    let looks = (0..4_u32).map(|index| {
        let reading = Reading::new("errors", counts(u64::from(index)), counts(9));
        (Window::new(at(index), at(index + 1)), vec![reading])
    });
    let history = History::from_readings(looks).unwrap();
    let same = (0..4_u32).flat_map(|index| {
        let side = |side, bad| Recorded {
            metric: "errors".to_owned(),
            at: at(index + 1),
            side,
            sample: counts(bad),
        };
        [side(Side::Canary, index.into()), side(Side::Stable, 9)]
    });
    assert_eq!(history, History::new(same).unwrap());
}
