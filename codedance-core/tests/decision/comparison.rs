//! Canary against stable, over all looks together.

use codedance_core::decision::{
    Assessment, JudgeConfig, Limits, Metric, Policy, PolicyBuilder, Reaction, Reason,
    SequentialConfig, ThresholdsConfig, Verdict,
};
use codedance_core::metrics::{Histogram, Reading, Sample, Signal};

use crate::support::{Watcher, p99, percent};

/// Only the comparison decides: no limit is ever broken.
fn policy(metric: Metric, config: SequentialConfig) -> PolicyBuilder {
    let judge = ThresholdsConfig::default()
        .with_good_in_row(1)
        .with_sequential(config);
    Policy::builder()
        .with_metric(metric)
        .with_judge(JudgeConfig::Thresholds(judge))
}

fn errors() -> Metric {
    Metric::new("errors", Signal::ErrorRate, Limits::fail(percent(100.0)))
}

fn latency() -> Metric {
    Metric::new(
        "p99",
        p99(),
        Limits::fail(std::time::Duration::from_secs(3_600)),
    )
}

fn cpu() -> Metric {
    let signal = Signal::Query("cpu".to_owned());
    Metric::new("cpu", signal, Limits::fail(1e6))
}

const fn counts(bad: u64, total: u64) -> Sample {
    Sample::Counts { bad, total }
}

/// 50 bad ones of 10,000 a minute, for an hour.
fn calm() -> Vec<Sample> {
    vec![counts(50, 10_000); 60]
}

fn histogram(counts: [u64; 4]) -> Sample {
    Sample::Histogram(Histogram::new(vec![0.1, 0.25, 1.0], counts).unwrap())
}

/// Looks until the verdict is another than `verdict`, at most `most` times.
fn until_not(
    watcher: &mut Watcher,
    verdict: Verdict,
    most: usize,
    reading: impl Fn(usize) -> Reading,
) -> (usize, Assessment) {
    for look in 1..most {
        let assessment = watcher.look(&[reading(look)]);
        if assessment.verdict != verdict {
            return (look, assessment);
        }
    }
    (most, watcher.look(&[reading(most)]))
}

/// Errors doubled, long before any limit is reached.
#[test]
fn twice_the_errors_are_found() {
    let mut watcher = Watcher::new(policy(errors(), SequentialConfig::default()));
    let reading = |look| {
        let reading = Reading::new("errors", counts(10, 1_000), counts(45, 9_000));
        if look == 1 {
            reading.with_history(calm())
        } else {
            reading
        }
    };
    let mut suspected = false;
    for look in 1..30 {
        let assessment = watcher.look(&[reading(look)]);
        let reasons = &assessment.reasons;
        suspected |= assessment.verdict == Verdict::Hold
            && matches!(reasons[..], [Reason::CanarySuspect(_)]);
        if assessment.verdict != Verdict::Rollback {
            continue;
        }
        assert!(suspected, "it looked worse before it was sure");
        let [Reason::CanaryWorse(comparison)] = &reasons[..] else {
            panic!("{reasons:?}");
        };
        let counted = (comparison.canary_bad, comparison.canary_total);
        assert_eq!(counted, (10 * look as u64, 1_000 * look as u64));
        assert!(comparison.one_in >= 100);
        let text = format!(
            "errors: canary {} of {},000 bad, stable {} of {},000; odds that a healthy canary would look \
             this bad at any time during this rollout: below 1 in {}",
            10 * look,
            look,
            45 * look,
            9 * look,
            comparison.one_in
        );
        assert_eq!(comparison.to_string(), text);
        assert!(look < 20, "{look}");
        return;
    }
    panic!("never found");
}

/// What breaks on both sides at once is no fault of the canary's.
#[test]
fn an_incident_on_both_sides_convicts_nobody() {
    let mut watcher = Watcher::new(policy(errors(), SequentialConfig::default()));
    for minute in 0..60_u64 {
        let times = if (20..25).contains(&minute) { 20 } else { 1 };
        let canary = counts(5 * times + minute % 3, 1_000);
        let mut reading = Reading::new("errors", canary, counts(53 * times, 9_000));
        if minute == 0 {
            reading = reading.with_history(calm());
        }
        let assessment = watcher.look(&[reading]);
        assert_ne!(
            assessment.verdict,
            Verdict::Rollback,
            "{:?}",
            assessment.reasons
        );
    }
}

