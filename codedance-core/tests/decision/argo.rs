//! The judge of Argo Rollouts, every quirk by its name.

use std::time::Duration;

use codedance_core::config;
use codedance_core::decision::{
    ArgoConfig, ArgoMetric, Assessment, JudgeConfig, Limits, Metric, MetricOutcome, Policy,
    PolicyBuilder, Quantity,
    Verdict::{self, Advance, Hold, Rollback},
};
use codedance_core::metrics::{Reading, Sample, Signal};
use codedance_core::{ErrorKind, Failure, Timestamp};

use super::support::{Watcher, cpu, errors, gauge, latency, percent, rate, slow, why};

fn policy(config: ArgoConfig) -> PolicyBuilder {
    Policy::builder()
        .with_metric(errors())
        .with_judge(JudgeConfig::Argo(config))
}

fn watch(metric: ArgoMetric) -> Watcher {
    let config = ArgoConfig::default().with_metric("errors", metric);
    Watcher::new(policy(config))
}

fn usual() -> ArgoMetric {
    ArgoMetric::default()
}

/// 1 % is a success, and above 5 % is a failure.
fn both() -> ArgoMetric {
    usual()
        .with_success(percent(1.0))
        .with_failure(percent(5.0))
}

/// Looks with so many errors of 100 each, and what follows.
fn verdicts(watcher: &mut Watcher, bad: &[u64]) -> Vec<Verdict> {
    let looks = bad
        .iter()
        .map(|bad| watcher.look(&[rate(*bad, 100)]).verdict);
    looks.collect()
}

fn blind(watcher: &mut Watcher, looks: usize) -> Vec<Verdict> {
    (0..looks).map(|_| watcher.look(&[]).verdict).collect()
}

fn sentences(assessment: &Assessment) -> Vec<String> {
    assessment.reasons.iter().map(ToString::to_string).collect()
}

#[test]
fn the_first_failed_measurement_ends_the_run_by_default() {
    let mut watcher = Watcher::new(policy(ArgoConfig::default()));
    assert_eq!(verdicts(&mut watcher, &[0, 1]), [Advance, Advance]);
    let assessment = watcher.look(&[rate(2, 100)]);
    assert_eq!(assessment.verdict, Rollback);
    assert_eq!(
        sentences(&assessment),
        [
            "errors is 2 % (2 of 100 requests), above its limit of 1 %",
            "1 measurement of errors failed, and 0 may",
        ]
    );
    // The run has ended; what is measured after it changes nothing.
    let after = watcher.look(&[rate(0, 100)]);
    assert_eq!(after.verdict, Rollback);
    assert_eq!(why(&after), "1 measurement of errors failed, and 0 may");
    watcher.stage = 1;
    assert_eq!(verdicts(&mut watcher, &[0]), [Rollback]);
}

#[test]
fn failed_measurements_within_the_limit_stop_nothing_and_add_up() {
    let mut watcher = watch(usual().with_failure_limit(Some(2)));
    assert_eq!(
        verdicts(&mut watcher, &[9, 0, 0, 9, 0]),
        [Advance, Advance, Advance, Advance, Advance]
    );
    watcher.stage = 1;
    assert_eq!(verdicts(&mut watcher, &[0, 9]), [Advance, Rollback]);
}

#[test]
fn no_number_of_failures_ends_the_run_without_a_limit() {
    let mut watcher = watch(usual().with_failure_limit(None));
    assert_eq!(verdicts(&mut watcher, &[9; 50]), [Advance; 50]);
}

#[test]
fn nothing_to_measure_advances_until_the_fifth_error_in_a_row() {
    let mut watcher = watch(usual());
    assert_eq!(blind(&mut watcher, 4), [Advance; 4]);
    assert_eq!(verdicts(&mut watcher, &[0]), [Advance]);
    assert_eq!(blind(&mut watcher, 4), [Advance; 4]);
    let assessment = watcher.look(&[]);
    assert_eq!(assessment.verdict, Rollback);
    assert_eq!(
        sentences(&assessment),
        [
            "errors has no data",
            "5 measurements of errors in a row ended in an error, and 4 may"
        ]
    );
    // The run has ended, although there is something to measure again.
    assert_eq!(verdicts(&mut watcher, &[0]), [Rollback]);
}

