//! Policies: what cannot be, how they are written, and where a file is wrong.

use std::time::Duration;

use codedance_core::config;
use codedance_core::decision::{
    ClassicConfig, JudgeConfig, Limits, Metric, Policy, PolicyBuilder, Reaction, ThresholdsConfig,
};
use codedance_core::metrics::Signal;

use super::support::{cpu, errors, p99, percent, slow};

fn valid() -> PolicyBuilder {
    let hits = Metric::new("hits", Signal::Query("hits".to_owned()), Limits::floor(0.9));
    Policy::builder()
        .with_metric(errors().critical().with_weight(2.5))
        .with_metric(Metric::new(
            "success",
            Signal::SuccessRate,
            Limits::fail(percent(99.5))
                .with_warn(percent(99.9))
                .with_crit(percent(95.0)),
        ))
        .with_metric(slow())
        .with_metric(cpu().optional())
        .with_metric(hits)
        .with_judge(JudgeConfig::Thresholds(
            ThresholdsConfig::default().with_inconclusive_limit(20),
        ))
        .with_judge(JudgeConfig::Classic(ClassicConfig::default()))
        .with_judge(JudgeConfig::Own("sre".to_owned()))
        .with_interval(Duration::from_millis(1_500))
        .with_on_inconclusive(Reaction::Rollback)
}

#[test]
fn a_policy_is_written_and_read_back() {
    let policy = valid().build().unwrap();
    let json = serde_json::to_string_pretty(&policy).unwrap();
    insta::assert_snapshot!(json);
    assert_eq!(config::from_json::<Policy>(&json).unwrap(), policy);
    assert_eq!(policy.interval(), Duration::from_millis(1_500));
    assert_eq!(policy.queries().len(), 5);
    let empty: Policy = config::from_json("{}").unwrap();
    assert_eq!(empty, Policy::default());
    assert_eq!(Policy::default(), Policy::builder().build().unwrap());
}

#[test]
fn what_cannot_be_is_refused() {
    let named = |name: &str| Metric::new(name, Signal::ErrorRate, Limits::fail(percent(1.0)));
    let thresholds = |config| JudgeConfig::Thresholds(config);
    let config = ThresholdsConfig::default;
    let table: Vec<(PolicyBuilder, &str)> = vec![
        (valid().with_interval(Duration::ZERO), "interval"),
        (
            valid().with_interval(Duration::from_secs(3_601)),
            "interval",
        ),
        (valid().with_grace(Duration::ZERO), "grace"),
        (valid().with_restart_limit(0), "restart_limit"),
        (
            valid().with_on_inconclusive(Reaction::Ignore),
            "on_inconclusive",
        ),
        (valid().with_metric(named("")), "metrics[5].name"),
        (valid().with_metric(named("5xx")), "metrics[5].name"),
        (valid().with_metric(named("a b")), "metrics[5].name"),
        (
            valid().with_metric(named(&"x".repeat(101))),
            "metrics[5].name",
        ),
        (valid().with_metric(named("p99")), "metrics[5].name"),
        (
            valid().with_metric(named("x").with_weight(0.0)),
            "metrics[5].weight",
        ),
        (
            valid().with_metric(named("x").with_weight(f64::NAN)),
            "metrics[5].weight",
        ),
        (
            valid().with_metric(named("x").with_weight(f64::INFINITY)),
            "metrics[5].weight",
        ),
        (
            valid().with_metric(Metric::new(
                "x",
                Signal::Query(" ".to_owned()),
                Limits::fail(1.0),
            )),
            "metrics[5].signal.query",
        ),
        (
            valid().with_metric(Metric::new("x", p99(), Limits::fail(0.5))),
            "metrics[5].limits.fail",
        ),
        (
            valid().with_judge(thresholds(config().with_min_requests(0))),
            "judges[3].thresholds.min_requests",
        ),
        (
            valid().with_judge(thresholds(config().with_good_in_row(0))),
            "judges[3].thresholds.good_in_row",
        ),
        (
            valid().with_judge(thresholds(config().with_bad_in_row(0))),
            "judges[3].thresholds.bad_in_row",
        ),
        (
            valid().with_judge(JudgeConfig::Own(String::new())),
            "judges[3].own",
        ),
        (
            Policy::builder().with_judge(JudgeConfig::Classic(ClassicConfig::default())),
            "judges[0].classic",
        ),
    ];
    for (builder, key) in table {
        let error = builder.build().expect_err(key);
        assert_eq!(error.key, key, "{error}");
    }
}

