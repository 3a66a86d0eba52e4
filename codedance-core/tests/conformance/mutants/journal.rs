//! Journals that break their contract.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use codedance_core::decision::Memory;
use codedance_core::journal::{Entry, Journal, Lease, Record};
use codedance_core::memory::MemoryJournal;
use codedance_core::metrics::Sample;
use codedance_core::rollout::{Input, Report};
use codedance_core::testing::{JOURNAL, JournalHarness};
use codedance_core::workload::WorkloadName;
use codedance_core::{Error, ErrorKind, Result};

use super::{Busy, each_is_noticed};
use crate::memory::Books;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    LoadsBackwards,
    LosesTheFirstTen,
    MissesUnknownWorkloads,
    SwallowsGaps,
    RefusesTheSameAgain,
    SwallowsOthers,
    LoadsEverything,
    MixesAlikeNames,
    ListsInAnyOrder,
    TrimsText,
    RoundsNumbers,
    ForgetsMemories,
    SkipsDamage,
    HidesWhatIsDamaged,
    ReadsHalfAnEntry,
    StaysBusyWhenDropped,
    HandsOutASecondLease,
    GivesNewTokensToTheSame,
    ReleasesNothing,
    LetsLeasesLiveLong,
    RenewsNothing,
    RepeatsTokens,
    SwallowsLateAppends,
    RenewsWhatIsLost,
    FailsToReleaseWhatIsLost,
    ReleasesWhoeverHolds,
    HasOneLeaseForAll,
}

#[test]
fn each_fault_is_noticed() {
    use Fault::*;
    each_is_noticed(
        JOURNAL,
        &[
            (None, &[]),
            (LoadsBackwards, &["appended_entries_are_loaded_in_order"]),
            (LosesTheFirstTen, &["appended_entries_are_loaded_in_order"]),
            (
                MissesUnknownWorkloads,
                &["an_unknown_workload_has_no_entries"],
            ),
            (SwallowsGaps, &["a_gap_is_a_conflict"]),
            (
                RefusesTheSameAgain,
                &[
                    "the_same_entry_again_is_accepted",
                    "a_dropped_append_has_happened_or_not",
                ],
            ),
            (
                SwallowsOthers,
                &["another_entry_in_its_place_is_a_conflict"],
            ),
            (LoadsEverything, &["loading_begins_at_the_last_rollout"]),
            (
                MixesAlikeNames,
                &["workloads_are_kept_apart", "the_list_is_sorted"],
            ),
            (ListsInAnyOrder, &["the_list_is_sorted"]),
            (TrimsText, &["any_text_is_kept"]),
            (RoundsNumbers, &["numbers_are_kept_exactly"]),
            (ForgetsMemories, &["what_judges_said_is_kept"]),
            (SkipsDamage, &["a_damaged_entry_is_named"]),
            (HidesWhatIsDamaged, &["a_damaged_entry_is_named"]),
            (ReadsHalfAnEntry, &["a_torn_last_entry_is_not_there"]),
            (
                StaysBusyWhenDropped,
                &["a_dropped_append_has_happened_or_not"],
            ),
            (
                HandsOutASecondLease,
                &[
                    "one_owner_holds_at_a_time",
                    "a_renewed_lease_lives_on",
                    "releasing_a_lost_lease_is_no_error",
                ],
            ),
            (
                GivesNewTokensToTheSame,
                &["the_same_owner_gets_the_same_token"],
            ),
            (
                ReleasesNothing,
                &[
                    "a_released_lease_can_be_taken",
                    "tokens_never_come_back",
                    "a_lease_that_passed_on_cannot_append",
                    "a_lost_lease_cannot_be_renewed",
                    "releasing_a_lost_lease_is_no_error",
                ],
            ),
            (
                LetsLeasesLiveLong,
                &[
                    "an_expired_lease_can_be_taken",
                    "a_renewed_lease_lives_on",
                    "an_expired_lease_cannot_append",
                ],
            ),
            (
                RenewsNothing,
                &["a_renewed_lease_lives_on", "a_lost_lease_cannot_be_renewed"],
            ),
            (RepeatsTokens, &["tokens_never_come_back"]),
            (
                SwallowsLateAppends,
                &[
                    "an_expired_lease_cannot_append",
                    "a_lease_that_passed_on_cannot_append",
                ],
            ),
            (RenewsWhatIsLost, &["a_lost_lease_cannot_be_renewed"]),
            (
                FailsToReleaseWhatIsLost,
                &["releasing_a_lost_lease_is_no_error"],
            ),
            (
                ReleasesWhoeverHolds,
                &["releasing_a_lost_lease_is_no_error"],
            ),
            (HasOneLeaseForAll, &["leases_of_workloads_are_apart"]),
        ],
        |fault| {
            let world = MemoryJournal::new();
            let inner = world.clone();
            let port = Mutant {
                inner,
                fault,
                busy: Busy::default(),
                held: Mutex::default(),
            };
            let tears_badly = fault == ReadsHalfAnEntry;
            Box::new(Books {
                port: Box::new(port),
                world,
                tears_badly,
            }) as Box<dyn JournalHarness>
        },
    );
}

