//! The table of decisions, and how looks are counted.

use std::time::Duration;

use codedance_core::decision::{
    JudgeConfig, Limits, Metric, Policy, PolicyBuilder, Reaction, ThresholdsConfig,
    Verdict::{self, Advance, Hold, Rollback},
};
use codedance_core::metrics::{Sample, Signal};
use codedance_core::workload::GroupStatus;
use codedance_core::{ErrorKind, Failure, Timestamp};

use super::support::{Watcher, cpu, errors, gauge, latency, percent, rate, slow, why};

fn policy() -> PolicyBuilder {
    Policy::builder().with_metric(errors())
}

fn with(config: ThresholdsConfig) -> PolicyBuilder {
    policy().with_judge(JudgeConfig::Thresholds(config))
}

fn verdicts(watcher: &mut Watcher, looks: &[(u64, u64)]) -> Vec<Verdict> {
    let look = |(bad, total): &(u64, u64)| watcher.look(&[rate(*bad, *total)]).verdict;
    looks.iter().map(look).collect()
}

const GOOD: (u64, u64) = (0, 1_000);
const BAD: (u64, u64) = (50, 1_000);
const NONE: (u64, u64) = (0, 0);
/// 1.7 %, where 1 % is allowed; but it may be chance.
const DOUBT: (u64, u64) = (1, 60);

#[test]
fn three_good_looks_in_a_row_advance_and_three_bad_ones_roll_back() {
    for (looks, want) in [
        (vec![GOOD, GOOD, GOOD], vec![Hold, Hold, Advance]),
        (vec![BAD, BAD, BAD], vec![Hold, Hold, Rollback]),
        // Neither a bad look nor one without data may stand in between.
        (
            vec![GOOD, GOOD, BAD, GOOD, GOOD, GOOD],
            vec![Hold, Hold, Hold, Hold, Hold, Advance],
        ),
        (
            vec![GOOD, GOOD, NONE, GOOD, GOOD, GOOD],
            vec![Hold, Hold, Hold, Hold, Hold, Advance],
        ),
        // Absence does not end a row of bad looks, a good one does.
        (vec![BAD, BAD, NONE, BAD], vec![Hold, Hold, Hold, Rollback]),
        (vec![BAD, BAD, GOOD, BAD], vec![Hold, Hold, Hold, Hold]),
        // Doubt neither advances nor rolls back.
        (vec![GOOD, GOOD, DOUBT, GOOD], vec![Hold, Hold, Hold, Hold]),
        (vec![BAD, BAD, DOUBT], vec![Hold, Hold, Hold]),
        (vec![NONE; 200], vec![Hold; 200]),
        // Having advanced is no privilege.
        (
            vec![GOOD, GOOD, GOOD, GOOD, BAD, NONE],
            vec![Hold, Hold, Advance, Advance, Hold, Hold],
        ),
    ] {
        let mut watcher = Watcher::new(policy());
        assert_eq!(verdicts(&mut watcher, &looks), want, "{looks:?}");
    }
}

#[test]
fn more_than_five_bad_looks_of_a_stage_roll_back_however_far_apart() {
    let mut watcher = Watcher::new(policy());
    let looks: Vec<_> = [BAD, GOOD].into_iter().cycle().take(11).collect();
    let mut want = vec![Hold; 10];
    want.push(Rollback);
    assert_eq!(verdicts(&mut watcher, &looks), want);

    // A new stage starts the count again, and so do twenty judged looks.
    let mut watcher = Watcher::new(policy());
    verdicts(&mut watcher, &looks[..10]);
    watcher.stage = 1;
    assert_eq!(verdicts(&mut watcher, &[BAD]), [Hold]);
    verdicts(&mut watcher, &looks[1..9]);
    verdicts(&mut watcher, &[GOOD; 20]);
    assert_eq!(
        verdicts(&mut watcher, &[BAD, GOOD, BAD]),
        [Hold, Hold, Hold]
    );
}

