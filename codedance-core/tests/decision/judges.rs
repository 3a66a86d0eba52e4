//! The classic judge and the panel.

use std::sync::Arc;
use std::time::Duration;

use codedance_core::decision::{
    Assessment, ClassicConfig, Evidence, Judge, JudgeConfig, Limits, Memory, Metric, Policy,
    PolicyBuilder, Reason, Score, ScoreRange, ThresholdsConfig,
    Verdict::{self, Advance, Hold, Rollback},
};
use codedance_core::metrics::{Reading, Sample, Signal};
use codedance_core::workload::GroupStatus;

use super::support::{Watcher, errors, latency, p99, percent, rate, why};

fn classic() -> PolicyBuilder {
    let limit = Limits::fail(Duration::from_millis(500));
    Policy::builder()
        .with_metric(Metric::new(
            "success",
            Signal::SuccessRate,
            Limits::fail(percent(99.0)),
        ))
        .with_metric(Metric::new("p99", p99(), limit))
        .with_metric(errors())
        .with_judge(JudgeConfig::Classic(ClassicConfig::default()))
}

fn good(bad: u64, total: u64) -> Reading {
    Reading::new("success", Sample::Counts { bad, total }, Sample::NoData)
}

#[test]
fn the_classic_score_is_40_30_and_30_points() {
    let (fine, edge) = (good(1, 1_000), good(10, 1_000));
    for (success, latency, rate, want, points, sentence) in [
        (&fine, latency(0.4, 9), rate(0, 9), Advance, 100.0, ""),
        (&edge, latency(0.5, 9), rate(1, 100), Advance, 100.0, ""),
        (
            &fine,
            latency(0.6, 9),
            rate(0, 9),
            Hold,
            85.0,
            "p99 is 600 ms (over 9 requests), above its limit of 500 ms",
        ),
        (
            &fine,
            latency(0.601, 9),
            rate(0, 9),
            Hold,
            70.0,
            "p99 is 601 ms (over 9 requests), above its limit of 500 ms",
        ),
        (
            &good(11, 1_000),
            latency(9.9, 9),
            rate(0, 9),
            Rollback,
            30.0,
            "success is 98.9 % (989 of 1,000 requests), below its limit of 99 %",
        ),
        (
            &fine,
            latency(0.4, 9),
            rate(2, 100),
            Rollback,
            70.0,
            "errors is 2 % (2 of 100 requests), above its limit of 1 %",
        ),
    ] {
        let mut watcher = Watcher::new(classic());
        let assessment = watcher.look(&[success.clone(), latency, rate]);
        assert_eq!(assessment.verdict, want);
        assert_eq!(assessment.score, ScoreRange::exactly(Score::new(points)));
        assert_eq!(why(&assessment), sentence);
        assert!(
            assessment.memory == Watcher::new(classic()).look(&[]).memory,
            "remembers nothing"
        );
    }
}

#[test]
fn the_marks_of_90_and_70_points_agree_with_the_verdicts() {
    for (bad, seconds, wrong) in [
        (0, 0.4, 0),
        (50, 0.4, 0),
        (0, 0.55, 0),
        (0, 0.9, 0),
        (0, 0.4, 5),
    ]
    .into_iter()
    .flat_map(|(b, s, w)| [(b, s, w), (b, 0.55, w), (b, 0.9, w), (b, s, 5), (50, s, 5)])
    {
        let mut watcher = Watcher::new(classic());
        let readings = [good(bad, 100), latency(seconds, 100), rate(wrong, 100)];
        let assessment = watcher.look(&readings);
        let by_score = match assessment.score.low.points() {
            points if points >= 90.0 => Advance,
            points if points >= 70.0 => Hold,
            _ => Rollback,
        };
        assert!(assessment.verdict >= by_score, "{assessment:?}");
    }
}

#[test]
fn what_the_classic_judge_does_not_see_holds() {
    let whole = [good(0, 100), latency(0.1, 100), rate(0, 100)];
    for missing in 0..8_u32 {
        let kept = (0..3).filter(|index| missing >> index & 1 == 0);
        let readings: Vec<Reading> = kept.map(|index| whole[index].clone()).collect();
        let assessment = Watcher::new(classic()).look(&readings);
        let want = if missing == 0 { Advance } else { Hold };
        assert_eq!(assessment.verdict, want, "{assessment:?}");
        assert_eq!(assessment.score.high, Score::BEST);
    }
    // What it sees is judged all the same.
    assert_eq!(
        Watcher::new(classic()).look(&[rate(50, 100)]).verdict,
        Rollback
    );
}