#[derive(Debug)]
struct Mutant {
    inner: MemoryJournal,
    fault: Fault,
    busy: Busy,
    /// The newest real lease of each workload, whatever was handed out.
    held: Mutex<BTreeMap<WorkloadName, Lease>>,
}

impl Mutant {
    fn held(&self, workload: &WorkloadName) -> Option<Lease> {
        self.held.lock().unwrap().get(workload).cloned()
    }

    fn real(&self, lease: &Lease) -> Lease {
        match self.held(&lease.workload) {
            Some(held) if self.fault == Fault::RepeatsTokens && held.owner == lease.owner => held,
            _ => lease.clone(),
        }
    }

    fn name(&self, workload: &WorkloadName) -> WorkloadName {
        match self.fault {
            Fault::MixesAlikeNames => {
                WorkloadName::new(workload.as_str().replace(['_', '%'], "").to_lowercase()).unwrap()
            }
            _ => workload.clone(),
        }
    }
}

#[async_trait]
impl Journal for Mutant {
    async fn acquire(
        &self,
        workload: &WorkloadName,
        owner: &str,
        length: Duration,
    ) -> Result<Lease> {
        let length = if self.fault == Fault::LetsLeasesLiveLong {
            length * 1_000
        } else {
            length
        };
        let before = self.held(workload);
        if self.fault == Fault::HasOneLeaseForAll {
            let all = WorkloadName::new("all").unwrap();
            let lease = self.inner.acquire(&all, owner, length).await?;
            self.held.lock().unwrap().insert(all, lease);
        }
        if self.fault == Fault::GivesNewTokensToTheSame
            && let Some(before) = before.as_ref().filter(|before| before.owner == owner)
        {
            self.inner.release(before).await?;
        }
        match (
            self.inner
                .acquire(&self.name(workload), owner, length)
                .await,
            before,
        ) {
            (Ok(lease), _) => {
                self.held
                    .lock()
                    .unwrap()
                    .insert(workload.clone(), lease.clone());
                let mut shown = lease;
                shown.workload.clone_from(workload);
                if self.fault == Fault::RepeatsTokens {
                    shown.token = owner.bytes().map(u64::from).sum();
                }
                Ok(shown)
            }
            (Err(_), Some(before)) if self.fault == Fault::HandsOutASecondLease => Ok(Lease::new(
                workload.clone(),
                owner.to_owned(),
                before.token,
                before.expires,
            )),
            (Err(error), _) => Err(error),
        }
    }

