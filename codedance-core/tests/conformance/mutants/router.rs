//! Routers that break their contract.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use codedance_core::memory::MemoryRouter;
use codedance_core::testing::{ROUTER, RouterHarness};
use codedance_core::traffic::{Capability, Split, TrafficRouter};
use codedance_core::{Error, ErrorKind, Percent, Result};

use super::{Busy, each_is_noticed};
use crate::memory::{revision, router_world};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    Forgets,
    RefusesTheSameAgain,
    RoundsToPercents,
    RefusesTheWhole,
    LeavesALittleAtZero,
    RoundsWhatIsFiner,
    DoesWhatItRefuses,
    IgnoresCohorts,
    AcceptsCohortsItCannotKeep,
    LosesShares,
    KeepsTheFirstStable,
    RemembersInsteadOfReading,
    SkipsWhatItApplied,
    ResetsWhenObserved,
    ChangesItsCapability,
    TouchesOtherSettings,
    IsHalfDoneWhenDropped,
    StaysBusyWhenDropped,
}

#[test]
fn each_fault_is_noticed() {
    use Fault::*;
    each_is_noticed(
        ROUTER,
        &[
            (None, &[]),
            (
                Forgets,
                &[
                    "an_applied_split_is_observed",
                    "applying_twice_is_once",
                    "every_weight_of_the_granularity_is_exact",
                    "everything_can_go_to_the_canary",
                    "a_finer_weight_is_refused",
                    "cohorts_are_kept_or_refused",
                    "the_roles_can_change",
                    "an_outside_change_is_overruled",
                    "observing_changes_nothing",
                    "a_dropped_call_leaves_the_old_split_or_the_new",
                ],
            ),
            (
                RefusesTheSameAgain,
                &["applying_twice_is_once", "an_outside_change_is_overruled"],
            ),
            (
                RoundsToPercents,
                &[
                    "every_weight_of_the_granularity_is_exact",
                    "a_finer_weight_is_refused",
                ],
            ),
            (
                RefusesTheWhole,
                &[
                    "everything_can_go_to_the_canary",
                    "shares_total_the_whole",
                    "the_roles_can_change",
                    "the_capability_is_constant",
                    "other_settings_stay",
                ],
            ),
            (
                LeavesALittleAtZero,
                &[
                    "every_weight_of_the_granularity_is_exact",
                    "a_canary_at_zero_equals_none",
                    "a_dropped_call_leaves_the_old_split_or_the_new",
                ],
            ),
            (RoundsWhatIsFiner, &["a_finer_weight_is_refused"]),
            (DoesWhatItRefuses, &["a_finer_weight_is_refused"]),
            (IgnoresCohorts, &["cohorts_are_kept_or_refused"]),
            (AcceptsCohortsItCannotKeep, &["cohorts_are_kept_or_refused"]),
            (
                LosesShares,
                &[
                    "every_weight_of_the_granularity_is_exact",
                    "a_canary_at_zero_equals_none",
                    "shares_total_the_whole",
                    "a_dropped_call_leaves_the_old_split_or_the_new",
                ],
            ),
            (KeepsTheFirstStable, &["the_roles_can_change"]),
            (
                RemembersInsteadOfReading,
                &["an_outside_change_is_observed"],
            ),
            (SkipsWhatItApplied, &["an_outside_change_is_overruled"]),
            (ResetsWhenObserved, &["observing_changes_nothing"]),
            (ChangesItsCapability, &["the_capability_is_constant"]),
            (TouchesOtherSettings, &["other_settings_stay"]),
            (
                IsHalfDoneWhenDropped,
                &["a_dropped_call_leaves_the_old_split_or_the_new"],
            ),
            (
                StaysBusyWhenDropped,
                &["a_dropped_call_leaves_the_old_split_or_the_new"],
            ),
        ],
        |fault| {
            let world = router_world();
            let port = Mutant {
                inner: world,
                fault,
                busy: Busy::default(),
                past: Mutex::default(),
            };
            Box::new(Harness(port)) as Box<dyn RouterHarness>
        },
    );
}

struct Harness(Mutant);

