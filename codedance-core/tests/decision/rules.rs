//! Rules in CEL.

use codedance_core::decision::{
    JudgeConfig, Policy, PolicyBuilder, RuleAction, RuleConfig,
    Verdict::{Advance, Hold, Rollback},
};
use codedance_core::metrics::{Reading, Sample};
use codedance_core::workload::GroupStatus;

use super::support::{Watcher, cpu, errors, slow, why};

fn rule(name: &str, when: &str, then: RuleAction) -> RuleConfig {
    RuleConfig {
        name: name.to_owned(),
        when: when.to_owned(),
        then,
    }
}

fn policy(rules: Vec<RuleConfig>) -> PolicyBuilder {
    Policy::builder()
        .with_metric(errors())
        .with_metric(slow())
        .with_metric(cpu())
        .with_judge(JudgeConfig::Rules(rules))
}

fn readings() -> [Reading; 3] {
    let counts = |bad, total| Sample::Counts { bad, total };
    let quantile = |value| Sample::Quantile { value, count: 500 };
    [
        Reading::new("errors", counts(41, 803), counts(10, 5_000)),
        Reading::new("p99", quantile(0.8), quantile(0.2)),
        Reading::new("cpu", Sample::Gauge(0.5), Sample::Gauge(0.25)),
    ]
}

#[test]
fn rules_speak_of_both_sides() {
    for (when, holds) in [
        (
            "canary.error_rate > 2.0 * stable.error_rate && canary.requests > 100",
            true,
        ),
        (
            "canary.error_rate > 2.0 * stable.error_rate && canary.requests > 1000",
            false,
        ),
        ("canary.errors == 41 && stable.requests == 5000", true),
        ("canary.latency_p99 > 3.0 * stable.latency_p99", true),
        ("canary.p99 == canary.latency_p99", true),
        ("canary[\"cpu\"] >= 2.0 * stable.cpu", true),
        ("weight < 10.5 && weight > 9.5", true),
        ("baked > 60", false),
        ("canary.ready < canary.desired || canary.failed > 0", true),
        ("[canary.cpu, stable.cpu].exists(x, x > 0.4)", true),
        ("has(canary.cpu) ? canary.cpu > 0.9 : false", false),
        ("!(canary.restarts > 0)", true),
    ] {
        let mut watcher = Watcher::new(policy(vec![rule("r", when, RuleAction::Rollback)]));
        let canary = GroupStatus::new(3, 2);
        let assessment = watcher.look_with(&readings(), |e| e.canary = canary);
        let want = if holds { Rollback } else { Advance };
        assert_eq!(assessment.verdict, want, "{when}: {}", why(&assessment));
        if holds {
            assert_eq!(why(&assessment), format!("the rule r holds: {when}"));
        }
    }
}

#[test]
fn the_worst_of_several_rules_counts() {
    let (hot, slow) = ("canary.cpu > 0.4", "canary.p99 > 0.5");
    let rules = vec![
        rule("hot", hot, RuleAction::Hold),
        rule("slow", slow, RuleAction::Rollback),
    ];
    let assessment = Watcher::new(policy(rules.clone())).look(&readings());
    assert_eq!(assessment.verdict, Rollback);
    assert_eq!(why(&assessment), "the rule slow holds: canary.p99 > 0.5");
    assert_eq!(
        Watcher::new(policy(rules[..1].to_vec()))
            .look(&readings())
            .verdict,
        Hold
    );
}

#[test]
fn a_rule_without_its_data_holds_and_says_what_is_missing() {
    for (when, sentence) in [
        (
            "canary.error_rate > 0.5 && canary.p99 > 9.0",
            "the rule r could not be evaluated: canary.error_rate has no data",
        ),
        (
            "1 / (canary.ready - canary.desired) > 0",
            "the rule r could not be evaluated: ",
        ),
    ] {
        let mut watcher = Watcher::new(policy(vec![rule("r", when, RuleAction::Rollback)]));
        let assessment = watcher.look(&readings()[1..]);
        assert_eq!(assessment.verdict, Hold, "{when}");
        assert!(
            why(&assessment).starts_with(sentence),
            "{}",
            why(&assessment)
        );
    }
    // A rule that asks first goes without.
    let asks = rule(
        "r",
        "has(canary.errors) && canary.errors > 9",
        RuleAction::Rollback,
    );
    assert_eq!(Watcher::new(policy(vec![asks])).look(&[]).verdict, Advance);
}

#[test]
fn rules_are_checked_when_the_policy_is_made() {
    for (when, key, problem) in [
        (
            "canary.error_rate >",
            "when",
            "is no expression, from character 20 on: ",
        ),
        ("", "when", "is no expression"),
        (
            "canary.nope > 1.0",
            "when",
            "`canary.nope` is not known; there are requests, errors, ",
        ),
        // Also where it would not be evaluated.
        (
            "false && canary.nope > 1.0",
            "when",
            "`canary.nope` is not known",
        ),
        (
            "stable[\"nope\"] > 1.0",
            "when",
            "`stable.nope` is not known",
        ),
        (
            "canary[canary.errors] > 1.0",
            "when",
            "write the name of a field in quotes",
        ),
        (
            "kanary.errors > 1",
            "when",
            "`kanary` is not known; there are canary.NAME, ",
        ),
        (
            "canary == stable",
            "when",
            "`canary` by itself is not a number; write canary.NAME",
        ),
        (
            "canary.errors",
            "when",
            "is a whole number, not true or false; compare it",
        ),
        (
            "canary.ready > 0 && canary.errors",
            "when",
            "is a whole number, not true or false",
        ),
        (
            "canary.error_rate > 2 * stable.error_rate",
            "when",
            "calculates with a whole number and a number with a point; write",
        ),
        (
            "canary.ready > 0 || frobnicate(canary.errors)",
            "when",
            "`frobnicate` is not a function",
        ),
        ("canary.errors > \"many\"", "when", "cannot be evaluated: "),
    ] {
        let built = policy(vec![rule("r", when, RuleAction::Hold)]).build();
        let error = built.expect_err(when);
        assert_eq!(error.key, format!("judges[0].rules[0].{key}"), "{when}");
        assert!(error.problem.starts_with(problem), "{when}: {error}");
    }
    let twice = vec![rule("r", "true", RuleAction::Hold); 2];
    for (rules, key) in [
        (vec![], "judges[0].rules"),
        (twice, "judges[0].rules[1].name"),
        (
            vec![rule(" ", "true", RuleAction::Hold)],
            "judges[0].rules[0].name",
        ),
    ] {
        assert_eq!(policy(rules).build().unwrap_err().key, key);
    }
}
