//! What people and circumstances do to a rollout while the storm lasts, and who clears up after it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::lock;
use super::plans::{self, APPROVER};
use super::scenario::{Clocks, Mood, Stream};
use super::world::World;
use crate::driver::RolloutHandle;
use crate::plan::Plan;
use crate::rollout::{Alert, Command, Input, Rollout, Signalled, Waiting};
use crate::testing::random::Random;

/// How long the operator who clears up waits for evidence.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Begins all troubles, and what follows them.
pub(super) fn begin(world: &Arc<World>, seed: u64) {
    let troubles = world.scenario.troubles;
    let random = Arc::new(std::sync::Mutex::new(Stream::Operators.of(seed)));
    let every = |mean: Option<u64>, trouble: fn(&Arc<World>, &mut Random)| {
        let Some(mean) = mean else { return };
        let (world, random) = (Arc::clone(world), Arc::clone(&random));
        tokio::spawn(async move {
            loop {
                let wait = lock(&random).between(mean * 500, mean * 1_500);
                world.time.sleep(Duration::from_millis(wait)).await;
                if world.is_calm() {
                    return;
                }
                trouble(&world, &mut lock(&random));
            }
        });
    };
    every(troubles.crash, |world, _| world.crash_replicas());
    every(troubles.meddle, |world, _| world.meddle());
    every(troubles.operator, says_something);
    every(troubles.restart, |world, _| world.restart.notify_one());
    every(troubles.outage, |world, random| {
        let length = Duration::from_secs(random.between(1, 60));
        journal_goes_down(world, length);
    });
    every(troubles.mood, |world, random| {
        world.set_mood(random.pick(&[Mood::Healthy, Mood::Healthy, Mood::Bad, Mood::NoData]));
    });
    let world = Arc::clone(world);
    tokio::spawn(async move {
        world.time.sleep(world.scenario.storm).await;
        world.heal();
        clear_up(&world).await;
    });
}

fn journal_goes_down(world: &Arc<World>, length: Duration) {
    world.note(|| format!("!! the journal is down for {} s", length.as_secs()));
    world.audit().tally.saw("journal outages");
    world.journal_is_down.store(true, Ordering::Relaxed);
    let world = Arc::clone(world);
    tokio::spawn(async move {
        world.time.sleep(length).await;
        world.journal_is_down.store(false, Ordering::Relaxed);
    });
}

fn says_something(world: &Arc<World>, random: &mut Random) {
    let Some(rollout) = world.audit().rollout.clone() else {
        return;
    };
    // Whoever is asked mostly knows.
    let asked = matches!(rollout.explain().waiting_for, Waiting::Gate(_)) && random.one_in(2);
    let lot = if asked { 8 } else { random.below(12) };
    let input = match lot {
        0..=5 => Input::Command(random.pick(&Command::ALL)),
        6 => Input::Alert(Alert::new("pager", Signalled::Firing)),
        7 => Input::Alert(Alert::new("pager", Signalled::Resolved)),
        8 => {
            let answer =
                random.pick(&[Signalled::Approved, Signalled::Approved, Signalled::Refused]);
            Input::Alert(Alert::new(APPROVER, answer))
        }
        9 => supersede(world, &rollout, random),
        _ => match plans::amended(random, rollout.plan().clone()) {
            Some(plan) => Input::Amend(Box::new(plan), Box::new(plans::policy(random))),
            None => return,
        },
    };
    say(world, input);
}

/// A newer revision, or the stable one again.
fn supersede(world: &World, rollout: &Rollout, random: &mut Random) -> Input {
    let now = rollout.plan();
    let (stable, canary) = (now.stable().as_str(), now.canary().as_str());
    let newer = world.fresh_revision();
    let (from, to) = random.pick(&[(stable, newer.as_str()), (canary, stable)]);
    let plan = plans::of(random, from, to, now.replicas(), now.autoscaled());
    Input::Supersede(Box::new(plan), Box::new(plans::policy(random)))
}

