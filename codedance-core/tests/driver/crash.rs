//! A crash loses nothing, wherever it comes.

use std::sync::Arc;

use codedance_core::decision::{Assessment, Evidence, Judge, Memory, Policy, Reason, Verdict};
use codedance_core::driver::replay;
use codedance_core::rollout::{Cause, Outcome, Snapshot};
use codedance_core::traffic::Split;
use codedance_core::workload::FleetStatus;

use crate::books::{Books, Crash};
use crate::world::{World, plan, watching, workload};
use crate::{builder, ended, secs};

/// How a rollout ended, and by which changes.
#[derive(Debug, PartialEq)]
struct Told {
    outcome: String,
    changes: Vec<String>,
    end: (FleetStatus, Split),
}

struct Stage {
    books: Arc<Books>,
    world: Arc<World>,
}

impl Stage {
    fn new() -> Self {
        let (books, world) = (Books::new(), World::new());
        world.audited_by(&books, "shop");
        Self { books, world }
    }

    /// Runs to the end, through one crash if there is one.
    async fn play(&self, crash: Option<Crash>, bad: bool) -> Told {
        self.books.crash(crash);
        let driver = builder(&self.books).build();
        let crashed = async {
            let started = driver
                .start(plan("shop", 20), watching(), self.world.ports())
                .await;
            let handle = started.unwrap();
            if bad {
                tokio::time::sleep(secs(95)).await;
                self.world.breaks("v2");
            }
            ended(&handle).await
        };
        let end = tokio::select! {
            end = crashed => Some(end),
            () = self.books.crashed.notified() => None,
        };
        let outcome = match end {
            Some(Ok(outcome)) => outcome,
            Some(Err(error)) => panic!("{error}"),
            None => {
                drop(driver);
                self.books.crash(None);
                if bad {
                    self.world.breaks("v2");
                }
                self.resume().await
            }
        };
        Told {
            outcome: match outcome {
                Outcome::RolledBack(_) => "rolled back".to_owned(),
                other => other.to_string(),
            },
            changes: self.world.distinct_changes(),
            end: self.world.end(),
        }
    }

