//! What wrappers add to the ports that they wrap.
#![cfg(feature = "memory")]

use std::sync::Arc;
use std::time::Duration;

use codedance_core::memory::{MemoryExecutor, MemoryMetrics, MemoryRouter};
use codedance_core::metrics::{MetricQuery, MetricsSource, Question, Sample, Signal, Window};
use codedance_core::rollout::Action;
use codedance_core::traffic::{Capability, CohortKey, Split, TrafficRouter};
use codedance_core::workload::{Executor, Fleet, Group, Progress, Revision};
use codedance_core::wrapper::{All, DryRun, Failover};
use codedance_core::{ErrorKind, Failure, Percent, Timestamp};

fn revision(name: &str) -> Revision {
    Revision::new(name).unwrap()
}

fn fleet(stable: u32, canary: u32) -> Fleet {
    let group = |name, count| Group {
        revision: revision(name),
        replicas: Some(count),
    };
    Fleet {
        stable: group("v1", stable),
        canary: group("v2", canary),
    }
}

fn split(percent: u32) -> Split {
    Split::new(
        revision("v1"),
        revision("v2"),
        Percent::new(percent).unwrap(),
    )
}

fn question(signal: Signal) -> Question {
    let window = Window::new(Timestamp::EPOCH, Timestamp::from_millis(60_000));
    let metrics = vec![MetricQuery::new("errors", signal)];
    Question {
        stable: revision("v1"),
        canary: revision("v2"),
        metrics,
        window,
        history: None,
    }
}

fn two_executors() -> (MemoryExecutor, MemoryExecutor, All<MemoryExecutor>) {
    let (a, b) = (MemoryExecutor::new(), MemoryExecutor::new());
    let all = All::new("paris", a.clone()).with("tokyo", b.clone());
    (a, b, all)
}

#[tokio::test]
async fn a_stage_is_reached_when_every_member_has_reached_it() {
    let (_, tokyo, all) = two_executors();
    tokyo.hold_ready();
    let v2 = revision("v2");
    let growing = all.scale(&fleet(0, 3)).await.unwrap().of(&v2);
    assert_eq!(
        (growing.desired, growing.ready, growing.not_ready),
        (3, 0, 3)
    );
    tokyo.make_ready(&v2, 2);
    assert_eq!(all.status().await.unwrap().of(&v2).ready, 2);
    tokyo.make_ready(&v2, 1);
    let grown = all.status().await.unwrap().of(&v2);
    assert_eq!((grown.desired, grown.ready, grown.not_ready), (3, 3, 0));
}

#[tokio::test]
async fn a_member_that_drifts_shows_whichever_way_it_drifts() {
    for drifted in [1, 5] {
        for first in [true, false] {
            let (paris, tokyo, all) = two_executors();
            all.scale(&fleet(3, 0)).await.unwrap();
            let (v1, member) = (revision("v1"), if first { paris } else { tokyo });
            member.scale_outside(&v1, drifted);
            let seen = all.status().await.unwrap().of(&v1);
            assert_eq!(seen.desired, drifted, "a member went from 3 to {drifted}");
            assert_eq!(seen.ready, drifted.min(3));
            assert_eq!(seen.ready + seen.not_ready, drifted.max(3));
        }
    }
}

#[tokio::test]
async fn what_went_wrong_anywhere_is_summed() {
    let (paris, tokyo, all) = two_executors();
    all.scale(&fleet(3, 0)).await.unwrap();
    let v1 = revision("v1");
    paris.crash(&v1, 2);
    tokyo.crash(&v1, 1);
    paris.set_restarts(&v1, 4);
    tokyo.set_restarts(&v1, 3);
    let status = all.status().await.unwrap().of(&v1);
    assert_eq!((status.ready, status.failed, status.restarts), (1, 3, 7));
}

#[tokio::test]
async fn a_failure_names_the_member_and_a_retry_reaches_the_rest() {
    let (paris, tokyo, all) = two_executors();
    tokyo.set_unknown(&revision("v2"));
    let failure = Failure::from(&all.scale(&fleet(1, 2)).await.unwrap_err());
    assert_eq!(failure.kind, ErrorKind::NotFound);
    assert!(
        failure.message.contains("tokyo: ") && !failure.message.contains("paris"),
        "{failure}"
    );
    assert_eq!(
        paris.effects(),
        [Action::Scale(fleet(1, 2))],
        "every member is tried"
    );
    assert!(tokyo.effects().is_empty());
}

#[tokio::test]
async fn a_promotion_is_done_when_it_is_done_everywhere() {
    let (_, tokyo, all) = two_executors();
    tokyo.promotion_takes(1);
    let v2 = revision("v2");
    let waiting = all.promote(&v2).await.unwrap();
    assert!(
        matches!(&waiting, Progress::Pending(on) if on.starts_with("tokyo: ")),
        "{waiting:?}"
    );
    assert_eq!(all.promote(&v2).await.unwrap(), Progress::Done);
}