    async fn renew(&self, lease: &Lease, length: Duration) -> Result<Lease> {
        if self.fault == Fault::RenewsNothing {
            let mut renewed = lease.clone();
            renewed.expires = lease.expires + length;
            return Ok(renewed);
        }
        match self.inner.renew(&self.real(lease), length).await {
            Err(_) if self.fault == Fault::RenewsWhatIsLost => Ok(lease.clone()),
            Ok(mut renewed) => {
                renewed.token = lease.token;
                Ok(renewed)
            }
            Err(error) => Err(error),
        }
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        let held = self.held(&lease.workload);
        match self.fault {
            Fault::ReleasesNothing => Ok(()),
            Fault::FailsToReleaseWhatIsLost
                if held.as_ref().is_some_and(|h| h.token != lease.token) =>
            {
                Err(Error::new(ErrorKind::LeaseLost, "release what is lost"))
            }
            Fault::ReleasesWhoeverHolds => self.inner.release(&held.unwrap()).await,
            Fault::HasOneLeaseForAll => {
                let all = self.held(&WorkloadName::new("all").unwrap()).unwrap();
                if all.owner == lease.owner {
                    self.inner.release(&all).await?;
                }
                self.inner.release(lease).await
            }
            _ => self.inner.release(&self.real(lease)).await,
        }
    }

    async fn append(&self, lease: &Lease, entry: &Entry) -> Result<()> {
        if self.fault == Fault::StaysBusyWhenDropped {
            self.busy.hold().await?;
        }
        let mut lease = self.real(lease);
        lease.workload = self.name(&lease.workload);
        let written = self.inner.entries(&lease.workload);
        if self.fault == Fault::RefusesTheSameAgain && written.last() == Some(entry) {
            return Err(Error::new(ErrorKind::Conflict, "append what is there"));
        }
        match self.inner.append(&lease, entry).await {
            Ok(()) => Ok(()),
            Err(error) => match (self.fault, error.kind()) {
                (Fault::SwallowsGaps, ErrorKind::Conflict)
                    if entry.sequence > written.len() as u64 =>
                {
                    Ok(())
                }
                (Fault::SwallowsOthers, ErrorKind::Conflict)
                    if entry.sequence < written.len() as u64 =>
                {
                    Ok(())
                }
                (Fault::SwallowsLateAppends, ErrorKind::LeaseLost) => Ok(()),
                _ => Err(error),
            },
        }
    }

    async fn load(&self, workload: &WorkloadName) -> Result<Vec<Entry>> {
        let workload = self.name(workload);
        let mut entries = match self.inner.load(&workload).await {
            Err(_) if self.fault == Fault::SkipsDamage => {
                let mut entries = self.inner.entries(&workload);
                entries.retain(|entry| entry.sequence != 37);
                entries
            }
            Err(_) if self.fault == Fault::HidesWhatIsDamaged => {
                return Err(Error::new(ErrorKind::Corrupt, "load an entry"));
            }
            loaded => loaded?,
        };
        match self.fault {
            Fault::LoadsBackwards if entries.len() > 10 => entries.reverse(),
            Fault::LosesTheFirstTen if entries.len() > 10 => drop(entries.drain(..10)),
            Fault::MissesUnknownWorkloads if self.held(&workload).is_none() => {
                return Err(Error::new(ErrorKind::NotFound, "find the workload"));
            }
            Fault::LoadsEverything => entries = self.inner.entries(&workload),
            Fault::TrimsText | Fault::RoundsNumbers | Fault::ForgetsMemories => {
                entries.iter_mut().for_each(|e| self.bend(e));
            }
            _ => {}
        }
        Ok(entries)
    }

    async fn list(&self) -> Result<Vec<WorkloadName>> {
        let mut listed = self.inner.list().await?;
        if self.fault == Fault::ListsInAnyOrder {
            listed.sort_by_key(|name| name.as_str().to_lowercase());
        }
        Ok(listed)
    }
}

impl Mutant {
    fn bend(&self, entry: &mut Entry) {
        if self.fault == Fault::ForgetsMemories
            && let Some(assessment) = &mut entry.assessment
        {
            assessment.memory = Memory::default();
        }
        match &mut entry.record {
            Record::Told(Input::Alert(alert)) if self.fault == Fault::TrimsText => {
                alert.message = alert.message.trim().to_owned();
            }
            Record::Told(Input::Outcome(_, Ok(Report::Measured { readings, .. })))
                if self.fault == Fault::RoundsNumbers =>
            {
                for reading in readings {
                    if let Sample::Gauge(value) = &mut reading.canary {
                        *value = f64::from(*value as f32);
                    }
                }
            }
            _ => {}
        }
    }
}