#[async_trait]
impl RouterHarness for Harness {
    fn router(&self) -> &dyn TrafficRouter {
        &self.0
    }

    async fn set_outside(&self, split: &Split) {
        self.0.inner.set_outside(split.clone());
    }

    async fn other_settings(&self) -> String {
        match self.0.fault {
            Fault::TouchesOtherSettings => self.0.past.lock().unwrap().calls.to_string(),
            _ => String::new(),
        }
    }
}

#[derive(Debug)]
struct Mutant {
    inner: MemoryRouter,
    fault: Fault,
    busy: Busy,
    past: Mutex<Past>,
}

#[derive(Debug, Default)]
struct Past {
    applied: Option<Split>,
    calls: u32,
    looks: u32,
}

impl Mutant {
    fn at(points: u16) -> Split {
        let weight = Percent::from_basis_points(points).unwrap();
        Split::new(revision("v1"), revision("v2"), weight)
    }
}

#[async_trait]
impl TrafficRouter for Mutant {
    fn capability(&self) -> Capability {
        let fine = Capability::new(Percent::ratio(1, 10_000), Duration::ZERO).with_cohorts(true);
        match self.fault {
            Fault::RoundsWhatIsFiner | Fault::DoesWhatItRefuses => {
                Capability::new(Percent::ratio(1, 20), Duration::ZERO)
            }
            Fault::AcceptsCohortsItCannotKeep => fine.with_cohorts(false),
            Fault::ChangesItsCapability if self.past.lock().unwrap().calls > 2 => {
                Capability::new(Percent::ratio(1, 10_000), Duration::from_secs(1))
                    .with_cohorts(true)
            }
            _ => fine,
        }
    }

    async fn apply(&self, split: &Split) -> Result<()> {
        let mut split = split.clone();
        let before = {
            let mut past = self.past.lock().unwrap();
            past.calls += 1;
            past.looks = 0;
            past.applied.replace(split.clone())
        };
        let again = before.as_ref() == Some(&split);
        let points = split.weight().basis_points();
        match self.fault {
            Fault::Forgets => return Ok(()),
            Fault::RefusesTheSameAgain if again => {
                return Err(Error::new(ErrorKind::Conflict, "apply what is applied"));
            }
            Fault::RoundsToPercents if split.canary.is_some() && !points.is_multiple_of(100) => {
                split = Self::at(points / 100 * 100);
            }
            Fault::RefusesTheWhole if points == 10_000 => {
                return Err(Error::new(ErrorKind::Invalid, "route everything"));
            }
            Fault::LeavesALittleAtZero if points == 0 && split.stable == revision("v1") => {
                split = Self::at(1);
            }
            Fault::RoundsWhatIsFiner if !points.is_multiple_of(500) && split.cohort.is_none() => {
                split = Self::at(points / 500 * 500);
            }
            Fault::DoesWhatItRefuses if split.cohort.is_none() => self.inner.apply(&split).await?,
            Fault::IgnoresCohorts => split.cohort = None,
            Fault::AcceptsCohortsItCannotKeep => {
                return self.inner.apply(&split.with_cohort(None)).await;
            }
            Fault::KeepsTheFirstStable => split = Self::at(points).with_cohort(split.cohort),
            Fault::SkipsWhatItApplied if again => return Ok(()),
            Fault::IsHalfDoneWhenDropped => {
                self.inner.apply(&Self::at(3_333)).await?;
                tokio::task::yield_now().await;
            }
            Fault::StaysBusyWhenDropped => self.busy.hold().await?,
            _ => {}
        }
        self.capability().check(&split)?;
        self.inner.apply(&split).await
    }

    async fn observe(&self) -> Result<Split> {
        let real = self.inner.observe().await?;
        let mut past = self.past.lock().unwrap();
        past.looks += 1;
        Ok(match (self.fault, &past.applied) {
            (Fault::RemembersInsteadOfReading, Some(applied)) => applied.clone(),
            (Fault::LosesShares, _) if real.weight() == Percent::ZERO && real.canary.is_some() => {
                Split::all(revision("v0"))
            }
            (Fault::ResetsWhenObserved, _) if past.looks > 2 => Self::at(0),
            _ => real,
        })
    }
}
