//! The judge of Flagger, every quirk by its name.

use codedance_core::config;
use codedance_core::decision::{
    Evidence, FlaggerConfig, JudgeConfig, Limits, Metric, MetricOutcome, Policy, PolicyBuilder,
    Verdict::{self, Advance, Hold, Rollback},
};
use codedance_core::metrics::{Reading, Sample, Signal};
use codedance_core::{ErrorKind, Failure, Timestamp};

use super::support::{Watcher, errors, gauge, latency, percent, rate, slow, why};

fn policy(config: FlaggerConfig) -> PolicyBuilder {
    Policy::builder()
        .with_metric(errors())
        .with_metric(slow())
        .with_judge(JudgeConfig::Flagger(config))
}

fn watch(threshold: u32) -> Watcher {
    Watcher::new(policy(FlaggerConfig::default().with_threshold(threshold)))
}

fn fine() -> [Reading; 2] {
    [rate(0, 100), latency(0.2, 100)]
}

/// Looks with so many errors of 100 each, and what follows.
fn verdicts(watcher: &mut Watcher, bad: &[u64]) -> Vec<Verdict> {
    let looks = bad.iter().map(|bad| {
        let readings = [rate(*bad, 100), latency(0.2, 100)];
        watcher.look(&readings).verdict
    });
    looks.collect()
}

#[test]
fn one_failed_check_rolls_back_by_default() {
    let mut watcher = Watcher::new(policy(FlaggerConfig::default()));
    assert_eq!(
        verdicts(&mut watcher, &[0, 1, 2]),
        [Advance, Advance, Rollback]
    );
}

#[test]
fn success_does_not_reset_the_failed_checks() {
    let mut watcher = watch(3);
    assert_eq!(
        verdicts(&mut watcher, &[9, 0, 0, 9, 0, 9, 0]),
        [Hold, Advance, Advance, Hold, Advance, Rollback, Rollback]
    );
}

#[test]
fn another_stage_does_not_reset_the_failed_checks() {
    let mut watcher = watch(2);
    assert_eq!(verdicts(&mut watcher, &[9]), [Hold]);
    watcher.stage = 1;
    assert_eq!(verdicts(&mut watcher, &[0, 9]), [Advance, Rollback]);
}

#[test]
fn three_metrics_beyond_their_limits_are_one_failed_check() {
    let mut watcher = watch(2);
    let assessment = watcher.look(&[rate(9, 100), latency(0.9, 100)]);
    let sentences: Vec<_> = assessment.reasons.iter().map(ToString::to_string).collect();
    assert_eq!(
        sentences,
        [
            "errors is 9 % (9 of 100 requests), above its limit of 1 %",
            "p99 is 900 ms (over 100 requests), above its limit of 500 ms",
            "1 check failed, and with 2 it rolls back",
        ]
    );
    assert_eq!(assessment.verdict, Hold);
    let outcomes: Vec<_> = assessment.metrics.iter().map(|m| m.outcome).collect();
    assert_eq!(outcomes, [MetricOutcome::Fail; 2]);
}

#[test]
fn absence_is_a_failed_check() {
    let old = rate(0, 100).taken_at(Timestamp::from_millis(0));
    for (readings, sentence) in [
        (vec![rate(0, 100)], "p99 has no data"),
        (vec![latency(0.2, 9), rate(0, 0)], "errors has no data"),
        (
            vec![rate(0, 9), latency(f64::NAN, 9)],
            "what the source answered for p99 cannot be judged",
        ),
        (
            vec![rate(0, 9), gauge(0.1), latency(0.1, 0)],
            "p99 has no data",
        ),
        (
            vec![old, latency(0.2, 100)],
            "the newest sample of errors is 1h 41m old",
        ),
    ] {
        let mut watcher = watch(2);
        watcher.minute = 99;
        let first = watcher.look(&readings);
        assert_eq!((first.verdict, why(&first).as_str()), (Hold, sentence));
        assert_eq!(watcher.look(&readings).verdict, Rollback);
    }
}

#[test]
fn a_source_that_cannot_be_read_is_a_failed_check() {
    let mut watcher = watch(2);
    let away = Failure::new(ErrorKind::Unavailable, "prometheus is away");
    let first = watcher.fail(&away);
    assert_eq!(first.verdict, Hold);
    assert_eq!(first.reasons.len(), 2, "{first:?}");
    assert!(why(&first).ends_with("prometheus is away"));
    assert_eq!(watcher.fail(&away).verdict, Rollback);
}