#[test]
fn a_source_that_cannot_be_read_is_an_error_of_every_metric() {
    let metric = usual().with_consecutive_error_limit(1);
    let mut watcher = watch(metric);
    let away = Failure::new(ErrorKind::Unavailable, "prometheus is away");
    assert_eq!(watcher.fail(&away).verdict, Advance);
    let assessment = watcher.fail(&away);
    assert_eq!(assessment.verdict, Rollback);
    assert_eq!(assessment.reasons.len(), 2, "{assessment:?}");
    assert!(why(&assessment).ends_with("prometheus is away"));
}

#[test]
fn what_is_too_old_is_an_error() {
    let mut watcher = watch(usual().with_consecutive_error_limit(0));
    watcher.minute = 99;
    let old = rate(0, 100).taken_at(Timestamp::from_millis(0));
    let assessment = watcher.look(&[old]);
    assert_eq!(assessment.verdict, Rollback);
    assert_eq!(
        why(&assessment),
        "the newest sample of errors is 1h 41m old"
    );
}

#[test]
fn between_success_and_failure_a_measurement_cannot_tell_and_holds() {
    for (bad, want) in [(1, Advance), (2, Hold), (5, Hold), (6, Rollback)] {
        let assessment = watch(both()).look(&[rate(bad, 100)]);
        assert_eq!(assessment.verdict, want, "{bad}");
        if want == Hold {
            let sentence = "1 measurement of errors could not tell, and 0 may";
            assert_eq!(why(&assessment), sentence);
            assert_eq!(assessment.metrics[0].outcome, MetricOutcome::Inconclusive);
        }
    }
    let mut watcher = watch(both().with_inconclusive_limit(2));
    assert_eq!(
        verdicts(&mut watcher, &[3, 0, 3, 0, 3, 0]),
        [Advance, Advance, Advance, Advance, Hold, Hold]
    );
}

#[test]
fn a_run_that_could_not_tell_begins_afresh_when_somebody_went_on() {
    let mut watcher = watch(both());
    assert_eq!(verdicts(&mut watcher, &[3, 0, 9]), [Hold, Hold, Hold]);
    watcher.stage = 1;
    assert_eq!(verdicts(&mut watcher, &[0, 3]), [Advance, Hold]);
}

#[test]
fn what_is_not_a_number_fails_succeeds_or_cannot_tell() {
    let number = [
        Reading::new(
            "errors",
            Sample::Counts { bad: 0, total: 0 },
            Sample::NoData,
        ),
        latency(f64::NAN, 9),
        latency(0.0, 0),
        gauge(f64::NAN),
    ];
    for reading in number {
        let (metric, good, bad): (_, Quantity, Quantity) = match reading.name.as_str() {
            "errors" => (errors(), percent(1.0), percent(5.0)),
            "p99" => (
                slow(),
                Duration::from_millis(500).into(),
                Duration::from_secs(1).into(),
            ),
            _ => (cpu(), 0.8.into(), 0.9.into()),
        };
        for (config, want) in [
            (usual(), Rollback),
            (usual().with_success(good), Rollback),
            (usual().with_failure(bad), Advance),
            (usual().with_success(good).with_failure(bad), Hold),
        ] {
            let config = ArgoConfig::default().with_metric(reading.name.clone(), config);
            let policy = Policy::builder()
                .with_metric(metric.clone())
                .with_judge(JudgeConfig::Argo(config));
            let assessment = Watcher::new(policy).look(std::slice::from_ref(&reading));
            assert_eq!(assessment.verdict, want, "{reading:?}");
        }
    }
    // What has another shape than asked for cannot even be evaluated.
    let shape = Reading::new("errors", Sample::Gauge(0.5), Sample::NoData);
    assert_eq!(watch(usual()).look(&[shape]).verdict, Advance);
}

