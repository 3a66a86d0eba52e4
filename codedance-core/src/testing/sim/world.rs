//! Replicas, traffic and metrics, and all that happens to them by itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::FutureExt;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use tokio::sync::Notify;

use super::audit::{Audit, model};
use super::books::Holder;
use super::lock;
use super::process::Live;
use super::scenario::{Mood, Scenario, Stream};
use super::time::Time;
use crate::memory::{MemoryExecutor, MemoryJournal, MemoryMetrics, MemoryRouter};
use crate::percent::Percent;
use crate::rollout::{Observation, Rollout};
use crate::testing::explore::world::World as Model;
use crate::testing::random::Random;
use crate::traffic::Split;
use crate::workload::{Executor, FleetStatus, Revision};

/// Everything outside the processes that drive the rollout.
#[derive(Debug)]
pub(super) struct World {
    pub(super) scenario: Scenario,
    pub(super) time: Arc<Time>,
    pub(super) executor: MemoryExecutor,
    pub(super) router: MemoryRouter,
    pub(super) metrics: MemoryMetrics,
    pub(super) journal: MemoryJournal,
    pub(super) holder: Mutex<Option<Holder>>,
    pub(super) audit: Mutex<Audit>,
    pub(super) live: Mutex<Option<Live>>,
    /// The process that drives the rollout dies, now.
    pub(super) crash: Notify,
    /// It is to be replaced by another.
    pub(super) restart: Notify,
    pub(super) broken: Notify,
    pub(super) journal_is_down: AtomicBool,
    revisions: AtomicU32,
    calm: AtomicBool,
    nature: Mutex<Nature>,
    pub(super) ports: Mutex<Random>,
    pub(super) books: Mutex<Random>,
}

#[derive(Debug)]
struct Nature {
    random: Random,
    /// How many replicas of each revision will become ready in their time.
    starting: BTreeMap<Revision, u32>,
    crashed: u32,
    watchers: Vec<UnboundedSender<Observation>>,
}

impl World {
    pub(super) fn new(seed: u64, recorded: bool) -> Arc<Self> {
        let scenario = Scenario::draw(seed);
        let time = Arc::new(Time::default());
        let (stable, replicas) = (scenario.plan.stable(), scenario.plan.replicas());
        let executor = MemoryExecutor::new().with_running(stable, replicas);
        executor.hold_ready();
        executor.promotion_takes(scenario.slow_books);
        executor.retirement_takes(scenario.slow_books);
        if scenario.canary_cannot_start {
            executor.cannot_start(scenario.plan.canary());
        }
        let router =
            MemoryRouter::new(Split::all(stable.clone())).with_capability(scenario.capability);
        let clock = Arc::clone(&time);
        let mut audit = Audit::default();
        audit.history = recorded.then(Default::default);
        let nature = Nature {
            random: Stream::Nature.of(seed),
            starting: BTreeMap::new(),
            crashed: 0,
            watchers: Vec::new(),
        };
        Arc::new(Self {
            executor,
            router,
            metrics: readings(scenario.mood),
            journal: MemoryJournal::with_clock(move || clock.now()),
            holder: Mutex::default(),
            audit: Mutex::new(audit),
            live: Mutex::default(),
            crash: Notify::new(),
            restart: Notify::new(),
            broken: Notify::new(),
            journal_is_down: AtomicBool::new(false),
            revisions: AtomicU32::new(3),
            calm: AtomicBool::new(false),
            nature: Mutex::new(nature),
            ports: Mutex::new(Stream::Ports.of(seed)),
            books: Mutex::new(Stream::Journal.of(seed)),
            scenario,
            time,
        })
    }

