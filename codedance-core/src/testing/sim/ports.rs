//! What a process reaches the world by: calls that take their time, fail, and lose their answers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;

use super::lock;
use super::process::Process;
use super::scenario::Weather;
use super::world::World;
use crate::error::{Error, ErrorKind, Result};
use crate::metrics::{MetricsSource, Question, Reading};
use crate::rollout::Action;
use crate::testing::random::Random;
use crate::time::Timestamp;
use crate::traffic::{Capability, Split, TrafficRouter};
use crate::workload::{Executor, Fleet, FleetStatus, Progress, Revision};

/// What becomes of one call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fate {
    pub(super) before: Duration,
    pub(super) fault: Fault,
    pub(super) after: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    Error(ErrorKind, Duration),
    Panic,
    LostReply,
    Duplicate,
    DiesBefore,
    DiesAfter,
}

impl Fault {
    /// Its name in the tally.
    const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::None => return None,
            Self::Error(
                ErrorKind::Unavailable
                | ErrorKind::Timeout
                | ErrorKind::RateLimited
                | ErrorKind::Conflict,
                _,
            ) => "errors",
            Self::Error(..) => "useless errors",
            Self::Panic => "panics",
            Self::LostReply => "lost replies",
            Self::Duplicate => "duplicates",
            Self::DiesBefore => "deaths before a call",
            Self::DiesAfter => "deaths after a call",
        })
    }
}

/// What takes longer than this by the weather's doing is slow.
const SLOW: Duration = Duration::from_secs(1);

impl Fate {
    pub(super) fn draw(random: &mut Random, weather: Weather, longest: u64) -> Self {
        // One draw decides which fault there is; so the shares do not depend on each other.
        let mut lot = random.below(10_000);
        let mut met = |share: u64| {
            let met = lot < share;
            lot = if met { u64::MAX } else { lot - share };
            met
        };
        let fault = if met(weather.errors) {
            let kinds = [
                ErrorKind::Unavailable,
                ErrorKind::Timeout,
                ErrorKind::RateLimited,
                ErrorKind::Conflict,
            ];
            let wait = random.pick(&[0, 0, 1, 40]);
            Fault::Error(random.pick(&kinds), Duration::from_secs(wait))
        } else if met(weather.useless) {
            let kinds = [
                ErrorKind::NotFound,
                ErrorKind::Denied,
                ErrorKind::Invalid,
                ErrorKind::Unsupported,
                ErrorKind::Internal,
            ];
            match random.below(4) {
                0 => Fault::Panic,
                _ => Fault::Error(random.pick(&kinds), Duration::ZERO),
            }
        } else if met(weather.lost_replies) {
            Fault::LostReply
        } else if met(weather.duplicates) {
            Fault::Duplicate
        } else if met(weather.deaths) {
            random.pick(&[Fault::DiesBefore, Fault::DiesAfter])
        } else {
            Fault::None
        };
        let slow = random.below(10_000) < weather.slow;
        let asked_late = slow && random.one_in(2);
        let mut length = |slow: bool| {
            let most = if slow { 60_000 } else { longest };
            Duration::from_millis(random.between(1, most))
        };
        Self {
            before: length(asked_late),
            fault,
            after: length(slow && !asked_late),
        }
    }
}

/// The ports of one process.
#[derive(Clone, Debug)]
pub(super) struct Access {
    pub(super) world: Arc<World>,
    pub(super) process: Arc<Process>,
}

impl Access {
    async fn call<T>(&self, what: &'static str, act: impl Fn() -> Result<T>) -> Result<T> {
        let world = &self.world;
        let weather = if world.is_calm() {
            Weather::default()
        } else {
            world.scenario.ports
        };
        let fate = Fate::draw(&mut lock(&world.ports), weather, 40);
        if fate.before > SLOW {
            world.audit().tally.saw("slow calls");
        }
        world.time.sleep(fate.before).await;
        self.meet(what, fate.fault, act, fate.after).await
    }