#[test]
fn conditions_follow_the_sense_of_the_metric() {
    let query = |limits| Metric::new("hits", Signal::Query("hits".to_owned()), limits);
    let success = Metric::new("hits", Signal::SuccessRate, Limits::fail(percent(99.0)));
    let good = |bad| Sample::Counts { bad, total: 1_000 };
    for (metric, limit, within, beyond) in [
        (
            query(Limits::fail(1.0)),
            Quantity::Number(0.5),
            Sample::Gauge(0.5),
            Sample::Gauge(0.6),
        ),
        (
            query(Limits::floor(1.0)),
            Quantity::Number(0.5),
            Sample::Gauge(0.5),
            Sample::Gauge(0.4),
        ),
        (success, percent(99.9), good(1), good(2)),
    ] {
        for condition in [usual().with_success(limit), usual().with_failure(limit)] {
            let config = ArgoConfig::default().with_metric("hits", condition);
            let policy = Policy::builder()
                .with_metric(metric.clone())
                .with_judge(JudgeConfig::Argo(config));
            for (sample, want) in [(&within, Advance), (&beyond, Rollback)] {
                let reading = Reading::new("hits", sample.clone(), Sample::NoData);
                let assessment = Watcher::new(policy.clone()).look(&[reading]);
                assert_eq!(assessment.verdict, want, "{metric:?} {sample:?}");
            }
        }
    }
}

#[test]
fn the_limit_that_is_passed_first_ends_the_run() {
    let several = both()
        .with_failure_limit(Some(1))
        .with_inconclusive_limit(1)
        .with_consecutive_error_limit(1);
    let (bad, unclear, nothing) = (Some(9), Some(3), None);
    for (looks, want, sentence) in [
        (
            [bad, unclear, unclear, bad],
            Hold,
            "2 measurements of errors could not tell, and 1 may",
        ),
        (
            [unclear, bad, bad, unclear],
            Rollback,
            "2 measurements of errors failed, and 1 may",
        ),
        (
            [bad, unclear, nothing, nothing],
            Rollback,
            "2 measurements of errors in a row ended in an error, and 1 may",
        ),
    ] {
        let mut watcher = watch(several);
        let mut last = None;
        for bad in looks {
            let readings: Vec<Reading> = bad.iter().map(|bad| rate(*bad, 100)).collect();
            last = Some(watcher.look(&readings));
        }
        let last = last.unwrap();
        assert_eq!(last.verdict, want);
        assert_eq!(sentences(&last).pop().unwrap(), sentence);
    }
}

#[test]
fn of_several_metrics_a_failed_one_counts_before_errors_and_those_before_doubts() {
    let middling = usual()
        .with_success(percent(1.0))
        .with_failure(percent(5.0));
    let config = ArgoConfig::default()
        .with_metric("errors", middling)
        .with_metric("p99", usual().with_consecutive_error_limit(0));
    let policy = policy(config).with_metric(slow()).with_metric(cpu());
    for (readings, want, first) in [
        (
            vec![rate(3, 100), latency(0.1, 9), gauge(0.1)],
            Hold,
            "1 measurement of errors could not tell, and 0 may",
        ),
        (vec![rate(3, 100), gauge(0.1)], Rollback, "p99 has no data"),
        (
            vec![rate(3, 100), gauge(0.9)],
            Rollback,
            "cpu is 0.9, above its limit of 0.8",
        ),
    ] {
        let assessment = Watcher::new(policy.clone()).look(&readings);
        assert_eq!(assessment.verdict, want);
        assert_eq!(why(&assessment), first);
    }
}