#[test]
fn without_a_past_much_is_assumed() {
    let looks = |past: Vec<Sample>| {
        let mut watcher = Watcher::new(policy(errors(), SequentialConfig::default()));
        let reading = |look| {
            let reading = Reading::new("errors", counts(100, 10_000), counts(450, 90_000));
            if look == 1 {
                reading.with_history(past.clone())
            } else {
                reading
            }
        };
        let mut looks = 1;
        while watcher.look(&[reading(looks)]).verdict != Verdict::Rollback {
            looks += 1;
        }
        looks
    };
    let (with, without) = (looks(calm()), looks(Vec::new()));
    assert!(with < without && without < 20, "{with} {without}");
}

/// The same of a latency: what is known of its past counts at every watched bound.
#[test]
fn without_its_past_more_is_assumed_of_a_latency() {
    let steady = || histogram([5_000, 4_000, 950, 50]);
    let looks = |past: usize| {
        let mut watcher = Watcher::new(policy(latency(), SequentialConfig::default()));
        let reading = |look| {
            let reading = Reading::new("p99", histogram([420, 450, 124, 6]), steady());
            if look == 1 {
                reading.with_history(vec![steady(); past])
            } else {
                reading
            }
        };
        let mut looks = 1;
        while watcher.look(&[reading(looks)]).verdict != Verdict::Rollback {
            looks += 1;
        }
        looks
    };
    let (known, unknown) = (looks(60), looks(1));
    println!("{known} looks with a past, {unknown} without");
    assert!(2 * known < unknown && unknown < 60, "{known} {unknown}");
}

#[test]
fn slower_requests_are_found_in_their_histogram() {
    let past = vec![histogram([5_000, 4_000, 950, 50]); 60];
    let find = |canary: [u64; 4]| {
        let mut watcher = Watcher::new(policy(latency(), SequentialConfig::default()));
        let (_, assessment) = until_not(&mut watcher, Verdict::Advance, 60, |look| {
            let reading =
                Reading::new("p99", histogram(canary), histogram([5_000, 4_000, 950, 50]));
            if look == 1 {
                reading.with_history(past.clone())
            } else {
                reading
            }
        });
        let (_, assessment) = match assessment.verdict {
            Verdict::Hold => until_not(&mut watcher, Verdict::Hold, 60, |_| {
                Reading::new("p99", histogram(canary), histogram([5_000, 4_000, 950, 50]))
            }),
            _ => (0, assessment),
        };
        assessment
    };
    // The same shape on a tenth of the traffic.
    assert_eq!(find([500, 400, 95, 5]).verdict, Verdict::Advance);
    // All requests a third slower; then one in fifty very slow.
    for (canary, bound) in [
        ([330, 500, 165, 5], "slower than 100 ms"),
        ([490, 395, 95, 20], "slower than 1 s"),
    ] {
        let assessment = find(canary);
        assert_eq!(assessment.verdict, Verdict::Rollback, "{canary:?}");
        let text = assessment.reasons[0].to_string();
        assert!(text.contains(bound), "{text}");
    }
}

#[test]
fn histograms_that_do_not_match_are_not_compared() {
    let other = Sample::Histogram(Histogram::new(vec![0.2, 0.5], [0, 0, 1_000]).unwrap());
    let mut watcher = Watcher::new(policy(latency(), SequentialConfig::default()));
    let past = vec![histogram([500, 400, 95, 5]); 60];
    let (looks, assessment) = until_not(&mut watcher, Verdict::Advance, 40, |look| {
        let reading = Reading::new("p99", other.clone(), histogram([500, 400, 95, 5]));
        if look == 1 {
            reading.with_history(past.clone())
        } else {
            reading
        }
    });
    assert_eq!((looks, assessment.verdict), (40, Verdict::Advance));
}

