//! One run: processes come and go until the rollout has ended.

mod succession;

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::runtime::Builder;

use succession::{Driven, End};

use super::books::journal;
use super::judge;
use super::lock;
use super::plans;
use super::ports::Access;
use super::process::{Process, rest};
use super::scenario::Stream;
use super::troubles;
use super::world::World;
use crate::decision::Policy;
use crate::driver::{Driver, DriverError, Ports, RolloutHandle, StartError, replay};
use crate::journal::Journal;
use crate::plan::Plan;
use crate::rollout::Outcome;
use crate::testing::random::Random;

/// Simulates what `seed` stands for, to the end or to the first broken invariant.
pub(super) fn run(seed: u64, recorded: bool) -> Arc<World> {
    // The driver's jitter comes from this thread's generator.
    fastrand::seed(seed);
    let world = World::new(seed, recorded);
    let resting = Arc::clone(&world);
    let runtime = Builder::new_current_thread()
        .on_thread_park(move || rest(&resting))
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => panic!("no runtime can be had: {error}"),
    };
    runtime.block_on(async {
        troubles::begin(&world, seed);
        let mut run = Run {
            world: Arc::clone(&world),
            seed,
            processes: 0,
            random: Stream::Processes.of(seed),
            gone: Vec::new(),
            rollouts: 1,
            plan: world.scenario.plan.clone(),
            policy: world.scenario.policy.clone(),
        };
        tokio::select! {
            biased;
            () = world.broken.notified() => {}
            () = run.all() => {}
        }
    });
    *lock(&world.live) = None;
    drop(runtime);
    let mut audit = world.audit();
    audit.tally.runs = 1;
    audit.tally.time = world.time.passed();
    audit.tally.entries = audit.entries;
    drop(audit);
    world
}

struct Run {
    world: Arc<World>,
    seed: u64,
    processes: u32,
    random: Random,
    /// Drivers whose clocks stood still, so that they live on without knowing that they were replaced.
    gone: Vec<(Arc<Process>, Driver)>,
    /// How many rollouts were begun, and by what the last of them is.
    rollouts: u64,
    plan: Plan,
    policy: Policy,
}

impl Run {
    /// Rolls out one revision after the other while the storm lasts, and the last one to its end.
    async fn all(&mut self) {
        loop {
            let outcome = self.roll_out().await;
            self.finished(&outcome).await;
            let world = &self.world;
            // Where neither way was possible somebody must look first.
            if world.is_calm() || matches!(outcome, Outcome::Failed { .. }) {
                return;
            }
            let (stable, canary) = (world.stable(), world.fresh_revision());
            world.put_in_order(&stable, self.plan.replicas());
            let (replicas, autoscaled) = (self.plan.replicas(), self.plan.autoscaled());
            let random = &mut self.random;
            self.plan = plans::of(random, stable.as_str(), &canary, replicas, autoscaled);
            self.policy = plans::policy(random);
            self.rollouts += 1;
        }
    }

    async fn roll_out(&mut self) -> Outcome {
        loop {
            let (process, driver) = self.process();
            let Some(handle) = self.takes_over(&process, &driver).await else {
                self.dies(&process, driver).await;
                continue;
            };
            let mut driven = Driven {
                process,
                driver,
                handle,
            };
            let end = self.drive(&mut driven).await;
            let Driven {
                process,
                driver,
                handle,
            } = driven;
            match end {
                End::Finished(outcome) => return outcome,
                End::Left(error) => {
                    self.world.note(|| format!("== the driver leaves: {error}"));
                    self.saw("drivers that left by themselves");
                    if let DriverError::Panicked(_) | DriverError::ShutDown = error {
                        self.world.check(Err(error.to_string()));
                    }
                    process.dies();
                    drop(driver);
                }
                End::Died => self.dies(&process, driver).await,
                End::ToldToGo => self.replace(&process, driver, &handle).await,
            }
            self.world.check(self.replayed());
        }
    }

    fn saw(&self, what: &'static str) {
        self.world.audit().tally.saw(what);
    }