    pub(super) async fn meet<T>(
        &self,
        what: &'static str,
        fault: Fault,
        act: impl Fn() -> Result<T>,
        after: Duration,
    ) -> Result<T> {
        let world = &self.world;
        self.alive(what);
        if let Some(name) = fault.name() {
            world.audit().tally.saw(name);
            world.note(|| format!("!! {what}: {fault:?}"));
        }
        if after > SLOW {
            world.audit().tally.saw("slow answers");
        }
        match fault {
            Fault::Error(kind, wait) => {
                return Err(Error::new(kind, what).with_retry_after(wait));
            }
            // Without the hook, which would write to the terminal.
            Fault::Panic => std::panic::resume_unwind(Box::new(format!("{what} on purpose"))),
            Fault::DiesBefore => return self.die().await,
            Fault::None | Fault::LostReply | Fault::Duplicate | Fault::DiesAfter => {}
        }
        let mut answer = act()?;
        if fault == Fault::Duplicate {
            world.time.sleep(Duration::from_millis(1)).await;
            self.alive(what);
            answer = act()?;
        }
        world.time.sleep(after).await;
        match fault {
            Fault::DiesAfter => self.die().await,
            Fault::LostReply => Err(Error::new(ErrorKind::Timeout, what)),
            _ => Ok(answer),
        }
    }

    async fn die<T>(&self) -> T {
        if self.process.is_alive() {
            self.world.crash.notify_one();
        }
        std::future::pending().await
    }

    fn alive(&self, what: &str) {
        if !self.process.is_alive() {
            let dead = format!("a process that is dead goes on: {what}");
            self.world.check(Err(dead));
        }
    }

    /// A call that changes the world, by its leave.
    async fn change<T>(
        &self,
        what: &'static str,
        action: Action,
        act: impl Fn() -> Option<Result<T>>,
        done: impl Fn(&T) -> bool,
    ) -> Result<T> {
        let one = self.process.one_at_a_time();
        if one.is_none() {
            let two = format!("{action}, while another effect is under way");
            self.world.check(Err(two));
        }
        let asked = self.world.time.now();
        self.call(what, || {
            let world = &self.world;
            let actor = self.process.actor(world);
            let wrote = Timestamp::from_millis(self.process.wrote.load(Ordering::Relaxed));
            let runs_for = world.time.now().since(asked.max(wrote));
            let late = runs_for > world.scenario.effect_deadline;
            if late && actor.punctual {
                world.check(Err(format!("{action}, after its deadline")));
            }
            let (before, allowed) = {
                let mut audit = world.audit();
                let before = world.model(&audit);
                let allowed = audit.acts(world.time.now(), actor, &action, &before);
                (before, allowed)
            };
            world.check(allowed);
            let Some(acted) = act() else {
                return Err(Error::new(ErrorKind::Internal, what));
            };
            let acted = acted?;
            let changed = {
                let mut audit = world.audit();
                match &action {
                    Action::Scale(fleet) => audit.book(&fleet.stable.revision),
                    Action::Promote(revision) if done(&acted) => audit.book(revision),
                    _ => {}
                }
                let after = world.model(&audit);
                audit.changed(&before, &after)
            };
            world.check(changed);
            world.start_replicas();
            Ok(acted)
        })
        .await
    }
}

#[async_trait]
impl Executor for Access {
    async fn scale(&self, fleet: &Fleet) -> Result<FleetStatus> {
        let executor = &self.world.executor;
        let scale = || executor.scale(fleet).now_or_never();
        self.change("scale", Action::Scale(fleet.clone()), scale, |_| true)
            .await
    }

    async fn status(&self) -> Result<FleetStatus> {
        self.call("look at the replicas", || Ok(self.world.fleet()))
            .await
    }

    async fn promote(&self, revision: &Revision) -> Result<Progress> {
        let executor = &self.world.executor;
        let promote = || executor.promote(revision).now_or_never();
        let action = Action::Promote(revision.clone());
        self.change("promote", action, promote, |progress| {
            *progress == Progress::Done
        })
        .await
    }

    async fn retire(&self, revision: &Revision) -> Result<Progress> {
        let executor = &self.world.executor;
        let retire = || executor.retire(revision).now_or_never();
        let action = Action::Retire(revision.clone());
        self.change("retire", action, retire, |_| true).await
    }
}

#[async_trait]
impl TrafficRouter for Access {
    fn capability(&self) -> Capability {
        self.world.router.capability()
    }

    async fn apply(&self, split: &Split) -> Result<()> {
        let router = &self.world.router;
        let apply = || router.apply(split).now_or_never();
        self.change("route", Action::Route(split.clone()), apply, |()| true)
            .await
    }

    async fn observe(&self) -> Result<Split> {
        self.call("read the split", || Ok(self.world.router.split()))
            .await
    }
}

#[async_trait]
impl MetricsSource for Access {
    async fn measure(&self, question: &Question) -> Result<Vec<Reading>> {
        let metrics = &self.world.metrics;
        self.call("measure", || {
            let measured = metrics.measure(question).now_or_never();
            measured.unwrap_or_else(|| Err(Error::new(ErrorKind::Internal, "measure")))
        })
        .await
    }
}
