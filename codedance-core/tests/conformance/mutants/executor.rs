//! Executors that break their contract.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use codedance_core::memory::MemoryExecutor;
use codedance_core::testing::{EXECUTOR, ExecutorHarness};
use codedance_core::workload::{
    Executor, Fleet, FleetStatus, Group, GroupStatus, Progress, Revision,
};
use codedance_core::{Error, ErrorKind, Result};

use super::{Busy, each_is_noticed};
use crate::memory::{Fleets, executor_world, revision};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    MovesOneWayAtATime,
    AddsOneWhenAskedAgain,
    WaitsUntilReady,
    AnswersWithNothing,
    AnswersWithWhatWas,
    KeepsTheLastReplica,
    DoesNothingWhenAskedAgain,
    TakesUnmanagedForNone,
    RemovesUnnamed,
    HidesWhatCannotStart,
    FailsOnWhatCannotStart,
    StopsAllForWhatCannotStart,
    HopesForWhatDoesNotExist,
    ShowsWhatDoesNotExistAsReady,
    RestartsWhenLookedAt,
    StaysBusyWhenDropped,
    KeepsRolesOfItsOwn,
    NeverEndsPromoting,
    StopsOneToPromote,
    RefusesToPromoteAgain,
    AddsOneWhenPromotedAgain,
    LeavesOneRetired,
    RetiresAll,
    RefusesToRetireAgain,
    RefusesToRetireNothing,
}

#[test]
fn each_fault_is_noticed() {
    use Fault::*;
    each_is_noticed(
        EXECUTOR,
        &[
            (None, &[]),
            (
                MovesOneWayAtATime,
                &["scaling_is_a_desired_end", "roles_follow_the_fleet"],
            ),
            (
                AddsOneWhenAskedAgain,
                &[
                    "scaling_twice_is_once",
                    "scaling_answers_with_what_is_there",
                    "scaling_goes_on_where_the_world_is",
                ],
            ),
            (WaitsUntilReady, &["scaling_returns_without_waiting"]),
            (AnswersWithNothing, &["scaling_answers_with_what_is_there"]),
            (AnswersWithWhatWas, &["scaling_answers_with_what_is_there"]),
            (
                KeepsTheLastReplica,
                &[
                    "scaling_down_removes",
                    "a_dropped_call_leaves_a_usable_state",
                    "roles_follow_the_fleet",
                ],
            ),
            (
                DoesNothingWhenAskedAgain,
                &["scaling_goes_on_where_the_world_is"],
            ),
            (TakesUnmanagedForNone, &["an_unmanaged_count_is_left_alone"]),
            (RemovesUnnamed, &["unnamed_revisions_are_left_alone"]),
            (
                HidesWhatCannotStart,
                &["a_replica_that_cannot_start_is_failed_not_an_error"],
            ),
            (
                FailsOnWhatCannotStart,
                &[
                    "a_replica_that_cannot_start_is_failed_not_an_error",
                    "a_replica_that_cannot_start_harms_no_other",
                ],
            ),
            (
                StopsAllForWhatCannotStart,
                &["a_replica_that_cannot_start_harms_no_other"],
            ),
            (
                HopesForWhatDoesNotExist,
                &["a_revision_that_does_not_exist_never_serves"],
            ),
            (
                ShowsWhatDoesNotExistAsReady,
                &["a_revision_that_does_not_exist_never_serves"],
            ),
            (RestartsWhenLookedAt, &["looking_changes_nothing"]),
            (
                StaysBusyWhenDropped,
                &["a_dropped_call_leaves_a_usable_state"],
            ),
            (KeepsRolesOfItsOwn, &["roles_follow_the_fleet"]),
            (
                NeverEndsPromoting,
                &[
                    "roles_follow_the_fleet",
                    "promotion_ends",
                    "a_second_promotion_changes_nothing",
                    "a_retired_revision_is_gone",
                    "retirement_leaves_the_others",
                    "a_second_retirement_changes_nothing",
                ],
            ),
            (
                StopsOneToPromote,
                &[
                    "promotion_keeps_what_serves",
                    "retirement_leaves_the_others",
                ],
            ),
            (
                RefusesToPromoteAgain,
                &[
                    "roles_follow_the_fleet",
                    "a_second_promotion_changes_nothing",
                ],
            ),
            (
                AddsOneWhenPromotedAgain,
                &["a_second_promotion_changes_nothing"],
            ),
            (LeavesOneRetired, &["a_retired_revision_is_gone"]),
            (RetiresAll, &["retirement_leaves_the_others"]),
            (
                RefusesToRetireAgain,
                &["a_second_retirement_changes_nothing"],
            ),
            (
                RefusesToRetireNothing,
                &["retiring_what_is_not_there_is_done"],
            ),
        ],
        |fault| {
            let world = executor_world();
            let inner = world.clone();
            let port = Box::new(Mutant {
                inner,
                fault,
                busy: Busy::default(),
                past: Mutex::default(),
            });
            Box::new(Fleets {
                port,
                worlds: vec![world],
            }) as Box<dyn ExecutorHarness>
        },
    );
}

#[derive(Debug)]
struct Mutant {
    inner: MemoryExecutor,
    fault: Fault,
    busy: Busy,
    past: Mutex<Past>,
}

#[derive(Debug, Default)]
struct Past {
    fleet: Option<Fleet>,
    promoted: Option<Revision>,
    retired: BTreeSet<Revision>,
    looks: u32,
}