#[test]
fn fewer_than_80_percent_ready_hold() {
    for (ready, desired, want) in [
        (8, 10, Advance),
        (7, 10, Hold),
        (0, 1, Hold),
        (0, 0, Advance),
    ] {
        let readings = [good(0, 100), latency(0.1, 100), rate(0, 100)];
        let canary = GroupStatus::new(desired, ready);
        let assessment = Watcher::new(classic()).look_with(&readings, |e| e.canary = canary);
        assert_eq!(assessment.verdict, want, "{ready} of {desired}");
    }
}

/// Says what it is told to, and counts its looks.
#[derive(Debug)]
struct Fixed(&'static str, Verdict, f64);

impl Judge for Fixed {
    fn name(&self) -> &str {
        self.0
    }

    fn assess(&self, evidence: &Evidence<'_>) -> Assessment {
        let looks: u32 = evidence.memory.recall();
        let reasons = match self.1 {
            Advance => Vec::new(),
            _ => vec![Reason::Other(format!("{} says so, look {looks}", self.0))],
        };
        Assessment::new(self.1, reasons)
            .with_score(ScoreRange::exactly(Score::new(self.2)))
            .with_memory(Memory::of(&(looks + 1)))
    }
}

#[test]
fn the_worst_verdict_of_the_panel_counts() {
    let verdicts = [Advance, Hold, Rollback];
    for (first, second) in verdicts.iter().flat_map(|a| verdicts.map(|b| (*a, b))) {
        let own: [Arc<dyn Judge>; 2] = [
            Arc::new(Fixed("one", first, 30.0)),
            Arc::new(Fixed("two", second, 70.0)),
        ];
        let named = |name: &str| JudgeConfig::Own(name.to_owned());
        let policy = Policy::builder()
            .with_judge(named("one"))
            .with_judge(named("two"));
        let mut watcher = Watcher::new(policy.clone());
        watcher.judge = policy.build().unwrap().judge(&own);
        let assessment = [(); 3].map(|()| watcher.look(&[]))[2].clone();
        assert_eq!(assessment.verdict, first.max(second));
        assert_eq!(assessment.score.low.points(), 30.0);
        let worst = if second > first { "two" } else { "one" };
        if assessment.verdict != Advance {
            assert_eq!(why(&assessment), format!("{worst} says so, look 2"));
        }
    }
}

#[test]
fn a_judge_that_is_not_there_holds_and_its_memory_is_kept() {
    let policy = Policy::builder().with_judge(JudgeConfig::Own("sre".to_owned()));
    let mut watcher = Watcher::new(policy.clone());
    let with = policy
        .build()
        .unwrap()
        .judge(&[Arc::new(Fixed("sre", Hold, 50.0))]);
    let without = std::mem::replace(&mut watcher.judge, with);
    watcher.look(&[]);
    let with = std::mem::replace(&mut watcher.judge, without);
    let assessment = watcher.look(&[]);
    assert_eq!(assessment.verdict, Hold);
    assert_eq!(
        why(&assessment),
        "the policy appoints the judge sre, which this process does not have"
    );
    watcher.judge = with;
    assert_eq!(why(&watcher.look(&[])), "sre says so, look 1");
}

#[test]
fn nothing_measured_and_nobody_appointed_always_advances() {
    let mut watcher = Watcher::new(Policy::builder());
    let canary = GroupStatus::new(3, 0).with_failed(3);
    let assessment = watcher.look_with(&[], |e| e.canary = canary);
    assert_eq!(assessment.verdict, Advance);
    assert_eq!(assessment.score, ScoreRange::exactly(Score::BEST));
    assert!(assessment.memory.is_empty());
}

#[test]
fn metrics_that_several_judges_saw_are_listed_once_with_the_worst_outcome() {
    let config = ThresholdsConfig::default();
    let mut watcher = Watcher::new(classic().with_judge(JudgeConfig::Thresholds(config)));
    // 2 of 100 is a failure to one judge and a doubt to the other.
    let assessment = watcher.look(&[good(0, 100), latency(0.1, 100), rate(2, 100)]);
    let names: Vec<_> = assessment.metrics.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["success", "p99", "errors"]);
    assert_eq!(
        assessment.metrics[2].outcome,
        codedance_core::decision::MetricOutcome::Fail
    );
}
