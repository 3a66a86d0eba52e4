//! What the journal says, beside what the world sees; and what must hold between the two.

mod effect;

use std::collections::{BTreeMap, VecDeque};

pub(super) use effect::Actor;

use super::judge;
use super::tally::Tally;
use crate::decision::Verdict;
use crate::journal::{Entry, Record};
use crate::metrics::{Reading, Sample};
use crate::percent::Percent;
use crate::rollout::{
    Command, Event, Happening, Input, Next, Observation, Outcome, Report, Rollout,
};
use crate::testing::explore::invariant::{self, View};
use crate::testing::explore::world::{Pods, World as Model};
use crate::time::Timestamp;
use crate::traffic::Split;
use crate::workload::{FleetStatus, Revision};

/// How much of a history is kept for a broken invariant.
const LAST: usize = 80;

/// More entries than any rollout of some hours needs: one that writes more goes round in circles.
const MOST_ENTRIES: u64 = 50_000;

/// Steps the machine by every entry as the journal takes it, so that what was written is known before
/// anything is done.
#[derive(Debug, Default)]
pub(super) struct Audit {
    pub(super) rollout: Option<Rollout>,
    told: Option<Model>,
    verdict: Option<Verdict>,
    /// The stable revision in the back end's own books.
    booked: Option<Revision>,
    /// When each revision last lost traffic, by the rollout's own doing.
    lowered: BTreeMap<Revision, Timestamp>,
    /// Whether something other than the rollout changed the world for the worse, so that nobody can be
    /// blamed for what it looks like.
    spoiled: bool,
    amended: bool,
    aborted: bool,
    /// The last verdict, in whatever stage.
    judged: Option<Verdict>,
    /// When the rollout in force began.
    since: Option<Timestamp>,
    /// The canary's share when an operator paused it.
    weight_at_pause: Option<Percent>,
    /// The last outcome that was told, of which the machine must have had enough.
    stale: Option<Input>,
    /// How many rollouts were begun.
    pub(super) began: u64,
    /// How many entries there are, and how many when the live state was last compared.
    pub(super) entries: u64,
    pub(super) compared: u64,
    pub(super) ends: Vec<Outcome>,
    pub(super) tally: Tally,
    pub(super) broken: Option<String>,
    pub(super) history: Option<VecDeque<String>>,
}

impl Audit {
    pub(super) fn note(&mut self, at: Timestamp, line: impl FnOnce() -> String) {
        if let Some(history) = &mut self.history {
            if history.len() == LAST {
                history.pop_front();
            }
            let seconds = at.since(super::time::START).as_secs_f64();
            history.push_back(format!("{seconds:>9.3} s  {}", line()));
        }
    }

    pub(super) fn spoil(&mut self) {
        self.spoiled = true;
    }

    pub(super) fn is_over(&self) -> bool {
        let next = self.rollout.as_ref().map(Rollout::next);
        matches!(next, Some(Next::Finished(_)))
    }

    pub(super) fn book(&mut self, stable: &Revision) {
        self.booked = Some(stable.clone());
    }

    pub(super) fn books(&self, stable: &Revision) -> Revision {
        self.booked.clone().unwrap_or_else(|| stable.clone())
    }

    /// The journal has taken an entry.
    pub(super) fn written(&mut self, entry: &Entry, world: &Model) -> Result<(), String> {
        self.entries += 1;
        if self.entries > MOST_ENTRIES {
            return Err(format!("there are {MOST_ENTRIES} entries and no end"));
        }
        match &entry.record {
            Record::Began(plan, policy) => {
                self.note(entry.at, || "the rollout is written down".to_owned());
                self.tally.planned(plan, policy);
                let rollout = Rollout::new((**plan).clone(), (**policy).clone(), entry.at)
                    .with_judges(judge::own());
                self.since = Some(entry.at);
                (self.weight_at_pause, self.stale, self.judged) = (None, None, None);
                let all = world.share_of(plan.stable()) == Percent::HUNDRED;
                // What was spoiled before is mended by now, or it is not.
                self.spoiled = !all || effect::carries(plan, plan.stable(), world).is_err();
                (self.aborted, self.amended) = (false, false);
                self.lowered.clear();
                self.rollout = Some(rollout);
                self.began += 1;
                self.told = Some(world.clone());
                Ok(())
            }
            Record::Snapshot(snapshot) => {
                let Some(rollout) = &self.rollout else {
                    return Err("a snapshot of nothing".to_owned());
                };
                if **snapshot != rollout.snapshot() {
                    return Err("a snapshot differs from what the entries before it say".to_owned());
                }
                let restored = Rollout::restore((**snapshot).clone());
                let restored = restored.map_err(|error| error.to_string())?;
                let restored = restored.with_judges(judge::own());
                self.tally.saw("snapshots");
                if restored.next() != rollout.next() || restored.snapshot() != **snapshot {
                    return Err("restored from its snapshot, it wants something else".to_owned());
                }
                Ok(())
            }
            Record::Told(input) => self.told(entry.at, input, world),
        }
    }