#[cfg(not(feature = "rules"))]
#[test]
fn rules_without_the_feature_are_refused_by_its_name() {
    let error = Policy::builder()
        .with_judge(JudgeConfig::Rules(Vec::new()))
        .build()
        .unwrap_err();
    assert!(error.to_string().contains("its feature `rules`"), "{error}");
}

#[test]
fn broken_json_is_shown_where_it_is() {
    // The place is that of the value.
    for (text, line, column, key, message) in [
        ("{", 1, 1, "", "EOF while parsing"),
        ("{\n  \"interval\": \"30s\",\n}", 3, 1, "", "trailing comma"),
        ("{} x", 1, 4, "", "trailing characters"),
        (
            "{\n  \"intervall\": \"30s\"\n}",
            2,
            16,
            "intervall",
            "unknown field `intervall`",
        ),
        (
            "{\n  \"interval\": 30\n}",
            2,
            15,
            "interval",
            "invalid type: integer `30`",
        ),
        (
            "{\n  \"interval\": \"30\"\n}",
            2,
            15,
            "interval",
            "`30` is not a duration",
        ),
        (
            "{\n  \"interval\": \"2h\"\n}",
            2,
            15,
            "interval",
            "`2h` is out of range",
        ),
        (
            "{\n  \"restart_limit\": -1\n}",
            2,
            20,
            "restart_limit",
            "invalid value",
        ),
        (
            "{\n  \"on_crash\": \"panic\"\n}",
            2,
            15,
            "on_crash",
            "unknown variant `panic`",
        ),
        (
            "{\"metrics\": [\n  {\"name\": \"e\", \"limits\": {}}\n]}",
            2,
            3,
            "metrics[0].signal",
            "is missing",
        ),
        (
            "{\"metrics\": [\n  {\"name\": \"e\",\n   \"signal\": \"error_rate\",\n   \"limits\": {}}\n]}",
            4,
            14,
            "metrics[0].limits.fail",
            "is missing; write a share",
        ),
        (
            "{\"metrics\": [\n {\"name\": \"e\", \"signal\": \"error_rate\",\n  \"limits\": {\"fail\": 0.01}}]}",
            3,
            22,
            "metrics[0].limits.fail",
            "`0.01` does not fit the metric's signal; write a share with a percent sign",
        ),
        (
            "{\"metrics\": [{\"name\": \"e\", \"signal\": {\"latency\": 99},\n \"limits\": {}}]}",
            1,
            50,
            "metrics[0].signal.latency",
            "`99` is not a quantile",
        ),
        (
            "{\"judges\": [\n  {\"thresholds\": {\"min_requests\": 0}}]}",
            2,
            35,
            "judges[0].thresholds.min_requests",
            "is 0",
        ),
        (
            "{\"judges\": [\n  {\"classic\": {}}]}",
            2,
            15,
            "judges[0].classic",
            "needs a metric that the policy lacks; add one with `signal: success_rate`",
        ),
    ] {
        let error = config::from_json::<Policy>(text).expect_err(text);
        let place = (error.line, error.column, error.key.as_str());
        assert_eq!(place, (line, column, key), "{text}\n{error}");
        assert!(error.message.starts_with(message), "{text}\n{error}");
    }
}

#[cfg(feature = "yaml")]
mod yaml {
    use codedance_core::config;
    use codedance_core::decision::Policy;
    use codedance_core::plan::Plan;

    use super::valid;

    const GOOD: &str = "\
# What is watched on the way to production.
interval: 1s 500ms
on_inconclusive: rollback
metrics:
  - name: errors
    signal: error_rate
    limits: {fail: 1%}
    critical: true
    weight: 2.5
  - name: success
    signal: success_rate
    limits:
      warn: 99.9%
      fail: 99.5%
      crit: 95%
  - name: p99
    signal: {latency: 0.99}
    limits: {fail: 500ms}
  - name: cpu
    signal: {query: cpu}
    limits: {warn: 0.6, fail: 0.8, crit: 1}
    required: false
  - name: hits
    signal: {query: hits}
    limits:
      below: {fail: 0.9}
judges:
  - thresholds: {inconclusive_limit: 20}
  - classic: {}
  - own: sre
";

    #[test]
    fn a_policy_is_read_from_yaml() {
        let policy: Policy = config::from_yaml(GOOD).unwrap();
        assert_eq!(policy, valid().build().unwrap());
        // JSON is YAML too.
        let json = serde_json::to_string_pretty(&policy).unwrap();
        assert_eq!(config::from_yaml::<Policy>(&json).unwrap(), policy);
    }