#[test]
fn a_new_stage_earns_its_good_looks_anew() {
    let mut watcher = Watcher::new(policy());
    assert_eq!(verdicts(&mut watcher, &[GOOD; 3]), [Hold, Hold, Advance]);
    watcher.stage = 1;
    assert_eq!(verdicts(&mut watcher, &[GOOD; 3]), [Hold, Hold, Advance]);
}

#[test]
fn one_error_is_no_proof() {
    // Flagger's example would call each of these looks a failure; 1 % is not shown to be exceeded.
    let mut watcher = Watcher::new(policy());
    for _ in 0..60 {
        let assessment = watcher.look(&[rate(1, 50)]);
        assert_ne!(assessment.verdict, Rollback);
        watcher.look(&[rate(0, 50)]);
    }
    // But every request lost is.
    let mut watcher = Watcher::new(policy());
    assert_eq!(verdicts(&mut watcher, &[(5, 5); 3]), [Hold, Hold, Rollback]);
}

#[test]
fn thin_looks_are_put_together_and_count_once() {
    // Ten requests a look: the fifth look is the first that can be judged.
    let mut watcher = Watcher::new(policy());
    let verdicts_ = verdicts(&mut watcher, &[(0, 10); 15]);
    assert_eq!(verdicts_.iter().position(|v| *v == Advance), Some(14));
    // From then on thin looks in between keep the verdict while all is well, and not when it is not.
    assert_eq!(verdicts(&mut watcher, &[(0, 10), (1, 10)]), [Advance, Hold]);

    // One spell of errors, spread over three looks, is one bad look.
    let mut watcher = Watcher::new(policy());
    let spell = [(0, 10), (1, 10), (1, 10), (1, 10), (0, 10)];
    let later = [(0, 10); 40];
    assert!(verdicts(&mut watcher, &spell).iter().all(|v| *v == Hold));
    assert!(
        verdicts(&mut watcher, &later)
            .iter()
            .all(|v| *v != Rollback)
    );
}

#[test]
fn a_regression_that_starts_late_is_not_diluted() {
    // An hour of good looks, then 5 % errors: three looks are enough, at any look's length.
    let mut watcher = Watcher::new(policy());
    verdicts(&mut watcher, &[GOOD; 60]);
    assert_eq!(verdicts(&mut watcher, &[BAD; 3]), [Hold, Hold, Rollback]);

    let mut watcher = Watcher::new(policy());
    verdicts(&mut watcher, &[(0, 10); 3_600]);
    let looks = verdicts(&mut watcher, &[(2, 10); 20]);
    let found = looks.iter().position(|v| *v == Rollback);
    assert!(found.is_some_and(|looks| looks < 15), "{looks:?}");
}

#[test]
fn a_metric_that_waits_for_another_is_not_diluted_either() {
    let policy = policy().with_metric(slow());
    let mut watcher = Watcher::new(policy);
    for _ in 0..1_000 {
        // Errors have a thousand requests a look, latencies none.
        watcher.look(&[rate(0, 1_000), latency(0.1, 0)]);
    }
    let look = |watcher: &mut Watcher| watcher.look(&[rate(60, 1_000), latency(0.1, 0)]).verdict;
    assert_eq!([(); 3].map(|()| look(&mut watcher)), [Hold, Hold, Rollback]);
}

#[test]
fn a_rate_in_doubt_gathers_until_it_is_certain() {
    // 3 % errors of 50 requests a look: hardly any look by itself could tell.
    let looks = [(2, 50), (1, 50)];
    let mut watcher = Watcher::new(policy());
    let mut verdict = Hold;
    for (bad, total) in looks.into_iter().cycle().take(60) {
        verdict = watcher.look(&[rate(bad, total)]).verdict;
        assert_ne!(verdict, Advance);
        if verdict == Rollback {
            break;
        }
    }
    assert_eq!(verdict, Rollback);
}