#[test]
fn it_measures_at_the_first_look_of_a_stage_and_at_every_so_many_th() {
    let config = ArgoConfig::default().with_interval(3);
    let mut watcher = Watcher::new(policy(config));
    assert_eq!(
        verdicts(&mut watcher, &[0, 9, 9, 0, 9, 9]),
        [Advance, Advance, Advance, Advance, Advance, Advance]
    );
    watcher.stage = 1;
    assert_eq!(verdicts(&mut watcher, &[9]), [Rollback]);
}

#[test]
fn a_window_that_comes_again_is_not_measured_again() {
    let mut watcher = watch(usual().with_failure_limit(Some(1)));
    assert_eq!(verdicts(&mut watcher, &[9]), [Advance]);
    let again = watcher.look_again(&[rate(9, 100)], |_| {});
    assert_eq!(again.verdict, Advance);
    assert_eq!(verdicts(&mut watcher, &[9]), [Rollback]);
}

#[test]
fn it_is_written_and_read_back() {
    let text = r#"{
        "metrics": [{"name": "errors", "signal": "error_rate", "limits": {"fail": "1%"}}],
        "judges": [{"argo": {"interval": 5, "metrics": {"errors": {
            "success": "1%", "failure": "5%", "failure_limit": null,
            "inconclusive_limit": 1, "consecutive_error_limit": 2
        }}}}]
    }"#;
    let policy: Policy = config::from_json(text).unwrap();
    let metric = both()
        .with_failure_limit(None)
        .with_inconclusive_limit(1)
        .with_consecutive_error_limit(2);
    let written = ArgoConfig::default()
        .with_interval(5)
        .with_metric("errors", metric);
    assert_eq!(policy.judges(), [JudgeConfig::Argo(written)]);
    let json = serde_json::to_string(&policy).unwrap();
    assert_eq!(config::from_json::<Policy>(&json).unwrap(), policy);
    let default: Policy = config::from_json(
        r#"{
        "metrics": [{"name": "errors", "signal": "error_rate", "limits": {"fail": "1%"}}],
        "judges": [{"argo": {"metrics": {"errors": {}}}}]
    }"#,
    )
    .unwrap();
    let written = ArgoConfig::default().with_metric("errors", usual());
    assert_eq!(default.judges(), [JudgeConfig::Argo(written)]);
}

#[test]
fn what_cannot_be_is_refused() {
    let with = |metric| ArgoConfig::default().with_metric("errors", metric);
    for (config, key, problem) in [
        (
            ArgoConfig::default().with_interval(0),
            "interval",
            "is 0; write 1 or more looks",
        ),
        (
            ArgoConfig::default().with_metric("eror", usual()),
            "metrics.eror",
            "the policy has no metric of that name; write one of: errors",
        ),
        (
            with(usual().with_success(0.5)),
            "metrics.errors.success",
            "`0.5` does not fit the metric's signal; write a share with a percent sign",
        ),
        (
            with(usual().with_failure(percent(101.0))),
            "metrics.errors.failure",
            "`101%` is out of range; write a share from 0% to 100%",
        ),
        (
            with(
                usual()
                    .with_success(percent(5.0))
                    .with_failure(percent(1.0)),
            ),
            "metrics.errors.failure",
            "lies within `success`",
        ),
    ] {
        let error = policy(config).build().expect_err(key);
        assert_eq!(error.key, format!("judges[0].argo.{key}"), "{error}");
        assert!(error.problem.starts_with(problem), "{error}");
    }
    let none = Policy::builder().with_judge(JudgeConfig::Argo(ArgoConfig::default()));
    assert_eq!(none.build().unwrap_err().key, "judges[0].argo");
    let floor = Metric::new("hits", Signal::SuccessRate, Limits::fail(percent(99.0)));
    let metric = usual()
        .with_success(percent(95.0))
        .with_failure(percent(99.0));
    let config = ArgoConfig::default().with_metric("hits", metric);
    let policy = Policy::builder()
        .with_metric(floor)
        .with_judge(JudgeConfig::Argo(config));
    assert!(policy.build().unwrap_err().key.ends_with("hits.failure"));
}