    #[test]
    fn broken_yaml_is_shown_where_it_is() {
        for (find, replace, line, key, message) in [
            (
                "interval: 1s 500ms",
                "interval: 30",
                2,
                "interval",
                "`30` is not a duration",
            ),
            (
                "interval: 1s 500ms",
                "interval: 2h",
                2,
                "interval",
                "`2h` is out of range",
            ),
            (
                "interval:",
                "intervall:",
                2,
                "intervall",
                "unknown field `intervall`",
            ),
            (
                "on_inconclusive: rollback",
                "on_inconclusive: ignore",
                3,
                "on_inconclusive",
                "`ignore`",
            ),
            (
                "on_inconclusive: rollback",
                "interval: 1s",
                3,
                "",
                "the key `interval` is there twice",
            ),
            (
                "{fail: 1%}",
                "{fail: 1}",
                7,
                "metrics[0].limits.fail",
                "`1` does not fit",
            ),
            (
                "{fail: 1%}",
                "{fail: 101%}",
                7,
                "metrics[0].limits.fail",
                "`101%` is out of range",
            ),
            (
                "{fail: 1%}",
                "{fial: 1%}",
                7,
                "metrics[0].limits.fial",
                "unknown field `fial`",
            ),
            (
                "weight: 2.5",
                "weight: -2",
                9,
                "metrics[0].weight",
                "`-2` is no weight",
            ),
            (
                "    signal: success_rate\n",
                "",
                10,
                "metrics[1].signal",
                "is missing",
            ),
            (
                "warn: 99.9%",
                "warn: 99%",
                13,
                "metrics[1].limits.warn",
                "lies beyond `fail`",
            ),
            (
                "crit: 95%",
                "crit: soon",
                15,
                "metrics[1].limits.crit",
                "`soon` is not a limit",
            ),
            (
                "latency: 0.99",
                "latency: 99",
                17,
                "metrics[2].signal.latency",
                "`99` is not a quantile",
            ),
            (
                "name: cpu",
                "name: p99",
                19,
                "metrics[3].name",
                "another metric is called `p99`",
            ),
            (
                "required: false",
                "required: perhaps",
                22,
                "metrics[3].required",
                "invalid bool",
            ),
            (
                "below: {fail: 0.9}",
                "below: {fail: 0}",
                26,
                "metrics[4].limits.below.crit",
                "is missing",
            ),
            (
                "{inconclusive_limit: 20}",
                "{good_in_row: 0}",
                28,
                "judges[0].thresholds.good_in_row",
                "is 0; write 1 or more",
            ),
            (
                "- own: sre",
                "- your: sre",
                30,
                "judges[2]",
                "unknown variant `your`",
            ),
            ("- own: sre", "- own: ''", 30, "judges[2].own", "is empty"),
            ("judges:", "judges: [", 27, "", ""),
        ] {
            assert!(GOOD.contains(find), "{find}");
            let text = GOOD.replacen(find, replace, 1);
            let error = config::from_yaml::<Policy>(&text).expect_err(replace);
            if !message.is_empty() {
                assert_eq!(
                    (error.line, error.key.as_str()),
                    (line, key),
                    "{replace}: {error}"
                );
                assert!(error.message.starts_with(message), "{replace}: {error}");
            }
            assert!(error.line <= 31 && error.column > 0);
            let shown = error.in_file("policy.yaml").to_string();
            assert!(shown.starts_with("policy.yaml, line "), "{shown}");
        }
    }

    #[cfg(feature = "rules")]
    #[test]
    fn a_broken_rule_is_shown_where_it_is() {
        let text = "\
metrics:
  - {name: errors, signal: error_rate, limits: {fail: 1%}}
judges:
  - rules:
      - name: fine
        when: canary.errors > 100
        then: hold
      - name: broken
        when: canary.erors > 100
        then: rollback
";
        let error = config::from_yaml::<Policy>(text).unwrap_err();
        let place = (error.line, error.column, error.key.as_str());
        assert_eq!(place, (9, 9, "judges[0].rules[1].when"), "{error}");
        assert!(config::from_yaml::<Policy>(&text.replace("erors", "errors")).is_ok());
    }

    #[test]
    fn plans_are_read_the_same_way() {
        let error = config::from_yaml::<Plan>("stages: 5").unwrap_err();
        assert_eq!((error.line, error.key.as_str()), (1, "stages"), "{error}");
    }
}