#[test]
fn a_rate_in_doubt_is_at_best_at_its_limit() {
    let limits = Limits::fail(percent(3.0))
        .with_warn(percent(1.0))
        .with_crit(percent(20.0));
    let metric = Metric::new("errors", Signal::ErrorRate, limits);
    for (bad, low, high) in [
        (1, 100.0, 100.0),
        (2, 75.0, 75.0),
        (4, 47.06, 50.0),
        (8, 35.29, 35.29),
    ] {
        let mut watcher = Watcher::new(Policy::builder().with_metric(metric.clone()));
        let score = watcher.look(&[rate(bad, 100)]).score;
        assert_eq!(
            (score.low.points(), score.high.points()),
            (low, high),
            "{bad} of 100"
        );
    }
}

#[test]
fn a_critical_metric_as_bad_as_can_be_needs_no_third_look() {
    let all_bad = (1_000, 1_000);
    for (looks, want) in [
        (vec![all_bad, all_bad], vec![Hold, Rollback]),
        (vec![all_bad, GOOD, all_bad], vec![Hold, Hold, Hold]),
        (vec![all_bad, NONE, all_bad], vec![Hold, Hold, Rollback]),
        // Too few requests to say so.
        (vec![(9, 9), (9, 9)], vec![Hold, Hold]),
    ] {
        let metric = errors().critical();
        let mut watcher = Watcher::new(Policy::builder().with_metric(metric));
        let got = verdicts(&mut watcher, &looks);
        assert_eq!(got, want, "{looks:?}");
    }
}

#[test]
fn crashes_are_read_as_the_policy_says() {
    let healthy = GroupStatus::new(3, 3);
    for (canary, sentence) in [
        (
            healthy.with_failed(1),
            "1 replica of the canary ended or cannot start",
        ),
        (
            healthy.with_restarts(3),
            "replicas of the canary restarted 3 times, and the limit is 3",
        ),
    ] {
        for (reaction, want) in [
            (Reaction::Rollback, Rollback),
            (Reaction::Hold, Hold),
            (Reaction::Ignore, Advance),
        ] {
            let config = ThresholdsConfig::default().with_good_in_row(1);
            let policy = with(config).with_on_crash(reaction).build().unwrap();
            let mut watcher = Watcher::of(&policy);
            let assessment = watcher.look_with(&[rate(0, 100)], |e| e.canary = canary);
            assert_eq!(assessment.verdict, want, "{reaction:?}");
            let fault = policy.fault(canary).unwrap();
            assert_eq!(fault.to_string(), sentence);
            if reaction != Reaction::Ignore {
                assert_eq!(assessment.reasons[0], fault);
            }
        }
    }
    let policy = policy().build().unwrap();
    assert_eq!(policy.fault(healthy.with_restarts(2)), None);
}

#[test]
fn none_ready_is_a_crash_after_the_grace() {
    let policy = policy().with_grace(Duration::from_secs(120));
    let mut watcher = Watcher::new(policy);
    let mut look = |ready| {
        let canary = GroupStatus::new(3, ready);
        watcher.look_with(&[rate(0, 100)], |e| e.canary = canary)
    };
    let got = [0, 0, 1, 0, 0, 0].map(|ready| look(ready).verdict);
    assert_eq!(got, [Hold, Hold, Advance, Hold, Hold, Rollback]);
    assert_eq!(
        why(&look(0)),
        "none of the canary's 3 replicas has been ready for 3m"
    );
    // Without traffic it is merely being started.
    let mut watcher = Watcher::new(Policy::builder().with_metric(errors()));
    for _ in 0..9 {
        let canary = GroupStatus::new(3, 0);
        let assessment = watcher.look_with(&[], |e| {
            e.canary = canary;
            e.weight = codedance_core::Percent::ZERO;
        });
        assert_eq!(assessment.verdict, Hold);
    }
}