#[tokio::test]
async fn routers_together_can_do_what_each_can_do() {
    let capability = |points, seconds| {
        let granularity = Percent::from_basis_points(points).unwrap();
        Capability::new(granularity, Duration::from_secs(seconds)).with_cohorts(true)
    };
    let router = |capability| MemoryRouter::new(split(0)).with_capability(capability);
    let (fourths, sixths) = (router(capability(400, 1)), router(capability(600, 3)));
    let all = All::new("a", fourths.clone()).with("b", sixths.clone());
    assert_eq!(all.capability(), capability(1_200, 3));
    let refused = all.apply(&split(8)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert!(
        fourths.history().is_empty(),
        "a split that one cannot do reaches none"
    );

    let apart = All::new("a", router(capability(9_999, 0))).with("b", sixths);
    assert_eq!(apart.capability().granularity, Percent::HUNDRED);
    let without = router(capability(100, 0).with_cohorts(false));
    let cohort = split(12).with_cohort(Some(CohortKey::ClientAddress));
    let mixed = All::new("a", fourths).with("b", without);
    assert_eq!(
        mixed.apply(&cohort).await.unwrap_err().kind(),
        ErrorKind::Unsupported
    );
}

#[tokio::test]
async fn a_router_that_drifts_is_seen_also_after_a_restart() {
    let routers = [(); 3].map(|()| MemoryRouter::new(split(20)));
    let all = |[a, b, c]: [MemoryRouter; 3]| All::new("a", a).with("b", b).with("c", c);
    let before = all(routers.clone());
    before.apply(&split(30)).await.unwrap();
    assert_eq!(before.observe().await.unwrap(), split(30));
    for place in 0..3 {
        before.apply(&split(30)).await.unwrap();
        routers[place].set_outside(split(50));
        let restarted = all(routers.clone());
        for all in [&before, &restarted] {
            assert_eq!(
                all.observe().await.unwrap(),
                split(50),
                "member {place} drifted"
            );
        }
    }
}

#[tokio::test]
async fn different_adapters_move_together_behind_one_pointer() {
    let (real, pretended) = (MemoryExecutor::new(), DryRun::new(MemoryExecutor::new()));
    let all = All::<Arc<dyn Executor>>::new("real", Arc::new(real))
        .with("pretended", Arc::new(pretended));
    assert_eq!(
        all.scale(&fleet(2, 1))
            .await
            .unwrap()
            .of(&revision("v1"))
            .ready,
        2
    );
}

#[tokio::test]
async fn a_second_source_answers_when_the_first_fails_but_not_when_it_has_no_data() {
    let query = || question(Signal::Query("up".to_owned()));
    let second = || MemoryMetrics::error_rate(0.5, 0.0);
    let silent = Failover::new("silent", MemoryMetrics::no_data()).or("second", second());
    let read = silent.measure(&question(Signal::ErrorRate)).await.unwrap();
    assert_eq!(read[0].canary, Sample::NoData);

    let failing = Failover::new("first", second()).or("second", MemoryMetrics::no_data());
    assert_eq!(
        failing.measure(&query()).await.unwrap()[0].canary,
        Sample::NoData
    );

    let hopeless = Failover::new("first", second()).or("second", second());
    let failure = Failure::from(&hopeless.measure(&query()).await.unwrap_err());
    assert_eq!(failure.kind, ErrorKind::Unsupported);
    assert!(
        failure.message.contains("first: ") && failure.message.contains("second: "),
        "{failure}"
    );
}

#[tokio::test]
async fn a_dry_run_writes_down_and_changes_nothing() {
    let world = MemoryExecutor::new().with_running(&revision("v1"), 3);
    let routes = MemoryRouter::new(split(0));
    let executor = DryRun::new(world.clone());
    let router = DryRun::beside(&executor, routes.clone());

    let untouched = executor.status().await.unwrap();
    assert_eq!(
        untouched.of(&revision("v1")).ready,
        3,
        "the real world shows"
    );
    let scaled = executor.scale(&fleet(3, 2)).await.unwrap();
    assert_eq!(
        scaled.of(&revision("v2")).ready,
        2,
        "the pretended world shows on top"
    );
    executor.scale(&fleet(3, 2)).await.unwrap();
    router.apply(&split(50)).await.unwrap();
    assert_eq!(router.observe().await.unwrap(), split(50));
    assert_eq!(
        executor.promote(&revision("v2")).await.unwrap(),
        Progress::Done
    );
    assert_eq!(
        executor.retire(&revision("v1")).await.unwrap(),
        Progress::Done
    );
    assert_eq!(
        executor.status().await.unwrap().of(&revision("v1")).ready,
        0
    );

    let planned = [
        Action::Scale(fleet(3, 2)),
        Action::Route(split(50)),
        Action::Promote(revision("v2")),
        Action::Retire(revision("v1")),
    ];
    assert_eq!(executor.planned(), planned);
    assert_eq!(router.planned(), planned, "one list for both");
    assert!(world.effects().is_empty() && routes.history().is_empty());
    assert_eq!(world.status().await.unwrap(), untouched);
}
