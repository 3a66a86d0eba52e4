//! Judges that only look on.

use std::sync::Arc;

use codedance_core::config;
use codedance_core::decision::{
    ArgoConfig, Assessment, Evidence, FlaggerConfig, Judge, JudgeConfig, KayentaConfig, Memory,
    Policy, PolicyBuilder, Reason, ScoreRange, ThresholdsConfig,
    Verdict::{self, Advance, Hold, Rollback},
};

use super::support::{Watcher, errors, rate, slow, why};

fn flagger() -> JudgeConfig {
    JudgeConfig::Flagger(FlaggerConfig::default())
}

fn thresholds() -> JudgeConfig {
    JudgeConfig::Thresholds(ThresholdsConfig::default())
}

fn kayenta() -> JudgeConfig {
    JudgeConfig::Kayenta(KayentaConfig::default().with_interval(1))
}

fn policy() -> PolicyBuilder {
    Policy::builder().with_metric(errors())
}

fn verdicts(assessment: &Assessment) -> Vec<(&str, Verdict)> {
    let each = assessment.onlookers.iter();
    each.map(|onlooker| (onlooker.judge.as_str(), onlooker.verdict))
        .collect()
}

#[test]
fn what_an_onlooker_says_is_recorded_and_counts_for_nothing() {
    let looked_on = policy().with_judge(thresholds()).with_onlooker(flagger());
    let (mut with, mut without) = (
        Watcher::new(looked_on),
        Watcher::new(policy().with_judge(thresholds())),
    );
    for (bad, theirs) in [(0, Advance), (1, Advance), (9, Rollback), (0, Rollback)] {
        let readings = [rate(bad, 100)];
        let (with, mut without) = (with.look(&readings), without.look(&readings));
        assert_eq!(verdicts(&with), [("flagger", theirs)]);
        assert!(without.onlookers.is_empty());
        without.onlookers = with.onlookers.clone();
        without.memory = with.memory.clone();
        assert_eq!(with, without);
    }
}

#[test]
fn an_onlooker_gives_its_score_and_its_reasons() {
    let assessment = Watcher::new(policy().with_onlooker(flagger())).look(&[rate(9, 100)]);
    let theirs = &assessment.onlookers[0];
    assert_eq!(theirs.score.high.points(), 0.0);
    assert_eq!(
        theirs.reasons[0].to_string(),
        "errors is 9 % (9 of 100 requests), above its limit of 1 %"
    );
    let json = serde_json::to_string(&assessment).unwrap();
    let mut read: Assessment = serde_json::from_str(&json).unwrap();
    read.memory = assessment.memory.clone();
    assert_eq!(read, assessment);
}

#[test]
fn onlookers_alone_leave_the_default_judge_in_its_place() {
    let mut watcher = Watcher::new(policy().with_onlooker(flagger()));
    let (bad, good) = ([rate(90, 100)], [rate(0, 100)]);
    assert_eq!(watcher.look(&bad).verdict, Hold);
    assert!(why(&watcher.look(&good)).contains("good looks in a row"));
}

#[test]
fn onlookers_remember_what_they_saw_apart_from_the_judges() {
    let built = policy()
        .with_judge(flagger())
        .with_onlooker(JudgeConfig::Flagger(
            FlaggerConfig::default().with_threshold(3),
        ))
        .with_onlooker(kayenta())
        .with_onlooker(JudgeConfig::Argo(ArgoConfig::default()));
    let mut watcher = Watcher::new(built);
    let seen: Vec<Vec<Verdict>> = [0, 9, 9, 9]
        .map(|bad| {
            let assessment = watcher.look(&[rate(bad, 100)]);
            verdicts(&assessment).into_iter().map(|(_, v)| v).collect()
        })
        .to_vec();
    // There is nothing to compare with: Kayenta rolls back for want of data.
    assert_eq!(
        seen,
        [
            [Advance, Rollback, Advance],
            [Hold, Rollback, Rollback],
            [Hold, Rollback, Rollback],
            [Rollback, Rollback, Rollback],
        ]
    );
}

#[test]
fn an_onlooker_that_is_added_later_leaves_the_judges_memory_alone() {
    let mut watcher = Watcher::new(policy().with_judge(thresholds()));
    let good = [rate(0, 100)];
    watcher.look(&good);
    watcher.look(&good);
    let later = policy().with_judge(thresholds()).with_onlooker(flagger());
    watcher.judge = later.build().unwrap().judge(&[]);
    let third = watcher.look(&good);
    assert_eq!(
        (third.verdict, verdicts(&third)),
        (Advance, vec![("flagger", Advance)])
    );
}