/// Says it to whoever drives the rollout now, without waiting for the answer.
fn say(world: &Arc<World>, input: Input) {
    let Some(handle) = lock(&world.live).as_ref().map(|live| live.handle.clone()) else {
        return;
    };
    let world = Arc::clone(world);
    tokio::spawn(async move {
        let told = match &input {
            Input::Command(command) => format!("an operator says {command}"),
            Input::Alert(alert) => format!("{}: {:?}", alert.name, alert.signal),
            Input::Supersede(plan, _) => format!("{} supersedes", plan.canary()),
            _ => "the plan is edited".to_owned(),
        };
        world.note(|| format!("-> {told}"));
        if let Err(error) = pass_on(&handle, input).await {
            world.note(|| format!("   {told}: {error}"));
        }
    });
}

async fn pass_on(handle: &RolloutHandle, input: Input) -> Result<(), crate::driver::CommandError> {
    match input {
        Input::Command(Command::Pause) => handle.pause().await,
        Input::Command(Command::Resume) => handle.resume().await,
        Input::Command(Command::Promote) => handle.promote().await,
        Input::Command(Command::PromoteFull) => handle.promote_full().await,
        Input::Command(Command::Abort) => handle.abort().await,
        Input::Command(Command::Retry) => handle.retry().await,
        Input::Alert(alert) => handle.alert(alert).await,
        Input::Supersede(plan, policy) => handle.supersede(*plan, *policy).await,
        Input::Amend(plan, policy) => handle.amend(*plan, *policy).await,
        Input::Observed(observation) => handle.observe(observation).await,
        Input::Outcome(..) | Input::TakenOver { .. } | Input::Tick => Ok(()),
    }
}

/// Ends every wait that only people can end, and sees that the rollout ends in its time.
async fn clear_up(world: &Arc<World>) {
    let (mut end, mut bounded) = (world.time.now(), None);
    let mut doubtful_since = None;
    while world.time.now() <= end {
        // One that supersedes another has its own time.
        let plan = world.audit().rollout.as_ref().map(|r| r.plan().clone());
        if plan.as_ref().map(Plan::canary) != bounded.as_ref().map(Plan::canary)
            && let Some(plan) = &plan
        {
            end = end + bound(plan) + catching_up(world);
            bounded = Some(plan.clone());
        }
        say_what_is_missing(world, &mut doubtful_since);
        world.time.sleep(Duration::from_secs(20)).await;
    }
    let explanation = {
        let audit = world.audit();
        audit.rollout.as_ref().map(Rollout::explain)
    };
    let waits = explanation.map_or_else(String::new, |explanation| explanation.to_string());
    let late = format!(
        "nothing goes wrong any more, and after {} s it has not ended: {waits}",
        end.since(super::time::START + world.scenario.storm)
            .as_secs()
    );
    world.check(Err(late));
}

/// How long a clock that was set back can make a rollout wait for a time that it has seen already.
fn catching_up(world: &World) -> Duration {
    match world.scenario.clocks {
        Clocks::True => Duration::ZERO,
        Clocks::Off | Clocks::Standing => Duration::from_secs(900),
    }
}

fn say_what_is_missing(world: &Arc<World>, doubtful_since: &mut Option<crate::Timestamp>) {
    let Some(rollout) = world.audit().rollout.clone() else {
        return;
    };
    let waiting = rollout.explain().waiting_for;
    if !matches!(waiting, Waiting::Evidence(_)) {
        *doubtful_since = None;
    }
    match waiting {
        Waiting::Gate(_) => say(world, Input::Command(Command::Promote)),
        Waiting::Operator => say(world, Input::Command(Command::Resume)),
        Waiting::Alert(name) => {
            say(world, Input::Alert(Alert::new(name, Signalled::Resolved)));
        }
        Waiting::Evidence(_) => {
            let now = world.time.now();
            let since = *doubtful_since.get_or_insert(now);
            if now >= since + PATIENCE {
                say(world, Input::Command(Command::Abort));
            }
        }
        _ => {}
    }
}

/// Within what time it must end from now on: what the plan's times add up to, with room for every move
/// of every replica.
fn bound(plan: &Plan) -> Duration {
    let stages: Duration = plan
        .stages()
        .iter()
        .map(|stage| stage.bake + Duration::from_secs(600))
        .sum();
    let replicas = Duration::from_secs(240) * plan.replicas() * 2;
    let patience = plan.progress_deadline() + plan.give_up_after() * 2 + PATIENCE * 2;
    stages + replicas + patience
}
