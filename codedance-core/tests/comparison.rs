//! A rollout that goes back because its canary is worse than the stable revision, within every limit.

mod driven;

use std::time::Duration;

use codedance_core::decision::{Limits, Metric, Policy, Reason};
use codedance_core::metrics::{Reading, Sample, Signal};
use codedance_core::plan::{Linear, Strategy};
use codedance_core::rollout::{Cause, Next, Outcome, Rollout, Waiting};
use codedance_core::workload::{Revision, Workload, WorkloadName};
use codedance_core::{Percent, Timestamp};

use driven::Driven;

fn v(name: &str) -> Revision {
    Revision::new(name).unwrap()
}

/// At most 5 % errors, which nobody here has; a look each minute.
fn rollout() -> Driven {
    let limits = Limits::fail(Percent::new(5).unwrap());
    let policy = Policy::builder()
        .with_metric(Metric::new("errors", Signal::ErrorRate, limits))
        .with_interval(Duration::from_secs(60))
        .build()
        .unwrap();
    let name = WorkloadName::new("shop").unwrap();
    let plan = Linear::new(Duration::from_secs(600))
        .plan(&Workload::new(name, v("v1"), v("v2"), 20))
        .unwrap();
    let at = Timestamp::from_millis(1_790_000_000_000);
    Driven::new(Rollout::new(plan, policy, at), &v("v1"), 20)
}

/// Goes on until the rollout ends: so many of so many bad at each look, the canary's first. Tells how many looks
/// it took.
fn run(driven: &mut Driven, [canary, stable]: [(u64, u64); 2]) -> usize {
    let count = |(bad, total)| Sample::Counts { bad, total };
    let mut looks = 0;
    while driven.next_look().is_some() {
        driven.look(|intervals| {
            let past = vec![count(stable); intervals];
            vec![Reading::new("errors", count(canary), count(stable)).with_history(past)]
        });
        driven.restore();
        looks += 1;
    }
    looks
}

#[test]
fn it_says_what_both_sides_showed_and_what_that_is_worth() {
    let mut driven = rollout();
    let looks = run(&mut driven, [(6, 1_000), (38, 19_000)]) as u64;
    let Next::Finished(Outcome::RolledBack(Cause::Judged(reasons))) = driven.rollout.next() else {
        panic!("{}", driven.rollout.explain());
    };
    let [Reason::CanaryWorse(comparison)] = reasons.as_slice() else {
        panic!("{reasons:?}");
    };
    let counts = [
        (comparison.canary_bad, comparison.canary_total),
        (comparison.stable_bad, comparison.stable_total),
    ];
    let all = [(6, 1_000), (38, 19_000)].map(|(bad, total)| (bad * looks, total * looks));
    assert_eq!(counts, all);
    assert!(comparison.one_in >= 100, "{comparison}");

    let explanation = driven.rollout.explain();
    assert!(matches!(explanation.waiting_for, Waiting::Nothing(_)));
    let sentence = explanation.to_string();
    let expected = format!(
        "the rollout is over: rolled back because errors: canary {} of {looks},000 bad, stable {} of {},000; \
         odds that a healthy canary would look this bad at any time during this rollout: below 1 in ",
        6 * looks,
        38 * looks,
        19 * looks,
    );
    let odds = sentence.strip_prefix(&expected).expect(&sentence);
    assert_eq!(odds.replace(',', ""), comparison.one_in.to_string());
}

#[test]
fn a_canary_that_is_no_worse_is_promoted() {
    let mut driven = rollout();
    run(&mut driven, [(2, 1_000), (38, 19_000)]);
    assert_eq!(driven.rollout.next(), Next::Finished(Outcome::Completed));
}