#[test]
fn a_source_that_fails_holds_and_is_counted() {
    let failure = Failure::new(ErrorKind::Timeout, "failed to query Prometheus (timed out)");
    let mut watcher = Watcher::new(policy());
    verdicts(&mut watcher, &[BAD, BAD]);
    for _ in 0..5 {
        assert_eq!(watcher.fail(&failure).verdict, Hold);
    }
    assert_eq!(
        why(&watcher.fail(&failure)),
        "the metrics could not be read, 6 times in a row: failed to query Prometheus (timed out)"
    );
    // It has not ended the row of bad looks, and a window that could not be read may be read again.
    assert_eq!(
        watcher.look_again(&[rate(50, 1_000)], |_| {}).verdict,
        Rollback
    );
}

#[test]
fn too_many_unclear_looks_lead_where_the_policy_says() {
    for (reaction, want) in [(Reaction::Hold, Hold), (Reaction::Rollback, Rollback)] {
        let config = ThresholdsConfig::default().with_inconclusive_limit(3);
        let mut watcher = Watcher::new(with(config).with_on_inconclusive(reaction));
        assert_eq!(verdicts(&mut watcher, &[NONE; 3]), [Hold; 3]);
        let assessment = watcher.look(&[]);
        assert_eq!(assessment.verdict, want);
        assert_eq!(why(&assessment), "4 looks in a row could not tell");
    }
}

#[test]
fn old_samples_are_no_samples() {
    let mut watcher = Watcher::new(policy().with_interval(Duration::from_secs(60)));
    // The window ends at 120 s.
    for (taken, want) in [(0, true), (-1, false)] {
        let at = Timestamp::from_millis(60_000 + taken);
        watcher.minute = 2;
        let mut reading = rate(0, 100);
        reading.at = Some(at);
        watcher.memory = Default::default();
        let assessment = watcher.look_again(&[reading], |_| {});
        assert_eq!(
            assessment.metrics[0].canary.is_some(),
            want,
            "{}",
            why(&assessment)
        );
    }
    let mut stale = rate(0, 100);
    stale.at = Some(Timestamp::EPOCH);
    assert_eq!(
        why(&watcher.look(&[stale])),
        "the newest sample of errors is 4m old"
    );
}

#[test]
fn the_same_window_is_not_counted_twice() {
    let mut once = Watcher::new(policy());
    let mut often = Watcher::new(policy());
    for (bad, total) in [
        GOOD,
        BAD,
        (0, 10),
        (1, 10),
        BAD,
        NONE,
        GOOD,
        GOOD,
        GOOD,
        BAD,
        BAD,
        BAD,
    ] {
        let readings = [rate(bad, total)];
        let first = once.look(&readings);
        assert_eq!(often.look(&readings), first);
        assert_eq!(often.look_again(&readings, |_| {}), first);
        assert_eq!(often.look_again(&readings, |_| {}), first);
    }
}

#[test]
fn optional_metrics_widen_the_score_and_required_ones_hold() {
    for (metric, want) in [(cpu(), Hold), (cpu().optional().with_weight(0.2), Advance)] {
        let config = ThresholdsConfig::default().with_good_in_row(1);
        let mut watcher = Watcher::new(with(config).with_metric(metric));
        let assessment = watcher.look(&[rate(0, 100)]);
        assert_eq!(assessment.verdict, want);
        assert!(assessment.score.low < assessment.score.high);
        assert_eq!(assessment.score.high.points(), 100.0);
    }
    // What is optional and heavy keeps the score from being good.
    let config = ThresholdsConfig::default().with_good_in_row(1);
    let mut watcher = Watcher::new(with(config).with_metric(cpu().optional()));
    assert_eq!(
        why(&watcher.look(&[rate(0, 100)])),
        "the score of 50–100 is neither good nor bad enough to decide"
    );
}

