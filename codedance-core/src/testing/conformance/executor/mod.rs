//! What every executor must do.

mod roles;
mod scaling;

use std::time::Duration;

use async_trait::async_trait;
use roles::{
    a_retired_revision_is_gone, a_second_promotion_changes_nothing,
    a_second_retirement_changes_nothing, promotion_ends, promotion_keeps_what_serves,
    retirement_leaves_the_others, retiring_what_is_not_there_is_done, roles_follow_the_fleet,
};
use scaling::{
    a_dropped_call_leaves_a_usable_state, a_replica_that_cannot_start_harms_no_other,
    a_replica_that_cannot_start_is_failed_not_an_error,
    a_revision_that_does_not_exist_never_serves, an_unmanaged_count_is_left_alone,
    looking_changes_nothing, scaling_answers_with_what_is_there, scaling_down_removes,
    scaling_goes_on_where_the_world_is, scaling_is_a_desired_end, scaling_returns_without_waiting,
    scaling_twice_is_once, unnamed_revisions_are_left_alone,
};

use super::{Clause, done};
use crate::workload::{Executor, Fleet, FleetStatus, Group, Progress, Revision};

/// The world of an executor under test, new for each test.
///
/// At the beginning nothing may be there of [`canary`](Self::canary), [`other`](Self::other),
/// [`broken`](Self::broken) and [`missing`](Self::missing); of [`stable`](Self::stable) there may be
/// replicas, as where an executor needs something to start from. The suite scales to at most two
/// replicas of each.
///
/// Not tested, because it takes real requests: that a replica which is scaled away finishes what it has.
#[async_trait]
pub trait ExecutorHarness: Send + Sync {
    /// What is tested.
    fn executor(&self) -> &dyn Executor;

    /// A revision that starts. Default `v1`.
    fn stable(&self) -> Revision {
        revision("v1")
    }

    /// Another that starts. Default `v2`.
    fn canary(&self) -> Revision {
        revision("v2")
    }

    /// A third that starts. Default `v3`.
    fn other(&self) -> Revision {
        revision("v3")
    }

    /// One that is there but cannot start: its process exits at once, its image cannot be run.
    fn broken(&self) -> Revision;

    /// One that does not exist: no template, no image.
    fn missing(&self) -> Revision;

    /// Takes one replica of the revision away behind the executor's back: kills the process, deletes the
    /// pod.
    async fn disturb(&self, revision: &Revision);

    /// Lets the world move on between two looks. A real back end sleeps a little.
    async fn settle(&self) {}

    /// How many looks, with [`settle`](Self::settle) between them, the world is given to get anywhere.
    /// Default 100.
    fn patience(&self) -> usize {
        100
    }

    /// How long a call takes at the very most that does not wait for replicas. Default 10 s.
    fn promptness(&self) -> Duration {
        Duration::from_secs(10)
    }
}

fn revision(name: &str) -> Revision {
    Revision::new(name).unwrap_or_else(|error| panic!("{error}"))
}

/// One test for each clause of the contract of [`Executor`]: `executor_conformance!(harness)`, where
/// `harness` is the path of an `async fn() -> impl ExecutorHarness`.
#[doc(hidden)]
#[macro_export]
macro_rules! __executor_conformance {
    ($(#[$attribute:meta])* $harness:path) => {
        $crate::__executor_clauses! {
            __clause_tests ($(#[$attribute])*) EXECUTOR ExecutorHarness $harness,
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __executor_clauses {
    ($then:ident $($given:tt)*) => {
        $crate::$then! { $($given)* [
            scaling_is_a_desired_end
            scaling_twice_is_once
            scaling_returns_without_waiting
            scaling_answers_with_what_is_there
            scaling_down_removes
            scaling_goes_on_where_the_world_is
            an_unmanaged_count_is_left_alone
            unnamed_revisions_are_left_alone
            a_replica_that_cannot_start_is_failed_not_an_error
            a_replica_that_cannot_start_harms_no_other
            a_revision_that_does_not_exist_never_serves
            looking_changes_nothing
            a_dropped_call_leaves_a_usable_state
            roles_follow_the_fleet
            promotion_ends
            promotion_keeps_what_serves
            a_second_promotion_changes_nothing
            a_retired_revision_is_gone
            retirement_leaves_the_others
            a_second_retirement_changes_nothing
            retiring_what_is_not_there_is_done
        ] }
    };
}

/// The clauses of [`Executor`].
pub static EXECUTOR: &[Clause<dyn ExecutorHarness>] = crate::__executor_clauses!(__clause_table);

type Harness = dyn ExecutorHarness;

/// `stable` and `canary` replicas of the harness's two revisions.
fn fleet(harness: &Harness, stable: u32, canary: u32) -> Fleet {
    Fleet {
        stable: Group {
            revision: harness.stable(),
            replicas: Some(stable),
        },
        canary: Group {
            revision: harness.canary(),
            replicas: Some(canary),
        },
    }
}

async fn scale(harness: &Harness, fleet: &Fleet) -> FleetStatus {
    done(harness.executor().scale(fleet).await, "scale")
}

async fn status(harness: &Harness) -> FleetStatus {
    done(harness.executor().status().await, "status")
}

/// Whether every count of the fleet is there and nothing else moves.
fn is_there(status: &FleetStatus, fleet: &Fleet) -> bool {
    [&fleet.stable, &fleet.canary].into_iter().all(|group| {
        let there = status.of(&group.revision);
        group.replicas.is_none_or(|wanted| {
            there.desired == wanted && there.ready == wanted && there.not_ready == 0
        })
    })
}

/// Looks until what is there satisfies `enough`.
async fn wait(harness: &Harness, what: &str, enough: impl Fn(&FleetStatus) -> bool) -> FleetStatus {
    let mut seen = status(harness).await;
    for _ in 0..harness.patience() {
        if enough(&seen) {
            return seen;
        }
        harness.settle().await;
        seen = status(harness).await;
    }
    assert!(
        enough(&seen),
        "{what} must come; after {} looks: {seen:?}",
        harness.patience()
    );
    seen
}

/// Scales and looks until it is there.
async fn reach(harness: &Harness, fleet: &Fleet) -> FleetStatus {
    scale(harness, fleet).await;
    wait(harness, &fleet.to_string(), |status| {
        is_there(status, fleet)
    })
    .await
}

/// Promotes or retires until it is done.
async fn finish(harness: &Harness, what: &str, revision: &Revision) {
    let mut last = String::new();
    for _ in 0..=harness.patience() {
        let progress = match what {
            "promote" => harness.executor().promote(revision).await,
            _ => harness.executor().retire(revision).await,
        };
        match done(progress, what) {
            Progress::Done => return,
            Progress::Pending(waiting) => last = waiting,
        }
        harness.settle().await;
    }
    panic!(
        "{what} must be done in the end; after {} calls: {last}",
        harness.patience()
    );
}