    fn told(&mut self, at: Timestamp, input: &Input, world: &Model) -> Result<(), String> {
        let (Some(rollout), Some(told)) = (&mut self.rollout, &mut self.told) else {
            return Err("an input before the beginning".to_owned());
        };
        match input {
            Input::Outcome(_, Ok(report)) => match report {
                Report::Observed(seen)
                | Report::Measured {
                    observation: seen, ..
                } => note_sight(told, seen),
                Report::Routed { split, .. } => told.split = split.clone(),
                Report::Promoted(_) | Report::Retired(_) => {}
            },
            Input::Observed(seen) => note_sight(told, seen),
            Input::Outcome(_, Err(_))
            | Input::Command(_)
            | Input::Alert(_)
            | Input::Supersede(..)
            | Input::Amend(..)
            | Input::TakenOver { .. }
            | Input::Tick => {}
        }
        // Those that the step is taken by: it may be the one that replaces them.
        let (plan, policy) = (rollout.plan().clone(), rollout.policy().clone());
        let blind = is_blind(rollout, input);
        let events = rollout
            .step(at, input.clone())
            .map_err(|rejected| format!("the journal has what was rejected: {rejected}"))?;
        let view = View {
            rollout,
            world,
            told,
            now: rollout.now(),
            verdict: self.verdict,
        };
        invariant::of_wait(rollout, rollout.now())?;
        let judged = events.iter().rev().find_map(|event| match &event.what {
            Happening::Assessed(assessment) => Some(assessment.verdict),
            _ => None,
        });
        let view = View {
            verdict: judged.or(self.verdict),
            ..view
        };
        self.verdict = invariant::of_events(view, &plan, &policy, &events)?;
        for event in &events {
            self.happened(event, blind, world)?;
        }
        self.of_deadline()?;
        self.of_stale(input)
    }

    fn happened(&mut self, event: &Event, blind: bool, world: &Model) -> Result<(), String> {
        self.note(event.at, || format!("  {event}"));
        self.tally.told(&event.what);
        match &event.what {
            Happening::Assessed(assessment) => {
                let before = self.judged.replace(assessment.verdict);
                match assessment.verdict {
                    Verdict::Advance if blind => {
                        return Err("no data is taken as good".to_owned());
                    }
                    // Who has counted what was bad before may say so again.
                    Verdict::Rollback if blind && before != Some(Verdict::Rollback) => {
                        return Err("no data is taken as bad".to_owned());
                    }
                    Verdict::Advance | Verdict::Hold | Verdict::Rollback => {}
                }
            }
            Happening::Commanded(Command::Pause) => {
                let canary = self.rollout.as_ref().map(|rollout| rollout.plan().canary());
                self.weight_at_pause = canary.map(|canary| world.share_of(canary));
            }
            Happening::Commanded(Command::Abort) => self.aborted = true,
            Happening::Amended { .. } => self.amended = true,
            Happening::Started { .. } => (self.aborted, self.amended) = (false, false),
            Happening::Finished(outcome) => {
                if self.aborted && *outcome == Outcome::Completed {
                    return Err("it was aborted, and yet it completed".to_owned());
                }
                self.since = Some(event.at);
                self.ends.push(outcome.clone());
            }
            _ => {}
        }
        Ok(())
    }

    /// What may take only so long is not on its way through the stages any more.
    fn of_deadline(&self) -> Result<(), String> {
        let (Some(rollout), Some(since)) = (&self.rollout, self.since) else {
            return Ok(());
        };
        match rollout.plan().deadline() {
            Some(deadline) if rollout.stage().is_some() && rollout.now() >= since + deadline => {
                Err("its deadline has passed, and it goes on".to_owned())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// An outcome that was told already changes nothing when it is told again.
    fn of_stale(&mut self, input: &Input) -> Result<(), String> {
        if let Input::Outcome(..) = input {
            self.stale = Some(input.clone());
        }
        // One in so many: it costs as much as the step itself.
        let (Some(rollout), Some(stale), 0) = (&self.rollout, &self.stale, self.entries % 8) else {
            return Ok(());
        };
        let mut again = rollout.clone();
        again
            .step(rollout.now(), stale.clone())
            .map_err(|rejected| rejected.to_string())?;
        if again.snapshot() == rollout.snapshot() {
            return Ok(());
        }
        Err(format!("told again, it counts again: {stale:?}"))
    }

    /// The rollout as it lives, compared with what the journal says.
    pub(super) fn compare(&mut self, live: &crate::rollout::Snapshot) -> Result<(), String> {
        self.compared = self.entries;
        self.tally.compared += 1;
        match &self.rollout {
            Some(rollout) if rollout.snapshot() == *live => Ok(()),
            Some(_) => Err("the live state differs from what the journal says".to_owned()),
            None => Err("a rollout lives that is not in the journal".to_owned()),
        }
    }
}

/// Whether a look found nothing at all in the metrics, and nothing wrong with the replicas.
fn is_blind(rollout: &Rollout, input: &Input) -> bool {
    let Input::Outcome(_, Ok(report)) = input else {
        return false;
    };
    let Report::Measured {
        readings,
        observation,
    } = report
    else {
        return false;
    };
    let nothing = |reading: &Reading| reading.canary == Sample::NoData;
    let canary = observation
        .fleet
        .as_ref()
        .map(|fleet| fleet.of(rollout.plan().canary()));
    !readings.is_empty()
        && readings.iter().all(nothing)
        && canary.is_none_or(|canary| rollout.policy().fault(canary).is_none())
}

fn note_sight(told: &mut Model, seen: &Observation) {
    if let Some(fleet) = &seen.fleet {
        told.pods = pods(fleet);
    }
    if let Some(split) = &seen.split {
        told.split = split.clone();
    }
}

fn pods(fleet: &FleetStatus) -> BTreeMap<Revision, Pods> {
    let pods = fleet.iter().map(|(revision, group)| {
        let pods = Pods {
            desired: group.desired,
            ready: group.ready,
            failed: group.failed,
        };
        (revision.clone(), pods)
    });
    pods.collect()
}

/// The world as the invariants see it.
pub(super) fn model(fleet: &FleetStatus, split: Split, booked: Revision) -> Model {
    Model {
        pods: pods(fleet),
        split,
        booked,
    }
}