#[test]
fn a_value_that_is_always_worse_holds_or_does_what_the_policy_says() {
    let run = |config: SequentialConfig, canary: fn(usize) -> f64| {
        let mut watcher = Watcher::new(policy(cpu(), config));
        until_not(&mut watcher, Verdict::Advance, 60, |look| {
            Reading::new("cpu", Sample::Gauge(canary(look)), Sample::Gauge(10.0))
        })
    };
    let default = SequentialConfig::default();
    let (looks, assessment) = run(default, |_| 11.0);
    assert_eq!(assessment.verdict, Verdict::Hold);
    assert!((9..14).contains(&looks), "{looks}");
    let text = assessment.reasons[0].to_string();
    assert!(
        text.starts_with("cpu was worse on the canary's side at so many looks"),
        "{text}"
    );

    let (_, assessment) = run(default.with_gauges(Reaction::Rollback), |_| 11.0);
    assert_eq!(assessment.verdict, Verdict::Rollback);
    let (_, assessment) = run(default.with_gauges(Reaction::Ignore), |_| 11.0);
    assert_eq!(assessment.verdict, Verdict::Advance);
    // Within the tolerance, and now and then worse.
    assert_eq!(run(default, |_| 10.2).1.verdict, Verdict::Advance);
    assert_eq!(
        run(default, |look| [11.0, 9.0][look % 2]).1.verdict,
        Verdict::Advance
    );
}

#[test]
fn proof_is_waited_for_where_it_is_wanted() {
    let run = |bad: u64| {
        let mut watcher = Watcher::new(policy(errors(), SequentialConfig::default().confirmed()));
        until_not(&mut watcher, Verdict::Hold, 60, |look| {
            let reading = Reading::new("errors", counts(bad, 1_000), counts(45, 9_000));
            if look == 1 {
                reading.with_history(calm())
            } else {
                reading
            }
        })
    };
    let (looks, healthy) = run(5);
    assert_eq!(healthy.verdict, Verdict::Advance);
    assert!((3..30).contains(&looks), "{looks}");
    // Nothing is proven of one with half as many more, and one with twice as many is sent back.
    assert_eq!(run(10).1.verdict, Verdict::Rollback);

    let mut watcher = Watcher::new(policy(errors(), SequentialConfig::default().confirmed()));
    let first = watcher.look(&[Reading::new("errors", counts(5, 1_000), counts(45, 9_000))]);
    let [Reason::NotProven { metric, have, need }] = &first.reasons[..] else {
        panic!("{:?}", first.reasons);
    };
    assert!(metric == "errors" && have < need && *need == 20.0);
    // Each stage wants its own proof.
    watcher.stage = 0;
    let reading = || Reading::new("errors", counts(5, 1_000), counts(45, 9_000));
    let (_, proven) = until_not(&mut watcher, Verdict::Hold, 60, |_| reading());
    assert_eq!(proven.verdict, Verdict::Advance);
    watcher.stage = 1;
    assert_eq!(watcher.look(&[reading()]).verdict, Verdict::Hold);
}

#[test]
fn once_convicted_always_convicted() {
    let mut watcher = Watcher::new(policy(errors(), SequentialConfig::default()));
    let bad = |_| Reading::new("errors", counts(100, 1_000), counts(45, 9_000));
    until_not(&mut watcher, Verdict::Hold, 60, bad);
    watcher.stage = 1;
    for _ in 0..50 {
        let good = Reading::new("errors", counts(0, 100_000), counts(4_500, 900_000));
        let assessment = watcher.look(&[good]);
        assert_eq!(assessment.verdict, Verdict::Rollback);
    }
}

#[test]
fn it_can_be_switched_off() {
    let judge = ThresholdsConfig::default()
        .with_good_in_row(1)
        .with_sequential(None);
    let policy = Policy::builder()
        .with_metric(errors())
        .with_judge(JudgeConfig::Thresholds(judge));
    let mut watcher = Watcher::new(policy);
    let (looks, assessment) = until_not(&mut watcher, Verdict::Advance, 40, |_| {
        Reading::new("errors", counts(100, 1_000), counts(45, 9_000))
    });
    assert_eq!((looks, assessment.verdict), (40, Verdict::Advance));
}

#[test]
fn what_cannot_be_is_refused() {
    for (config, message) in [
        (
            SequentialConfig::default().with_alpha(0.0),
            "sequential.alpha: `0` is out of range",
        ),
        (
            SequentialConfig::default().with_alpha(f64::NAN),
            "sequential.alpha: `NaN` is out of range",
        ),
        (
            SequentialConfig::default().with_tolerance(0.9),
            "sequential.tolerance: `0.9` is out of range",
        ),
    ] {
        let error = policy(errors(), config).build().unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}
