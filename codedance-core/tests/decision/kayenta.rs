//! The judge of Kayenta: the comparison beside SciPy's, and every quirk by its name.

use codedance_core::config;
use codedance_core::decision::mann_whitney::{Class, compare};
use codedance_core::decision::{
    Assessment, Direction, Effect, JudgeConfig, KayentaConfig, KayentaMetric, Measure,
    MetricOutcome, Missing, Policy, PolicyBuilder,
    Verdict::{Advance, Hold, Rollback},
};
use codedance_core::metrics::{Reading, Sample};
use codedance_core::{ErrorKind, Failure, Timestamp};
use serde::Deserialize;

use super::support::{Watcher, cpu, errors, slow, why};

/// One line of `kayenta/fixtures.json`, which `kayenta/fixtures.py` writes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    canary: Vec<Option<f64>>,
    stable: Vec<Option<f64>>,
    #[serde(default)]
    direction: Direction,
    #[serde(default)]
    missing: Missing,
    outlier_factor: Option<f64>,
    #[serde(default)]
    measure: Measure,
    allowed_increase: Option<f64>,
    allowed_decrease: Option<f64>,
    expected: Expected,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    class: String,
    shift: f64,
    p_value: f64,
    effect: Option<f64>,
}

impl Case {
    fn metric(&self) -> KayentaMetric {
        let mut effect = Effect::of_measure(self.measure);
        effect.allowed_increase = self.allowed_increase;
        effect.allowed_decrease = self.allowed_decrease;
        let mut metric = KayentaMetric::default()
            .with_direction(self.direction)
            .with_missing(self.missing)
            .with_effect(effect);
        metric.outlier_factor = self.outlier_factor;
        metric
    }
}

fn close(ours: f64, theirs: f64) -> bool {
    (ours - theirs).abs() <= 1e-9 * theirs.abs().max(f64::MIN_POSITIVE)
}

