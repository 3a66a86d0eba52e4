//! What must hold in every state, of every effect, and of every event.

use std::sync::Arc;

use super::system::System;
use super::world::{Oracle, World};
use crate::decision::{Policy, Reaction, Verdict};
use crate::percent::Percent;
use crate::plan::Plan;
use crate::rollout::{
    Action, Command, Event, Happening, Input, Next, Outcome, Phase, Rollout, Snapshot,
};
use crate::time::Timestamp;
use crate::workload::Fleet;

/// A rollout, the world around it, and what it knows of that world.
#[derive(Clone, Copy, Debug)]
pub(in crate::testing) struct View<'a> {
    pub(in crate::testing) rollout: &'a Rollout,
    pub(in crate::testing) world: &'a World,
    /// What the rollout was last told: what it may rely on.
    pub(in crate::testing) told: &'a World,
    pub(in crate::testing) now: Timestamp,
    /// The last verdict of the stage in force, if it was looked at.
    pub(in crate::testing) verdict: Option<Verdict>,
}

/// Of every state: restoring it changes nothing, asking it changes nothing, a finished one stays
/// finished, and when the time that it waits for has come something happens.
pub(super) fn of_state(system: &System) -> Result<(), String> {
    let rollout = &system.rollout;
    let next = rollout.next();
    if next != rollout.next() {
        return Err("asked twice, it wants two things".to_owned());
    }
    let json = serde_json::to_string(&rollout.snapshot()).map_err(|error| error.to_string())?;
    let snapshot = serde_json::from_str(&json).map_err(|error| format!("{error}: {json}"))?;
    let restored = Rollout::restore(snapshot)
        .map_err(|error| error.to_string())?
        .with_judges([Arc::new(Oracle) as _]);
    if restored.snapshot() != rollout.snapshot() || restored.next() != next {
        return Err("a crash and a restore changed the state".to_owned());
    }
    if let Next::Finished(_) = next {
        return stays_finished(system);
    }
    of_wait(rollout, system.now)
}

/// Of every wait: it is for a time to come, and when that has come something happens.
pub(in crate::testing) fn of_wait(rollout: &Rollout, now: Timestamp) -> Result<(), String> {
    let wakes_at = match rollout.next() {
        Next::WaitUntil(at) => Some(at),
        Next::AwaitCommand { until, .. } => until,
        Next::Run(_) | Next::Finished(_) => None,
    };
    if let Some(at) = wakes_at.filter(|at| *at <= now) {
        return Err(format!("it waits for {at}, which has passed"));
    }
    if let Some(at) = wakes_at {
        let mut later = rollout.clone();
        later
            .step(at, Input::Tick)
            .map_err(|rejected| rejected.to_string())?;
        if later.next() == rollout.next() {
            return Err(format!(
                "the time that it waited for has come and nothing happens: {later:?}"
            ));
        }
    }
    Ok(())
}

fn stays_finished(system: &System) -> Result<(), String> {
    let mut inputs = vec![Input::Tick, Input::Observed(system.world.observation())];
    inputs.extend(Command::ALL.map(Input::Command));
    for input in inputs {
        let mut after = system.rollout.clone();
        // Whether it is rejected or ignored is the machine's choice; that nothing changes is not.
        let _ = after.step(system.now, input.clone());
        if after.snapshot() != system.rollout.snapshot() {
            return Err(format!("finished, but {input:?} changed it"));
        }
    }
    Ok(())
}

/// An end must be what it says.
fn of_end(view: View<'_>, plan: &Plan, outcome: &Outcome) -> Result<(), String> {
    let (stable, canary) = (plan.stable(), plan.canary());
    let world = view.world;
    let meddled = view.told.split != world.split;
    match outcome {
        Outcome::Completed => {
            if world.of(stable).desired > 0 {
                return Err("completed, but the old revision has replicas".to_owned());
            }
            if world.booked != *canary {
                return Err("completed, but the books name another stable revision".to_owned());
            }
            if world.share_of(canary) != Percent::HUNDRED && !meddled {
                return Err("completed, but not all traffic is on the new revision".to_owned());
            }
        }
        Outcome::RolledBack(_) | Outcome::Cancelled(_) => {
            if world.of(canary).desired > 0 {
                return Err(format!("{outcome}, but the canary has replicas"));
            }
            if world.booked != *stable {
                return Err(format!(
                    "{outcome}, but the books name another stable revision"
                ));
            }
            if world.share_of(stable) != Percent::HUNDRED && !meddled {
                return Err(format!(
                    "{outcome}, but not all traffic is on the stable revision"
                ));
            }
        }
        Outcome::Failed { action, .. } if action.is_empty() => {
            return Err("failed without saying what".to_owned());
        }
        Outcome::Failed { .. } => {}
    }
    Ok(())
}