/// Rolls back, always.
#[derive(Debug)]
struct Grim;

impl Judge for Grim {
    fn name(&self) -> &str {
        "grim"
    }

    fn assess(&self, evidence: &Evidence<'_>) -> Assessment {
        let looks: u32 = evidence.memory.recall();
        let reason = Reason::Other(format!("never liked it, look {looks}"));
        Assessment::new(Rollback, vec![reason])
            .with_score(ScoreRange::UNKNOWN)
            .with_memory(Memory::of(&(looks + 1)))
    }
}

#[test]
fn a_judge_of_the_users_own_may_look_on() {
    let built = policy()
        .with_onlooker(JudgeConfig::Own("grim".to_owned()))
        .build()
        .unwrap();
    let mut watcher = Watcher::of(&built);
    let absent = watcher.look(&[rate(0, 100)]);
    assert_eq!(verdicts(&absent), [("grim", Hold)]);
    watcher.judge = built.judge(&[Arc::new(Grim)]);
    watcher.look(&[rate(0, 100)]);
    let present = watcher.look(&[rate(0, 100)]);
    assert_eq!(
        (present.verdict, verdicts(&present)),
        (Advance, vec![("grim", Rollback)])
    );
    let reason = present.onlookers[0].reasons[0].to_string();
    assert_eq!(reason, "never liked it, look 1");
}

#[test]
fn onlookers_are_written_and_read_back() {
    let text = r#"{
        "metrics": [{"name": "errors", "signal": "error_rate", "limits": {"fail": "1%"}}],
        "judges": [{"flagger": {"threshold": 10}}],
        "onlookers": [{"thresholds": {}}, {"kayenta": {"interval": 1}}]
    }"#;
    let read: Policy = config::from_json(text).unwrap();
    let made = policy()
        .with_judge(JudgeConfig::Flagger(
            FlaggerConfig::default().with_threshold(10),
        ))
        .with_onlooker(thresholds())
        .with_onlooker(kayenta())
        .build()
        .unwrap();
    assert_eq!(read, made);
    assert_eq!(read.onlookers(), [thresholds(), kayenta()]);
    let json = serde_json::to_string(&read).unwrap();
    assert_eq!(config::from_json::<Policy>(&json).unwrap(), read);
    assert!(
        !serde_json::to_string(&Policy::default())
            .unwrap()
            .contains("onlookers")
    );
}

#[cfg(feature = "yaml")]
#[test]
fn a_broken_onlooker_is_shown_where_it_is() {
    let text = "\
metrics:
  - {name: errors, signal: error_rate, limits: {fail: 1%}}
judges:
  - thresholds: {}
onlookers:
  - kayenta:
      metrics:
        errors: {direction: increase}
  - argo:
      metrics:
        errors: {failure_limit: null}
  - flagger: {threshold: 0}
";
    let error = config::from_yaml::<Policy>(text).unwrap_err();
    assert_eq!(
        (error.line, error.key.as_str()),
        (12, "onlookers[2].flagger.threshold"),
        "{error}"
    );
    assert!(config::from_yaml::<Policy>(&text.replace("threshold: 0", "threshold: 5")).is_ok());
}

#[test]
fn onlookers_with_nothing_to_look_at_are_refused() {
    let own = JudgeConfig::Own("grim".to_owned());
    let alone = Policy::builder().with_onlooker(own.clone());
    let error = alone.build().unwrap_err();
    assert_eq!(error.key, "onlookers");
    assert!(error.problem.contains("under `metrics`"), "{error}");
    let beside = Policy::builder().with_judge(own.clone()).with_onlooker(own);
    assert!(beside.build().is_ok());
    let wrong = policy().with_onlooker(JudgeConfig::Own(String::new()));
    assert_eq!(wrong.build().unwrap_err().key, "onlookers[0].own");
    let wrong = policy()
        .with_metric(slow())
        .with_onlooker(JudgeConfig::Kayenta(
            KayentaConfig::default().with_interval(0),
        ));
    assert_eq!(
        wrong.build().unwrap_err().key,
        "onlookers[0].kayenta.interval"
    );
}