#[test]
fn comparisons_are_those_of_scipy() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("kayenta/fixtures.json")).unwrap();
    assert!(cases.len() > 500);
    for case in &cases {
        let points = |side: &[Option<f64>]| -> Vec<f64> {
            side.iter().map(|p| p.unwrap_or(f64::NAN)).collect()
        };
        let (canary, stable) = (points(&case.canary), points(&case.stable));
        let ours = compare(&canary, &stable, &case.metric());
        let (name, want) = (&case.name, &case.expected);
        assert_eq!(format!("{:?}", ours.class), want.class, "{name}: {ours:?}");
        assert!(close(ours.shift, want.shift), "{name}: {ours:?}");
        assert!(close(ours.p_value, want.p_value), "{name}: {ours:?}");
        match (ours.effect, want.effect) {
            (None, None) => {}
            (Some(ours), Some(theirs)) => assert!(close(ours, theirs), "{name}: {ours}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn two_points_that_lie_apart_are_proof_enough() {
    let usual = KayentaMetric::default();
    assert_eq!(compare(&[3.0, 4.0], &[1.0, 2.0], &usual).class, Class::High);
    assert_eq!(compare(&[1.0, 2.0], &[3.0, 4.0], &usual).class, Class::Low);
    assert_eq!(compare(&[3.0], &[1.0], &usual).class, Class::Pass);
}

#[test]
fn a_rise_below_zero_is_no_rise_by_the_ratio_of_means() {
    let (canary, stable) = ([-1.0, -1.1, -1.2, -1.3, -1.4, -1.5], [-2.0; 6]);
    let compare = |effect| {
        let metric = KayentaMetric::default().with_effect(effect);
        compare(&canary, &stable, &metric).class
    };
    assert_eq!(compare(Effect::default()), Class::Pass);
    assert_eq!(compare(Effect::of_measure(Measure::Cles)), Class::High);
}

#[test]
fn comparisons_are_finite_whatever_the_points() {
    let odd = [
        f64::MAX,
        f64::MIN,
        f64::INFINITY,
        f64::NAN,
        0.0,
        -0.0,
        5e-324,
    ];
    let series: Vec<Vec<f64>> = (0..=odd.len())
        .flat_map(|many| [odd[..many].to_vec(), odd[odd.len() - many..].to_vec()])
        .chain([vec![f64::MAX; 9], vec![f64::MIN; 9]])
        .collect();
    for (x, y) in series
        .iter()
        .flat_map(|x| series.iter().map(move |y| (x, y)))
    {
        for outlier_factor in [None, Some(3.0)] {
            let mut metric = KayentaMetric::default();
            metric.outlier_factor = outlier_factor;
            let result = compare(x, y, &metric);
            assert!(result.shift.is_finite(), "{x:?} {y:?} {result:?}");
            assert!(
                (0.0..=1.0).contains(&result.p_value),
                "{x:?} {y:?} {result:?}"
            );
            assert!(
                result.effect.is_none_or(f64::is_finite),
                "{x:?} {y:?} {result:?}"
            );
        }
    }
}

/// So many looks in a row at the same readings, the last assessment of which is given.
fn looks(watcher: &mut Watcher, count: usize, readings: &[Reading]) -> Assessment {
    let each = (0..count).map(|_| watcher.look(readings));
    each.last().unwrap()
}

/// Both sides of the rate of errors, in thousandths.
fn errors_of(canary: u64, stable: u64) -> Reading {
    let side = |bad| Sample::Counts { bad, total: 1_000 };
    Reading::new("errors", side(canary), side(stable))
}

/// Both sides of the P99, in seconds.
fn p99_of(canary: f64, stable: f64) -> Reading {
    let side = |value| Sample::Quantile { value, count: 100 };
    Reading::new("p99", side(canary), side(stable))
}

fn nothing(name: &str) -> Reading {
    Reading::new(name, Sample::NoData, Sample::NoData)
}

fn policy(config: KayentaConfig) -> PolicyBuilder {
    Policy::builder()
        .with_metric(errors())
        .with_metric(slow())
        .with_judge(JudgeConfig::Kayenta(config))
}

fn watch(config: KayentaConfig) -> Watcher {
    Watcher::new(policy(config))
}

fn score(assessment: &Assessment) -> f64 {
    assert_eq!(assessment.score.low, assessment.score.high);
    assessment.score.low.points()
}

fn up() -> KayentaMetric {
    KayentaMetric::default().with_direction(Direction::Increase)
}

#[test]
fn it_judges_at_every_fifth_look_of_a_stage_and_holds_between() {
    let mut watcher = watch(KayentaConfig::default());
    let fine = [errors_of(5, 5), p99_of(0.2, 0.2)];
    let verdicts: Vec<_> = (0..10).map(|_| watcher.look(&fine).verdict).collect();
    let wait = [Hold; 4];
    assert_eq!(verdicts[..4], wait);
    assert_eq!(verdicts[4], Advance);
    assert_eq!(verdicts[5..9], wait);
    assert_eq!(verdicts[9], Advance);
    assert_eq!(
        why(&looks(&mut watcher, 2, &fine)),
        "it is judged at every 5 looks, and there were 2 since"
    );
    // What was good before a stage began promotes nobody in it.
    watcher.stage = 1;
    let verdicts: Vec<_> = (0..5).map(|_| watcher.look(&fine).verdict).collect();
    assert_eq!(verdicts, [Hold, Hold, Hold, Hold, Advance]);
}

#[test]
fn a_canary_that_is_worse_is_rolled_back_with_the_figures() {
    let mut watcher = watch(KayentaConfig::default());
    let assessment = looks(&mut watcher, 5, &[errors_of(50, 10), p99_of(0.2, 0.2)]);
    assert_eq!((assessment.verdict, score(&assessment)), (Rollback, 50.0));
    let sentences: Vec<_> = assessment.reasons.iter().map(ToString::to_string).collect();
    assert_eq!(
        sentences,
        [
            "errors is higher than the stable revision's, by 4 % (p = 6.1e-3)",
            "the score is 50, and it takes 95 to advance"
        ]
    );
    let outcomes: Vec<_> = assessment.metrics.iter().map(|m| m.outcome).collect();
    assert_eq!(outcomes, [MetricOutcome::Fail, MetricOutcome::Pass]);
    assert_eq!(assessment.metrics[0].canary, Some(0.05));
    assert_eq!(assessment.metrics[0].stable, Some(0.01));
}

#[test]
fn a_canary_with_fewer_errors_fails_unless_the_direction_says_otherwise() {
    let fewer = [errors_of(10, 50), p99_of(0.2, 0.2)];
    let either = looks(&mut watch(KayentaConfig::default()), 5, &fewer);
    assert_eq!(either.verdict, Rollback);
    assert!(why(&either).starts_with("errors is lower"), "{either:?}");
    let config = KayentaConfig::default().with_metric("errors", up());
    assert_eq!(looks(&mut watch(config), 5, &fewer).verdict, Advance);
}

#[test]
fn errors_at_few_looks_make_no_difference_however_many() {
    let mut watcher = watch(KayentaConfig::default());
    // Every tenth look of the canary is a disaster, and none of the stable revision's.
    let verdicts: Vec<_> = (0..30)
        .map(|look| {
            let bad = if look % 10 == 0 { 1_000 } else { 0 };
            watcher.look(&[errors_of(bad, 0), p99_of(0.2, 0.2)]).verdict
        })
        .collect();
    assert!(!verdicts.contains(&Rollback), "{verdicts:?}");
}

#[test]
fn a_shift_has_to_be_as_large_as_is_allowed() {
    for (allowed, want) in [(1.0, Rollback), (1.5, Rollback), (1.6, Advance)] {
        let effect = Effect::default().with_allowed(allowed, 0.1);
        let config = KayentaConfig::default().with_metric("errors", up().with_effect(effect));
        let assessment = looks(
            &mut watch(config),
            5,
            &[errors_of(15, 10), p99_of(0.2, 0.2)],
        );
        assert_eq!(assessment.verdict, want, "{allowed}");
    }
}

#[test]
fn an_effect_that_has_no_size_is_not_asked_for() {
    // There were no errors before, so that there is no ratio.
    let effect = Effect::default().with_allowed(1_000.0, 0.001);
    let config = KayentaConfig::default().with_metric("errors", up().with_effect(effect));
    let assessment = looks(&mut watch(config), 5, &[errors_of(15, 0), p99_of(0.2, 0.2)]);
    assert_eq!(assessment.verdict, Rollback);
}

#[test]
fn a_score_between_the_marks_holds() {
    for (pass, marginal, want) in [
        (95.0, 75.0, Rollback),
        (95.0, 50.0, Rollback),
        (95.0, 49.0, Hold),
        (51.0, 49.0, Hold),
        (50.0, 49.0, Advance),
    ] {
        let config = KayentaConfig::default().with_scores(pass, marginal);
        let assessment = looks(
            &mut watch(config),
            5,
            &[errors_of(50, 10), p99_of(0.2, 0.2)],
        );
        assert_eq!((assessment.verdict, score(&assessment)), (want, 50.0));
    }
}

#[test]
fn groups_without_a_weight_share_what_is_left() {
    let config = KayentaConfig::default()
        .with_group("users", 70.0)
        .with_metric("errors", up().with_group("users"))
        .with_metric("p99", up().with_group("machines"));
    for (bad, seconds, points) in [
        (10, 0.2, 100.0),
        (50, 0.2, 15.0),
        (10, 0.9, 85.0),
        (50, 0.9, 0.0),
    ] {
        // The third metric belongs to no group; it passes.
        let policy = policy(config.clone()).with_metric(cpu());
        let cpu = Reading::new("cpu", Sample::Gauge(0.5), Sample::Gauge(0.5));
        let readings = [errors_of(bad, 10), p99_of(seconds, 0.2), cpu];
        let assessment = looks(&mut Watcher::new(policy), 5, &readings);
        let third = 15.0;
        let want = match (bad, seconds > 0.5) {
            (50, true) => third,
            (50, false) => 2.0 * third,
            _ => points,
        };
        assert_eq!(score(&assessment), want);
    }
}

#[test]
fn a_metric_may_belong_to_several_groups() {
    let config = KayentaConfig::default()
        .with_group("a", 25.0)
        .with_group("b", 75.0)
        .with_metric("errors", up().with_group("a").with_group("b"))
        .with_metric("p99", up().with_group("b"));
    let assessment = looks(
        &mut watch(config),
        5,
        &[errors_of(50, 10), p99_of(0.2, 0.2)],
    );
    assert_eq!(score(&assessment), 37.5);
}

#[test]
fn a_critical_metric_that_fails_makes_the_score_nought() {
    for (critical, points) in [(1.0, 0.0), (5.0, 0.0), (5.1, 50.0)] {
        let effect = Effect::default().with_critical(critical, 0.1);
        let config = KayentaConfig::default().with_metric("errors", up().with_effect(effect));
        let policy = Policy::builder()
            .with_metric(errors().critical())
            .with_metric(slow())
            .with_judge(JudgeConfig::Kayenta(config));
        let readings = [errors_of(50, 10), p99_of(0.2, 0.2)];
        let assessment = looks(&mut Watcher::new(policy), 5, &readings);
        assert_eq!(score(&assessment), points, "{critical}");
    }
}

#[test]
fn half_of_the_metrics_without_data_roll_back() {
    let assessment = looks(
        &mut watch(KayentaConfig::default()),
        5,
        &[errors_of(5, 5), nothing("p99")],
    );
    assert_eq!((assessment.verdict, score(&assessment)), (Rollback, 0.0));
    assert_eq!(why(&assessment), "p99 has no data");
}

#[test]
fn a_group_without_data_counts_in_full() {
    let config = KayentaConfig::default()
        .with_group("machines", 90.0)
        .with_metric("cpu", up().with_group("machines"));
    let policy = policy(config).with_metric(cpu());
    let readings = [errors_of(5, 5), p99_of(0.2, 0.2), nothing("cpu")];
    let assessment = looks(&mut Watcher::new(policy.clone()), 5, &readings);
    assert_eq!((assessment.verdict, score(&assessment)), (Advance, 100.0));
    // One side alone is no data either.
    let one = Reading::new("cpu", Sample::Gauge(0.9), Sample::NoData);
    let readings = [errors_of(50, 5), p99_of(0.2, 0.2), one];
    let assessment = looks(&mut Watcher::new(policy), 5, &readings);
    assert_eq!((assessment.verdict, score(&assessment)), (Advance, 95.0));
}

#[test]
fn a_metric_that_must_have_data_fails_without() {
    let config = KayentaConfig::default().with_metric("cpu", up().with_must_have_data());
    let policy = policy(config).with_metric(cpu());
    let readings = [errors_of(5, 5), p99_of(0.2, 0.2), nothing("cpu")];
    let assessment = looks(&mut Watcher::new(policy), 5, &readings);
    assert_eq!((assessment.verdict, score(&assessment)), (Rollback, 66.67));
    assert_eq!(why(&assessment), "cpu has no data");
    // It is a failure among others, and not one of too many without data.
    let config = KayentaConfig::default().with_metric("p99", up().with_must_have_data());
    let assessment = looks(&mut watch(config), 5, &[errors_of(5, 5), nothing("p99")]);
    assert_eq!(score(&assessment), 50.0);
}

#[test]
fn a_critical_metric_without_data_rolls_back() {
    for must in [false, true] {
        let mut metric = up();
        metric.must_have_data = must;
        let policy = policy(KayentaConfig::default().with_metric("cpu", metric))
            .with_metric(cpu().critical());
        let readings = [errors_of(5, 5), p99_of(0.2, 0.2), nothing("cpu")];
        let assessment = looks(&mut Watcher::new(policy), 5, &readings);
        assert_eq!((assessment.verdict, score(&assessment)), (Rollback, 0.0));
    }
}

#[test]
fn a_missing_value_that_is_replaced_is_nought() {
    let config = |direction| {
        let metric = KayentaMetric::default().with_direction(direction);
        let metric = metric.with_missing(Missing::Replace).with_must_have_data();
        KayentaConfig::default().with_metric("errors", metric)
    };
    // Nothing on either side passes, although the metric must have data.
    let readings = [nothing("errors"), p99_of(0.2, 0.2)];
    let assessment = looks(&mut watch(config(Direction::Either)), 5, &readings);
    assert_eq!((assessment.verdict, score(&assessment)), (Advance, 100.0));
    // Nothing on the canary's side is low, and better where up is bad.
    let stable = Sample::Counts {
        bad: 10,
        total: 1_000,
    };
    let readings = [
        Reading::new("errors", Sample::NoData, stable),
        p99_of(0.2, 0.2),
    ];
    for (direction, want) in [
        (Direction::Either, Rollback),
        (Direction::Decrease, Rollback),
        (Direction::Increase, Advance),
    ] {
        let assessment = looks(&mut watch(config(direction)), 5, &readings);
        assert_eq!(assessment.verdict, want, "{direction:?}");
    }
}

#[test]
fn outliers_are_left_out_where_that_is_asked_for() {
    let canary = [0.2, 0.21, 0.22, 0.23, 0.24, 0.25, 0.26, 0.27, 0.28, 60.0];
    for (factor, want) in [(None, 4.5), (Some(3.0), 1.0)] {
        let mut metric = up();
        metric.outlier_factor = factor;
        let result = compare(&canary, &[0.2; 10], &metric);
        // Within the outermost hundredths nothing is an outlier, and of ten points these are the ends.
        let ratio = result.effect.unwrap();
        assert!(ratio > want, "{factor:?} {ratio}");
    }
    let many: Vec<f64> = (0..200).map(|i| 1.0 + f64::from(i % 7) / 10.0).collect();
    let mut with_one = many.clone();
    with_one[100] = 1e6;
    for (factor, high) in [(None, true), (Some(3.0), false)] {
        let mut metric = up();
        metric.outlier_factor = factor;
        let ratio = compare(&with_one, &many[1..], &metric).effect;
        assert_eq!(ratio.is_some_and(|ratio| ratio > 2.0), high, "{factor:?}");
    }
}

#[test]
fn all_looks_since_the_rollout_began_are_compared_or_the_latest() {
    let (worse, fine) = (errors_of(50, 10), errors_of(10, 10));
    for (lookback, want) in [(None, Rollback), (Some(5), Advance)] {
        let mut config = KayentaConfig::default().with_interval(10);
        config.lookback = lookback;
        let mut watcher = watch(config);
        looks(&mut watcher, 9, &[worse.clone(), p99_of(0.2, 0.2)]);
        watcher.stage = 1;
        let assessment = looks(&mut watcher, 10, &[fine.clone(), p99_of(0.2, 0.2)]);
        assert_eq!(assessment.verdict, want, "{lookback:?}");
    }
}

#[test]
fn looks_that_could_not_be_read_do_not_count() {
    let mut watcher = watch(KayentaConfig::default());
    let fine = [errors_of(5, 5), p99_of(0.2, 0.2)];
    looks(&mut watcher, 4, &fine);
    let down = Failure::new(ErrorKind::Unavailable, "prometheus is away");
    let before = watcher.memory.clone();
    let assessment = watcher.fail(&down);
    assert_eq!(assessment.verdict, Hold);
    assert!(why(&assessment).starts_with("the metrics could not be read"));
    assert_eq!(watcher.memory, before);
    assert_eq!(watcher.look(&fine).verdict, Advance);
}

#[test]
fn a_window_that_comes_again_is_not_counted_again() {
    let mut watcher = watch(KayentaConfig::default().with_interval(2));
    let readings = [errors_of(50, 10), p99_of(0.2, 0.2)];
    watcher.look(&readings);
    let before = watcher.memory.clone();
    assert_eq!(watcher.look_again(&readings, |_| {}).verdict, Hold);
    assert_eq!(watcher.memory, before);
    let judged = watcher.look(&readings);
    assert_eq!(watcher.look_again(&readings, |_| {}), judged);
}

#[test]
fn what_is_too_old_is_missing() {
    let old = |reading: Reading| reading.taken_at(Timestamp::from_millis(0));
    let mut watcher = watch(KayentaConfig::default());
    watcher.minute = 100;
    let readings = [old(errors_of(50, 10)), p99_of(0.2, 0.2)];
    let assessment = looks(&mut watcher, 5, &readings);
    assert_eq!(why(&assessment), "errors has no data");
    let errors = &assessment.metrics[0];
    assert_eq!((errors.canary, errors.stable), (None, None));
}

#[test]
fn its_memory_is_small() {
    let mut watcher = watch(KayentaConfig::default());
    let size = |watcher: &Watcher| serde_json::to_string(&watcher.memory).unwrap().len();
    for look in 0..60 {
        let odd = f64::from(look) / 7.0;
        watcher.look(&[errors_of(look as u64, 3), p99_of(odd, odd / 3.0)]);
    }
    assert!(size(&watcher) < 2_100, "{}", size(&watcher));
    looks(&mut watcher, 300, &[errors_of(1, 3), p99_of(0.1, 0.2)]);
    assert!(size(&watcher) < 7_800, "{}", size(&watcher));
}

#[test]
fn what_cannot_be_is_refused() {
    let usual = KayentaConfig::default;
    let errors = |metric| usual().with_metric("errors", metric);
    let effect = |effect| errors(up().with_effect(effect));
    let grouped = |name: &str| up().with_group(name);
    for (config, key) in [
        (usual().with_interval(0), "interval"),
        (usual().with_lookback(0), "lookback"),
        (usual().with_lookback(241), "lookback"),
        (usual().with_scores(101.0, 75.0), "pass"),
        (usual().with_scores(f64::NAN, 75.0), "pass"),
        (usual().with_scores(95.0, -1.0), "marginal"),
        (usual().with_scores(75.0, 75.0), "marginal"),
        (usual().with_metric("eror", up()), "metrics.eror"),
        (
            errors(up().with_outlier_factor(0.0)),
            "metrics.errors.outlier_factor",
        ),
        (
            effect(Effect::default().with_allowed(0.0, 1.0)),
            "metrics.errors.effect.allowed_increase",
        ),
        (
            effect(Effect::of_measure(Measure::Cles).with_critical(0.5, 1.1)),
            "metrics.errors.effect.critical_decrease",
        ),
        (usual().with_group("a", 50.0), "groups.a"),
        (errors(grouped("a")).with_group("a", 101.0), "groups.a"),
        (errors(grouped("a")).with_group("a", 100.0), "groups"),
        (
            errors(grouped("a"))
                .with_metric("p99", grouped("b"))
                .with_group("a", 50.0)
                .with_group("b", 40.0),
            "groups",
        ),
    ] {
        let error = policy(config).build().expect_err(key);
        assert_eq!(error.key, format!("judges[0].kayenta.{key}"), "{error}");
    }
    let none = Policy::builder().with_judge(JudgeConfig::Kayenta(usual()));
    let error = none.build().unwrap_err();
    assert_eq!(error.key, "judges[0].kayenta");
    assert!(error.problem.contains("under `metrics`"), "{error}");
}

#[test]
fn it_is_written_and_read_back() {
    let text = r#"{
        "metrics": [
            {"name": "errors", "signal": "error_rate", "limits": {"fail": "1%"}},
            {"name": "p99", "signal": {"latency": 0.99}, "limits": {"fail": "500ms"}}
        ],
        "judges": [{"kayenta": {
            "interval": 3, "lookback": 60, "pass": 90, "marginal": 50,
            "groups": {"users": 70},
            "metrics": {"errors": {
                "direction": "increase", "missing": "replace", "outlier_factor": 3,
                "must_have_data": true, "groups": ["users"],
                "effect": {"measure": "cles", "allowed_increase": 0.7, "critical_increase": 0.9}
            }}
        }}]
    }"#;
    let policy: Policy = config::from_json(text).unwrap();
    let mut effect = Effect::of_measure(Measure::Cles);
    effect.allowed_increase = Some(0.7);
    effect.critical_increase = Some(0.9);
    let metric = up()
        .with_missing(Missing::Replace)
        .with_outlier_factor(3.0)
        .with_must_have_data()
        .with_group("users")
        .with_effect(effect);
    let written = KayentaConfig::default()
        .with_interval(3)
        .with_lookback(60)
        .with_scores(90.0, 50.0)
        .with_group("users", 70.0)
        .with_metric("errors", metric);
    assert_eq!(policy.judges(), [JudgeConfig::Kayenta(written)]);
    let json = serde_json::to_string(&policy).unwrap();
    assert_eq!(config::from_json::<Policy>(&json).unwrap(), policy);
    let error = config::from_json::<Policy>(&text.replace("\"users\": 70", "\"user\": 70"));
    let error = error.unwrap_err();
    assert_eq!(error.key, "judges[0].kayenta.groups.user");
    assert_eq!(error.line, 8);
}
