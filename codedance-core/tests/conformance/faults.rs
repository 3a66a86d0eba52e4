//! What [`Faulty`] does to a port.

use std::time::Duration;

use codedance_core::memory::{MemoryExecutor, MemoryRouter};
use codedance_core::rollout::Action;
use codedance_core::testing::Faulty;
use codedance_core::traffic::{Split, TrafficRouter};
use codedance_core::workload::Executor;
use codedance_core::{ErrorKind, Percent};

use crate::memory::{revision, router_world};

fn split(percent: u32) -> Split {
    Split::new(
        revision("v1"),
        revision("v2"),
        Percent::new(percent).unwrap(),
    )
}

async fn kinds(faulty: &Faulty<MemoryRouter>) -> Vec<Option<ErrorKind>> {
    let mut kinds = Vec::new();
    for percent in 0..100 {
        kinds.push(
            faulty
                .apply(&split(percent))
                .await
                .err()
                .map(|error| error.kind()),
        );
    }
    kinds
}

#[tokio::test]
async fn a_seed_repeats_its_faults_and_another_has_others() {
    let share = Percent::new(20).unwrap();
    let faulty = |seed| {
        Faulty::new(router_world(), seed)
            .with_errors(share)
            .with_lost_replies(share)
    };
    let (first, again, other) = (faulty(1), faulty(1), faulty(2));
    let met = kinds(&first).await;
    assert_eq!(kinds(&again).await, met);
    assert_ne!(kinds(&other).await, met);
    for kind in [ErrorKind::Unavailable, ErrorKind::Timeout] {
        let count = met.iter().filter(|met| **met == Some(kind)).count();
        assert!((5..40).contains(&count), "{count} × {kind} of 100 at 20 %");
    }
    assert_eq!(first.faults(), met.iter().flatten().count() as u64);
}

#[tokio::test]
async fn an_error_does_nothing_a_lost_reply_does_it_a_duplicate_does_it_twice() {
    let always = Percent::HUNDRED;
    let errors = Faulty::new(router_world(), 0).with_errors(always);
    errors.apply(&split(5)).await.unwrap_err();
    assert!(errors.inner().history().is_empty());

    let lost = Faulty::new(router_world(), 0).with_lost_replies(always);
    assert_eq!(
        lost.apply(&split(5)).await.unwrap_err().kind(),
        ErrorKind::Timeout
    );
    assert_eq!(lost.inner().history(), [split(5)]);

    let twice = Faulty::new(MemoryExecutor::new(), 0).with_duplicates(always);
    twice.retire(&revision("v1")).await.unwrap();
    let retire = || Action::Retire(revision("v1"));
    assert_eq!(twice.inner().effects(), [retire(), retire()]);
}

#[tokio::test]
async fn what_is_broken_fails_until_it_is_healed() {
    let faulty = Faulty::new(router_world(), 0).with_errors(Percent::HUNDRED);
    faulty.break_with(ErrorKind::Denied);
    assert_eq!(
        faulty.observe().await.unwrap_err().kind(),
        ErrorKind::Denied
    );
    faulty.heal();
    faulty.observe().await.unwrap();
    assert_eq!(faulty.faults(), 1);
}

#[tokio::test(start_paused = true)]
async fn delays_pass_on_the_clock_of_the_runtime() {
    let longest = Duration::from_secs(10);
    let faulty = Faulty::new(router_world(), 0).with_delays(Percent::HUNDRED, longest);
    let begun = tokio::time::Instant::now();
    for _ in 0..20 {
        faulty.observe().await.unwrap();
    }
    let passed = begun.elapsed();
    assert!(passed > longest && passed < 20 * longest, "{passed:?}");
}