/// Of every effect, before it is carried out.
pub(in crate::testing) fn of_effect(view: View<'_>, action: &Action) -> Result<(), String> {
    let plan = view.rollout.plan();
    let (stable, canary) = (plan.stable(), plan.canary());
    let (told, world) = (view.told, view.world);
    if let (Phase::Paused, Action::Promote(_) | Action::Retire(_)) = (view.rollout.phase(), action)
    {
        return Err(format!("{action}, although it is paused"));
    }
    match action {
        Action::Route(split) => {
            let desperate = view.rollout.phase() == Phase::RollingBack
                && view.rollout.explain().since < view.now;
            for revision in [stable, canary] {
                let share = split.share_of(revision);
                let ready = told.of(revision).ready;
                let other = if revision == stable { canary } else { stable };
                let rises = share > told.share_of(revision);
                let lesser_evil =
                    revision == stable && (told.of(other).ready == 0 || desperate) && ready > 0;
                let autoscaled = plan.autoscaled() && revision == stable;
                let needed = if autoscaled {
                    1
                } else {
                    plan.needed_for(share)
                };
                if rises && ready < needed && !lesser_evil {
                    return Err(format!(
                        "{share} of the traffic is to go to {revision}, which has {ready} ready \
                         replicas and needs {needed}"
                    ));
                }
            }
            if view.rollout.phase() == Phase::RollingBack
                && split.share_of(canary) > told.share_of(canary)
            {
                return Err("a rollback gives the canary more traffic".to_owned());
            }
        }
        Action::Scale(fleet) => of_scale(view, fleet)?,
        Action::Retire(revision) => {
            if world.share_of(revision) > Percent::ZERO
                && told.share_of(revision) == world.share_of(revision)
            {
                return Err(format!("{revision} is to be retired while it has traffic"));
            }
        }
        Action::Promote(revision) => {
            if revision != canary {
                return Err(format!(
                    "{revision} is to be promoted, which is not the canary"
                ));
            }
        }
        Action::Observe | Action::Measure(_) => {}
    }
    Ok(())
}

fn of_scale(view: View<'_>, fleet: &Fleet) -> Result<(), String> {
    let plan = view.rollout.plan();
    let told = view.told;
    let mut total = 0;
    let mut had = 0;
    for group in [&fleet.stable, &fleet.canary] {
        let pods = told.of(&group.revision);
        let count = group.replicas.unwrap_or(pods.desired);
        total += count;
        had += pods.desired;
        let share = told.share_of(&group.revision);
        let needed = plan.needed_for(share);
        // Replicas that are not ready carry nothing; taking them away harms nobody.
        if count < pods.desired
            && pods.ready.min(count) < pods.ready
            && count < needed
            && plan.floor() > 0
        {
            return Err(format!(
                "{} is to shrink to {count} replicas while {share} of the traffic needs {needed}",
                group.revision
            ));
        }
    }
    match plan.ceiling() {
        Some(ceiling) if total > ceiling && total > had => Err(format!(
            "{total} replicas are wanted, more than the ceiling of {ceiling}"
        )),
        Some(_) | None => Ok(()),
    }
}

/// Of the events of a step that begins by `plan` and `policy`, and may replace them. Returns the last
/// verdict of the stage now in force.
pub(in crate::testing) fn of_events(
    view: View<'_>,
    plan: &Plan,
    policy: &Policy,
    events: &[Event],
) -> Result<Option<Verdict>, String> {
    let (mut plan, mut policy) = (plan, policy);
    let mut verdict = view.verdict;
    let paused = view.rollout.phase() == Phase::Paused;
    // What was due already when the pause came, late as it was, has happened before it.
    let pause = events
        .iter()
        .position(|event| event.what == Happening::Commanded(Command::Pause));
    let by_hand = events.iter().any(|event| {
        matches!(
            event.what,
            Happening::Commanded(Command::Promote | Command::PromoteFull)
        )
    });
    for (place, event) in events.iter().enumerate() {
        if let Happening::Amended { .. } | Happening::Started { .. } = &event.what {
            (plan, policy) = (view.rollout.plan(), view.rollout.policy());
        }
        match &event.what {
            Happening::StageEarned { stage } => {
                if paused && pause.is_none_or(|pause| place > pause) {
                    return Err("a stage is passed while paused".to_owned());
                }
                let analysed = plan
                    .stages()
                    .get(*stage)
                    .is_some_and(|stage| stage.analysis)
                    && policy.watches()
                    && policy.on_bad_metrics() != Reaction::Ignore;
                let full = view
                    .rollout
                    .explain()
                    .commands
                    .contains(&Command::PromoteFull);
                if analysed && !by_hand && full && verdict != Some(Verdict::Advance) {
                    return Err(format!(
                        "stage {} is passed although the last verdict was {:?}",
                        stage + 1,
                        verdict
                    ));
                }
            }
            Happening::StageReached { .. } | Happening::Started { .. } => verdict = None,
            Happening::Finished(outcome) => of_end(view, plan, outcome)?,
            _ => {}
        }
    }
    Ok(verdict)
}

/// Of a whole path: replayed from what was told, without what was idle, it leads to the same state.
pub(super) fn of_replay(system: &System, first: Snapshot) -> Result<(), String> {
    let restored = Rollout::restore(first).map_err(|error| error.to_string())?;
    let mut replayed = restored.with_judges([Arc::new(Oracle) as _]);
    for (at, input) in system.told_so_far.iter().flatten() {
        if replayed.would_change(*at, input) {
            replayed
                .step(*at, input.clone())
                .map_err(|rejected| rejected.to_string())?;
        }
    }
    let (mut live, mut again) = (system.rollout.clone(), replayed);
    // Idle inputs may have moved the clock alone; a last tick puts both at the same time.
    let end = system.now;
    live.step(end, Input::Tick)
        .map_err(|rejected| rejected.to_string())?;
    again
        .step(end, Input::Tick)
        .map_err(|rejected| rejected.to_string())?;
    if live.snapshot() != again.snapshot() {
        return Err(format!(
            "replayed, it ends elsewhere: {} / {}",
            live.explain(),
            again.explain()
        ));
    }
    Ok(())
}