#[async_trait]
impl Executor for Mutant {
    async fn scale(&self, fleet: &Fleet) -> Result<FleetStatus> {
        let mut fleet = fleet.clone();
        let was = self.inner.status().await?;
        let before = self.past.lock().unwrap().fleet.replace(fleet.clone());
        let again = before.as_ref() == Some(&fleet);
        let names = |name: &str| fleet.canary.revision == revision(name);
        let (broken, missing) = (names("broken"), names("missing"));
        let had = was.of(&fleet.canary.revision).desired;
        match self.fault {
            Fault::MovesOneWayAtATime
                if fleet.stable.replicas > Some(was.of(&fleet.stable.revision).desired)
                    && fleet.canary.replicas < Some(had) =>
            {
                fleet.canary.replicas = Some(had);
            }
            Fault::AddsOneWhenAskedAgain if again => fleet.canary.replicas = Some(had + 1),
            Fault::KeepsTheLastReplica if had > 0 => {
                fleet.canary.replicas = fleet.canary.replicas.map(|count| count.max(1));
            }
            Fault::DoesNothingWhenAskedAgain if again => return Ok(was),
            Fault::TakesUnmanagedForNone => {
                for group in [&mut fleet.stable, &mut fleet.canary] {
                    group.replicas = group.replicas.or(Some(0));
                }
            }
            Fault::RemovesUnnamed => {
                let named = [&fleet.stable.revision, &fleet.canary.revision];
                for (unnamed, _) in was.iter().filter(|(of, _)| !named.contains(of)) {
                    self.inner.scale_outside(unnamed, 0);
                }
            }
            Fault::FailsOnWhatCannotStart if broken => {
                return Err(Error::new(ErrorKind::Invalid, "start what cannot start"));
            }
            Fault::StopsAllForWhatCannotStart if broken && again => fleet.stable.replicas = Some(0),
            Fault::HopesForWhatDoesNotExist if missing => {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    "find what does not exist",
                ));
            }
            Fault::ShowsWhatDoesNotExistAsReady if missing => {
                self.inner.scale_outside(&revision("missing"), 1);
                return self.inner.status().await;
            }
            Fault::StaysBusyWhenDropped => self.busy.hold().await?,
            Fault::KeepsRolesOfItsOwn => {
                let promoted = self.past.lock().unwrap().promoted.clone();
                if let Some(promoted) =
                    promoted.filter(|promoted| *promoted != fleet.stable.revision)
                {
                    fleet.canary = Group {
                        revision: promoted,
                        replicas: None,
                    };
                }
            }
            _ => {}
        }
        let status = self.inner.scale(&fleet).await?;
        match self.fault {
            Fault::AnswersWithNothing => Ok(FleetStatus::new()),
            Fault::AnswersWithWhatWas => Ok(was),
            Fault::WaitsUntilReady if broken => {
                tokio::time::sleep(Duration::from_millis(300)).await;
                Ok(status)
            }
            _ => Ok(status),
        }
    }

    async fn status(&self) -> Result<FleetStatus> {
        let mut status = self.inner.status().await?;
        let broken = revision("broken");
        let looks = {
            let mut past = self.past.lock().unwrap();
            past.looks += 1;
            past.looks
        };
        if self.fault == Fault::RestartsWhenLookedAt && looks >= 3 {
            for (revision, _) in status.iter() {
                self.inner.set_restarts(revision, looks);
            }
        }
        if self.fault == Fault::HidesWhatCannotStart && status.of(&broken).failed > 0 {
            status = status.with(broken, GroupStatus::new(1, 0));
        }
        Ok(status)
    }

    async fn promote(&self, revision: &Revision) -> Result<Progress> {
        let before = self.past.lock().unwrap().promoted.replace(revision.clone());
        let again = before.as_ref() == Some(revision);
        let ready = self.inner.status().await?.of(revision).ready;
        match self.fault {
            Fault::NeverEndsPromoting => return Ok(Progress::Pending("the moon".to_owned())),
            Fault::StopsOneToPromote if ready > 1 => {
                self.inner.scale_outside(revision, ready - 1);
            }
            Fault::RefusesToPromoteAgain if again => {
                return Err(Error::new(ErrorKind::Invalid, "promote what is promoted"));
            }
            Fault::AddsOneWhenPromotedAgain if again => {
                self.inner.scale_outside(revision, ready + 1);
            }
            _ => {}
        }
        self.inner.promote(revision).await
    }

    async fn retire(&self, revision: &Revision) -> Result<Progress> {
        let again = !self.past.lock().unwrap().retired.insert(revision.clone());
        let status = self.inner.status().await?;
        match self.fault {
            Fault::LeavesOneRetired => {
                self.inner
                    .scale_outside(revision, status.of(revision).desired.min(1));
                return Ok(Progress::Done);
            }
            Fault::RetiresAll => {
                for (other, _) in status.iter() {
                    self.inner.scale_outside(other, 0);
                }
            }
            Fault::RefusesToRetireAgain if again => {
                return Err(Error::new(ErrorKind::NotFound, "retire what is retired"));
            }
            Fault::RefusesToRetireNothing if !again && status.of(revision).desired == 0 => {
                return Err(Error::new(ErrorKind::NotFound, "retire what never was"));
            }
            _ => {}
        }
        self.inner.retire(revision).await
    }
}