    fn process(&mut self) -> (Arc<Process>, Driver) {
        self.processes += 1;
        let (world, scenario) = (&self.world, &self.world.scenario);
        let process = Process::new(world, self.seed, self.processes);
        let access = self.access(&process);
        let owner = if scenario.same_owner {
            "host".to_owned()
        } else {
            format!("host-{}", self.processes)
        };
        let driver = Driver::builder(journal(&access))
            .with_clock(process.clock.clone())
            .with_judges(judge::own())
            .with_owner(owner)
            .with_effect_deadline(scenario.effect_deadline)
            .with_attempts(scenario.attempts)
            .with_lease(scenario.lease)
            .with_snapshot_every(scenario.snapshot_every)
            .build();
        (process, driver)
    }

    fn access(&self, process: &Arc<Process>) -> Access {
        Access {
            world: Arc::clone(&self.world),
            process: Arc::clone(process),
        }
    }

    fn ports(&self, process: &Arc<Process>) -> Ports {
        let access = Arc::new(self.access(process));
        let ports = Ports::new(access.clone(), access.clone(), access);
        if self.world.scenario.watched {
            return ports.with_changes(self.world.watch());
        }
        ports
    }

    /// Starts the rollout, or goes on with it; `None` if the process dies before it can.
    async fn takes_over(
        &mut self,
        process: &Arc<Process>,
        driver: &Driver,
    ) -> Option<RolloutHandle> {
        let world = Arc::clone(&self.world);
        world.note(|| format!("== process {} begins", process.number));
        let name = world.scenario.plan.workload().clone();
        for attempt in 0.. {
            if attempt == 30 {
                // Whoever was left behind has had all the time that it takes to notice.
                self.bury();
            }
            let ports = self.ports(process);
            let begun = world.audit().began >= self.rollouts;
            let started = async {
                if begun {
                    return driver.resume(&name, ports).await;
                }
                let (plan, policy) = (self.plan.clone(), self.policy.clone());
                driver.start(plan, policy, ports).await
            };
            let started = tokio::select! {
                biased;
                () = world.crash.notified() => return None,
                started = started => started,
            };
            match started {
                Ok(handle) => return Some(handle),
                Err(StartError::Busy { .. } | StartError::Journal { .. }) => {}
                // Its first entry is there, although the answer was lost.
                Err(StartError::Unfinished(_)) if world.audit().began >= self.rollouts => {}
                Err(error) => {
                    world.check(Err(format!("nobody can go on with it: {error}")));
                    return None;
                }
            }
            world.time.sleep(Duration::from_secs(5)).await;
        }
        None
    }

    /// What the journal tells leads to the state that it led to step by step.
    fn replayed(&self) -> Result<(), String> {
        let world = &self.world;
        let loaded = world.journal.load(world.scenario.plan.workload());
        let entries = loaded.now_or_never().and_then(Result::ok);
        let replayed = replay(entries.unwrap_or_default(), &judge::own());
        let replayed = replayed.map_err(|error| error.to_string())?;
        let audit = world.audit();
        match (replayed, &audit.rollout) {
            (Some(replayed), Some(rollout))
                if replayed.rollout.snapshot() == rollout.snapshot() =>
            {
                Ok(())
            }
            (None, None) => Ok(()),
            _ => Err("replayed from the journal, it is in another state".to_owned()),
        }
    }

    /// It has ended: it stays so, and says so again to whoever takes it up.
    async fn finished(&mut self, outcome: &Outcome) {
        let world = Arc::clone(&self.world);
        self.bury();
        let (ended, effects) = {
            let audit = world.audit();
            (audit.ends.last() == Some(outcome), audit.tally.effects)
        };
        if !ended {
            world.check(Err(format!("it ended {outcome}, which is not written")));
        }
        world.check(self.replayed());
        world.time.sleep(Duration::from_secs(120)).await;
        let (process, driver) = self.process();
        if let Some(handle) = self.takes_over(&process, &driver).await {
            match handle.wait().await {
                Ok(again) if again == *outcome => {}
                Ok(again) => world.check(Err(format!("it ended {outcome}, and then {again}"))),
                Err(_) => {}
            }
        }
        if world.audit().tally.effects != effects {
            world.check(Err("it has ended, and still something is done".to_owned()));
        }
    }
}

/// What a seed's rollout begins with, for people.
pub(super) fn title(plan: &Plan) -> String {
    let stages = plan.stages().len();
    format!(
        "{} to {} in {stages} stages on {} replicas",
        plan.stable(),
        plan.canary(),
        plan.replicas()
    )
}