#[test]
fn the_score_is_the_mean_by_weight_with_caps() {
    let latency_only = |weight, critical| {
        let metric = slow().with_weight(weight);
        if critical { metric.critical() } else { metric }
    };
    // Latency 0.75 s scores 25, the gauge 0.7 scores 75, no errors score 100.
    for (weight, critical, seconds, points) in [
        (1.0, false, 0.75, (25.0 + 75.0 + 100.0) / 3.0),
        (2.0, false, 0.75, (50.0 + 75.0 + 100.0) / 4.0),
        (1.0, true, 0.75, 49.0),
        (1.0, true, 1.0, 0.0),
        (1.0, false, 1.0, 175.0 / 3.0),
        (1.0, true, 0.5, 275.0 / 3.0),
    ] {
        let policy = policy()
            .with_metric(latency_only(weight, critical))
            .with_metric(cpu());
        let mut watcher = Watcher::new(policy);
        let readings = [rate(0, 100), latency(seconds, 100), gauge(0.7)];
        let score = watcher.look(&readings).score;
        assert_eq!(score.low, score.high);
        assert!(
            (score.low.points() - points).abs() < 0.01,
            "{score} is not {points}"
        );
    }
}

#[test]
fn success_rates_are_judged_from_below() {
    let metric = Metric::new("errors", Signal::SuccessRate, Limits::fail(percent(99.9)));
    let mut watcher = Watcher::new(Policy::builder().with_metric(metric));
    // Exactly 99.9 % is within the limit.
    assert_eq!(
        verdicts(&mut watcher, &[(1, 1_000); 3]),
        [Hold, Hold, Advance]
    );
    let assessment = watcher.look(&[rate(41, 803)]);
    assert_eq!(
        why(&assessment),
        "errors is 94.89 % (762 of 803 requests), below its limit of 99.9 %"
    );
    assert_eq!(assessment.metrics[0].canary, Some(762.0 / 803.0));
}

#[test]
fn latencies_need_requests_and_queries_do_not() {
    let policy = Policy::builder().with_metric(slow()).with_metric(cpu());
    let mut watcher = Watcher::new(policy.clone());
    let assessment = watcher.look(&[latency(9.0, 49), gauge(0.1)]);
    assert_eq!(
        why(&assessment),
        "p99 has 49 of the 50 requests that it needs"
    );
    let assessment = watcher.look(&[latency(f64::INFINITY, 1), gauge(0.1)]);
    assert!(
        why(&assessment).starts_with("p99 is"),
        "{}",
        why(&assessment)
    );
    let mut watcher = Watcher::new(policy);
    let assessment = watcher.look(&[latency(0.1, 100), gauge(f64::INFINITY)]);
    assert_eq!(
        why(&assessment),
        "cpu is beyond all measure, above its limit of 0.8"
    );
}

#[test]
fn readings_are_found_by_name_and_unknown_ones_ignored() {
    let policy = Policy::builder().with_metric(errors()).with_metric(slow());
    let mut watcher = Watcher::new(policy);
    let mut stranger = gauge(1e9);
    stranger.stable = Sample::Gauge(1.0);
    let assessment = watcher.look(&[latency(0.1, 100), stranger, rate(0, 100)]);
    assert_eq!(assessment.score.low.points(), 100.0);
}

#[test]
fn quick_looks_catch_a_bad_canary_and_pass_a_good_one() {
    // A look a second at 20 requests each, from a fixed generator: half the limit, then five times it.
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut bad_of_20 = |p: f64| (0..20).filter(|_| next() < p).count() as u64;
    let (mut healthy, mut caught) = (0, 0);
    for _ in 0..200 {
        let mut watcher = Watcher::new(policy());
        let looks: Vec<_> = (0..300).map(|_| (bad_of_20(0.005), 20)).collect();
        let verdicts_ = verdicts(&mut watcher, &looks);
        healthy += usize::from(!verdicts_.contains(&Rollback) && verdicts_.contains(&Advance));
        let looks: Vec<_> = (0..60).map(|_| (bad_of_20(0.05), 20)).collect();
        caught += usize::from(verdicts(&mut watcher, &looks).contains(&Rollback));
    }
    assert!(healthy >= 195, "{healthy} of 200 healthy canaries passed");
    assert!(caught >= 198, "{caught} of 200 bad canaries were caught");
}