    pub(super) fn audit(&self) -> MutexGuard<'_, Audit> {
        lock(&self.audit)
    }

    /// Keeps the first invariant that is broken, and ends the run.
    pub(super) fn check(&self, checked: Result<(), String>) {
        if let Err(what) = checked {
            self.audit().broken.get_or_insert(what);
            self.broken.notify_one();
        }
    }

    pub(super) fn note(&self, line: impl FnOnce() -> String) {
        self.audit().note(self.time.now(), line);
    }

    /// Whether nothing goes wrong any more.
    pub(super) fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    /// The revision that is in service by the back end's books.
    pub(super) fn stable(&self) -> Revision {
        self.audit().books(self.scenario.plan.stable())
    }

    /// A revision that nobody has rolled out yet.
    pub(super) fn fresh_revision(&self) -> String {
        format!("v{}", self.revisions.fetch_add(1, Ordering::Relaxed))
    }

    /// Both revisions that move now.
    fn moving(&self) -> [Revision; 2] {
        let audit = self.audit();
        let plan = audit.rollout.as_ref().map(Rollout::plan);
        let plan = plan.unwrap_or(&self.scenario.plan);
        [plan.stable().clone(), plan.canary().clone()]
    }

    pub(super) fn fleet(&self) -> FleetStatus {
        let status = self.executor.status().now_or_never();
        status.and_then(Result::ok).unwrap_or_default()
    }

    pub(super) fn model(&self, audit: &Audit) -> Model {
        let booked = audit.books(self.scenario.plan.stable());
        model(&self.fleet(), self.router.split(), booked)
    }

    fn observation(&self) -> Observation {
        Observation::new(self.fleet(), self.router.split())
    }

    pub(super) fn watch(&self) -> UnboundedReceiver<Observation> {
        let (watcher, seen) = unbounded();
        lock(&self.nature).watchers.push(watcher);
        seen
    }

    fn tell_watchers(&self) {
        let observation = self.observation();
        let mut nature = lock(&self.nature);
        let tell = |watcher: &UnboundedSender<Observation>| {
            watcher.unbounded_send(observation.clone()).is_ok()
        };
        nature.watchers.retain(tell);
    }

    /// Sees to it that replicas that start become ready in their time.
    pub(super) fn start_replicas(self: &Arc<Self>) {
        for (revision, group) in self.fleet().iter() {
            let mut nature = lock(&self.nature);
            let due = nature.starting.entry(revision.clone()).or_default();
            let more = group.not_ready.saturating_sub(*due);
            *due += more;
            let (least, most) = self.scenario.starting;
            for _ in 0..more {
                let length = Duration::from_millis(nature.random.between(least, most));
                self.becomes_ready(revision, length, true);
            }
        }
    }

    fn becomes_ready(self: &Arc<Self>, revision: &Revision, after: Duration, starts: bool) {
        let (world, revision) = (Arc::clone(self), revision.clone());
        tokio::spawn(async move {
            world.time.sleep(after).await;
            if starts && let Some(due) = lock(&world.nature).starting.get_mut(&revision) {
                *due -= 1;
            }
            if !world.cannot_start(&revision) {
                world.executor.make_ready(&revision, 1);
                world.note(|| format!("  (a replica of {revision} is ready)"));
                world.tell_watchers();
            }
        });
    }

    fn cannot_start(&self, revision: &Revision) -> bool {
        self.scenario.canary_cannot_start && revision == self.scenario.plan.canary()
    }

    /// Some replicas of some revision crash. Most come back after a while, restarted.
    pub(super) fn crash_replicas(self: &Arc<Self>) {
        let moving = self.moving();
        let (revision, count, after) = {
            let mut nature = lock(&self.nature);
            let revision = nature.random.pick(&moving);
            let count = nature.random.between(1, 3);
            let after = Duration::from_secs(nature.random.between(2, 300));
            nature.crashed += 1;
            (revision, count, after)
        };
        let ready = self.fleet().of(&revision).ready;
        if ready == 0 {
            return;
        }
        self.audit().spoil();
        self.audit().tally.saw("replicas crashed");
        self.note(|| format!("!! {count} replicas of {revision} crash"));
        let count = u32::try_from(count).unwrap_or(1).min(ready);
        self.executor.crash(&revision, count);
        self.executor
            .set_restarts(&revision, lock(&self.nature).crashed);
        for _ in 0..count {
            self.becomes_ready(&revision, after, false);
        }
        self.tell_watchers();
    }

    /// Somebody changes a count or a weight by hand.
    pub(super) fn meddle(self: &Arc<Self>) {
        let moving = self.moving();
        let (what, revision, number) = {
            let random = &mut lock(&self.nature).random;
            let revision = random.pick(&moving);
            (random.below(2), revision, random.below(101))
        };
        let mut audit = self.audit();
        if audit.is_over() {
            return;
        }
        audit.spoil();
        drop(audit);
        let group = self.fleet().of(&revision);
        if what == 0 && group.desired > 0 {
            let count = match number % 2 {
                0 => group.desired + 1,
                _ => group.desired - 1,
            };
            self.note(|| format!("!! somebody scales {revision} to {count}"));
            self.executor.scale_outside(&revision, count);
            self.audit().tally.saw("counts changed by hand");
        } else {
            let weight = Percent::ratio(u32::try_from(number).unwrap_or(0), 100);
            let [stable, canary] = moving;
            self.note(|| format!("!! somebody routes {weight} to {canary}"));
            let split = Split::new(stable, canary, weight);
            self.router.set_outside(split);
            self.audit().tally.saw("weights changed by hand");
        }
        self.start_replicas();
        self.tell_watchers();
    }

    pub(super) fn set_mood(&self, mood: Mood) {
        self.note(|| format!("   the canary's metrics: {mood:?}"));
        self.metrics.change_to(&readings(mood));
    }

    /// What strangers did after the end of one rollout is put right before the next.
    pub(super) fn put_in_order(self: &Arc<Self>, stable: &Revision, replicas: u32) {
        if self.router.split().share_of(stable) != Percent::HUNDRED {
            self.router.set_outside(Split::all(stable.clone()));
        }
        if self.fleet().of(stable).desired != replicas {
            self.executor.scale_outside(stable, replicas);
            self.start_replicas();
        }
    }

    /// The storm is over: what is broken is mended, and nothing else breaks.
    pub(super) fn heal(self: &Arc<Self>) {
        self.note(|| "== the storm is over".to_owned());
        self.calm.store(true, Ordering::Relaxed);
        self.journal_is_down.store(false, Ordering::Relaxed);
        self.set_mood(Mood::Healthy);
        for (revision, group) in self.fleet().iter() {
            self.executor.set_restarts(revision, 0);
            if !self.cannot_start(revision) {
                self.executor.make_ready(revision, group.desired);
            }
        }
        self.start_replicas();
        self.tell_watchers();
    }
}

fn readings(mood: Mood) -> MemoryMetrics {
    match mood {
        Mood::Healthy => MemoryMetrics::error_rate(0.001, 0.001),
        Mood::Bad => MemoryMetrics::error_rate(0.3, 0.001),
        Mood::NoData => MemoryMetrics::no_data(),
    }
}