#[test]
fn one_request_is_as_good_as_a_million() {
    assert_eq!(verdicts(&mut watch(1), &[0]), [Advance]);
    let mut watcher = watch(1);
    assert_eq!(
        watcher.look(&[rate(1, 1), latency(0.2, 1)]).verdict,
        Rollback
    );
    let mut watcher = watch(1);
    assert_eq!(
        watcher.look(&[rate(0, 1), latency(0.2, 1)]).verdict,
        Advance
    );
}

#[test]
fn the_limits_are_those_of_the_policy_on_both_sides() {
    let range = Metric::new(
        "range",
        Signal::Query("range".to_owned()),
        Limits::fail(10.0).with_warn(5.0).with_floor(2.0),
    );
    let success = Metric::new("success", Signal::SuccessRate, Limits::fail(percent(99.9)));
    let policy = Policy::builder()
        .with_metric(range)
        .with_metric(success)
        .with_judge(JudgeConfig::Flagger(FlaggerConfig::default()));
    for (value, bad, want) in [
        (9.0, 0, Advance),
        (10.0, 1, Advance),
        (2.0, 1, Advance),
        (10.1, 0, Rollback),
        (1.9, 0, Rollback),
        (5.0, 2, Rollback),
    ] {
        let counts = Sample::Counts { bad, total: 1_000 };
        let readings = [
            Reading::new("range", Sample::Gauge(value), Sample::NoData),
            Reading::new("success", counts, Sample::NoData),
        ];
        let assessment = Watcher::new(policy.clone()).look(&readings);
        assert_eq!(assessment.verdict, want, "{value} {bad}");
        if bad == 2 {
            assert_eq!(
                why(&assessment),
                "success is 99.8 % (998 of 1,000 requests), below its limit of 99.9 %"
            );
        }
    }
}

#[test]
fn between_two_checks_it_holds_and_counts_nothing() {
    let config = FlaggerConfig::default().with_threshold(2).with_interval(3);
    let mut watcher = Watcher::new(policy(config));
    assert_eq!(
        verdicts(&mut watcher, &[9, 9, 0, 9, 9, 9, 9, 9, 9, 0]),
        [
            Hold, Hold, Advance, Hold, Hold, Hold, Hold, Hold, Rollback, Rollback
        ]
    );
}

#[test]
fn a_window_that_comes_again_is_not_counted_again() {
    let mut watcher = watch(2);
    let bad = [rate(9, 100), latency(0.2, 100)];
    let first = watcher.look(&bad);
    assert_eq!(watcher.look_again(&bad, |_: &mut Evidence<'_>| {}), first);
    assert_eq!(watcher.look(&fine()).verdict, Advance);
    assert_eq!(watcher.look(&bad).verdict, Rollback);
}

#[test]
fn it_is_written_and_read_back_and_what_cannot_be_is_refused() {
    let text = |config: &str| {
        format!(
            r#"{{"metrics": [{{"name": "e", "signal": "error_rate", "limits": {{"fail": "1%"}}}}],
            "judges": [{{"flagger": {config}}}]}}"#
        )
    };
    for (config, want) in [
        ("{}", FlaggerConfig::default()),
        (
            r#"{"threshold": 10, "interval": 2}"#,
            FlaggerConfig::default().with_threshold(10).with_interval(2),
        ),
    ] {
        let policy: Policy = config::from_json(&text(config)).unwrap();
        assert_eq!(policy.judges(), [JudgeConfig::Flagger(want)]);
        let json = serde_json::to_string(&policy).unwrap();
        assert_eq!(config::from_json::<Policy>(&json).unwrap(), policy);
    }
    for (config, key, message) in [
        (
            r#"{"threshold": 0}"#,
            "judges[0].flagger.threshold",
            "is 0; write 1 or more failed checks",
        ),
        (
            r#"{"interval": 0}"#,
            "judges[0].flagger.interval",
            "is 0; write 1 or more looks",
        ),
        (
            r#"{"treshold": 1}"#,
            "judges[0].flagger.treshold",
            "unknown field `treshold`",
        ),
    ] {
        let error = config::from_json::<Policy>(&text(config)).unwrap_err();
        assert_eq!(error.key, key);
        assert!(error.message.starts_with(message), "{error}");
    }
    let none = Policy::builder().with_judge(JudgeConfig::Flagger(FlaggerConfig::default()));
    assert_eq!(none.build().unwrap_err().key, "judges[0].flagger");
}