    async fn resume(&self) -> Outcome {
        let driver = builder(&self.books).build();
        let resumed = driver.resume(&workload("shop"), self.world.ports()).await;
        match resumed {
            Ok(handle) => ended(&handle).await.unwrap(),
            // It died before the first entry: there is nothing to resume, and nothing was done.
            Err(_) => {
                assert_eq!(self.world.changes(), Vec::<String>::new());
                let started = driver
                    .start(plan("shop", 20), watching(), self.world.ports())
                    .await;
                ended(&started.unwrap()).await.unwrap()
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_append_changes_nothing_about_the_end() {
    let whole = Stage::new();
    let told = whole.play(None, false).await;
    assert_eq!(told.outcome, "completed");
    let appends = whole.books.appends();
    assert!(appends > 50, "{appends}");
    for at in 0..appends {
        for crash in [Crash::Before(at), Crash::After(at)] {
            let again = Stage::new().play(Some(crash), false).await;
            assert_eq!(again, told, "{crash:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_canary_is_rolled_back_through_a_crash_at_any_append() {
    let whole = Stage::new();
    let told = whole.play(None, true).await;
    assert_eq!(told.outcome, "rolled back");
    assert!(
        told.changes
            .iter()
            .any(|change| change.starts_with("route v1 75 %")),
        "{told:?}"
    );
    for at in 0..whole.books.appends() {
        for crash in [Crash::Before(at), Crash::After(at)] {
            let again = Stage::new().play(Some(crash), true).await;
            // It breaks right after the crash, so that the way there is another; the end is not.
            let ends = (&again.outcome, &again.end);
            let (fleet, split) = &again.end;
            assert_eq!(ends.0, &told.outcome, "{crash:?}");
            assert!(split.agrees_with(&told.end.1), "{crash:?} {split}");
            assert_eq!(fleet, &told.end.0, "{crash:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_time_changes_nothing_about_the_end() {
    let told = Stage::new().play(None, false).await;
    // Effects take some milliseconds: these times fall before, into and after many of them.
    for millis in (0..1_000).chain((1_000..200_000).step_by(613)) {
        let stage = Stage::new();
        let driver = builder(&stage.books).build();
        let ports = stage.world.ports();
        let work = async {
            let handle = driver
                .start(plan("shop", 20), watching(), ports)
                .await
                .unwrap();
            ended(&handle).await
        };
        let limit = std::time::Duration::from_millis(millis);
        let ended = tokio::time::timeout(limit, work).await;
        drop(driver);
        let outcome = match ended {
            Ok(outcome) => outcome.unwrap(),
            Err(_) => stage.resume().await,
        };
        assert_eq!(outcome, Outcome::Completed, "{millis}");
        assert_eq!(stage.world.distinct_changes(), told.changes, "{millis}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_gives_the_same_state_bit_for_bit() {
    let Stage { books, world } = Stage::new();
    let driver = builder(&books).build();
    let name = workload("shop");
    let handle = driver
        .start(plan("shop", 20), watching(), world.ports())
        .await
        .unwrap();
    let json = |snapshot: &Snapshot| serde_json::to_string(snapshot).unwrap();
    let mut compared = 0;
    let mut ended = false;
    while !ended {
        let wait = std::time::Duration::from_millis(211);
        ended = tokio::time::timeout(wait, handle.wait()).await.is_ok();
        let (live, entries) = (handle.snapshot(), books.entries(&name));
        let replayed = replay(entries.clone(), &[]).unwrap().unwrap();
        assert_eq!(json(&replayed.rollout.snapshot()), json(&live));
        // From the beginning, without the snapshots on the way, the same comes out.
        let told = |entry: &codedance_core::journal::Entry| {
            !matches!(entry.record, codedance_core::journal::Record::Snapshot(_))
        };
        let mut bare: Vec<_> = entries.into_iter().filter(told).collect();
        for (sequence, entry) in (0..).zip(&mut bare) {
            entry.sequence = sequence;
        }
        let whole = replay(bare, &[]).unwrap().unwrap();
        assert_eq!(json(&whole.rollout.snapshot()), json(&live));
        compared += 1;
    }
    assert!(compared >= 10, "{compared}");
}

/// A judge of the name `house` that always says the same, and counts its looks.
#[derive(Debug)]
struct House(Verdict);

impl Judge for House {
    fn name(&self) -> &'static str {
        "house"
    }

    fn assess(&self, evidence: &Evidence<'_>) -> Assessment {
        let looks: u64 = evidence.memory.recall();
        let reason = Reason::Other(format!("look {looks}"));
        Assessment::new(self.0, vec![reason]).with_memory(Memory::of(&(looks + 1)))
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_judged_stays_judged_when_the_judge_is_another_after_the_crash() {
    let Stage { books, world } = Stage::new();
    let policy: Policy = serde_json::from_value(serde_json::json!({
        "interval": "10s",
        "judges": [{"own": "house"}],
        "metrics": [{"name": "errors", "signal": "error_rate", "limits": {"fail": "5%"}}],
    }))
    .unwrap();
    let of = |verdict| Arc::new(House(verdict)) as Arc<dyn Judge>;
    // No snapshot helps: all of it has to be told again.
    let before = builder(&books).with_judges([of(Verdict::Advance)]);
    let before = before.with_snapshot_every(u32::MAX).build();
    let started = before.start(plan("shop", 20), policy, world.ports()).await;
    let handle = started.unwrap();
    tokio::time::timeout(secs(95), handle.wait())
        .await
        .unwrap_err();
    let left = handle.snapshot();
    drop(before);

    let strict = of(Verdict::Rollback);
    let entries = books.entries(&workload("shop"));
    let looks = entries.iter().filter(|entry| entry.assessment.is_some());
    assert!(looks.count() >= 5, "{entries:?}");
    let replayed = replay(entries, &[Arc::clone(&strict)]).unwrap().unwrap();
    assert_eq!(replayed.rollout.snapshot(), left);

    let after = builder(&books).with_judges([strict]).build();
    let resumed = after
        .resume(&workload("shop"), world.ports())
        .await
        .unwrap();
    let outcome = ended(&resumed).await.unwrap();
    let Outcome::RolledBack(Cause::Judged(reasons)) = &outcome else {
        panic!("{outcome:?}");
    };
    // It goes on with the memory of the judge before.
    let Reason::Other(look) = &reasons[0] else {
        panic!("{reasons:?}");
    };
    let look: u64 = look.strip_prefix("look ").unwrap().parse().unwrap();
    assert!(look >= 5, "{look}");
}
