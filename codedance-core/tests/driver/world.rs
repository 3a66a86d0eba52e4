//! A small world to drive rollouts in: it answers after some virtual milliseconds, remembers what was
//! asked of it, and does wrong when it is told to.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use codedance_core::decision::Policy;
use codedance_core::driver::{Ports, replay};
use codedance_core::metrics::{MetricsSource, Question, Reading, Sample};
use codedance_core::percent::Percent;
use codedance_core::plan::{Linear, Plan, Strategy};
use codedance_core::rollout::{Action, Next};
use codedance_core::traffic::{Capability, Split, TrafficRouter};
use codedance_core::workload::{
    Executor, Fleet, FleetStatus, GroupStatus, Progress, Revision, Workload, WorkloadName,
};
use codedance_core::{Error, ErrorKind, Result};

use crate::books::Books;

pub(crate) fn revision(name: &str) -> Revision {
    Revision::new(name).unwrap()
}

pub(crate) fn workload(name: &str) -> WorkloadName {
    WorkloadName::new(name).unwrap()
}

/// Linear from v1 to v2 on 4 replicas, each stage baking for `bake` seconds.
pub(crate) fn plan(name: &str, bake: u64) -> Plan {
    let workload = Workload::new(workload(name), revision("v1"), revision("v2"), 4);
    Linear::new(Duration::from_secs(bake))
        .plan(&workload)
        .unwrap()
}

/// A policy that asks for the error rate every 10 s.
pub(crate) fn watching() -> Policy {
    serde_json::from_value(serde_json::json!({
        "interval": "10s",
        "metrics": [{
            "name": "errors",
            "signal": "error_rate",
            "limits": {"warn": "1%", "fail": "5%", "crit": "20%"},
        }],
    }))
    .unwrap()
}

/// What goes wrong with a call.
#[derive(Clone, Debug)]
pub(crate) enum Wrong {
    Error(ErrorKind),
    After(ErrorKind, Duration),
    Hang,
    Slow(Duration),
    Panic,
}

/// Counts the worlds in which something is going on.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    now: AtomicUsize,
    pub(crate) most: AtomicUsize,
}

#[derive(Debug, Default)]
pub(crate) struct World {
    state: Mutex<State>,
    gauge: Arc<Gauge>,
    /// Asked at each change whether the journal wants it.
    books: OnceLock<(Arc<Books>, WorkloadName)>,
}

#[derive(Debug)]
struct State {
    fleet: BTreeMap<Revision, GroupStatus>,
    split: Split,
    /// What was changed, with repetitions.
    changes: Vec<String>,
    /// Every call, with the virtual time.
    calls: Vec<(&'static str, tokio::time::Instant)>,
    wrong: BTreeMap<&'static str, VecDeque<Wrong>>,
    broken: Option<Revision>,
    calls_now: usize,
}

impl Default for State {
    fn default() -> Self {
        let ready = GroupStatus::new(4, 4);
        Self {
            fleet: BTreeMap::from([(revision("v1"), ready)]),
            split: Split::all(revision("v1")),
            changes: Vec::new(),
            calls: Vec::new(),
            wrong: BTreeMap::new(),
            broken: None,
            calls_now: 0,
        }
    }
}

impl World {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn gauged(gauge: &Arc<Gauge>) -> Arc<Self> {
        Arc::new(Self {
            gauge: Arc::clone(gauge),
            ..Self::default()
        })
    }

    pub(crate) fn ports(self: &Arc<Self>) -> Ports {
        Ports::new(self.clone(), self.clone(), self.clone())
    }

    /// From now on every change is compared with what the journal wants at that moment.
    pub(crate) fn audited_by(&self, books: &Arc<Books>, name: &str) {
        self.books.set((books.clone(), workload(name))).unwrap();
    }

    /// The next calls of `name` go wrong in this way, in this order.
    pub(crate) fn goes_wrong(&self, name: &'static str, wrong: impl IntoIterator<Item = Wrong>) {
        let mut state = self.state.lock().unwrap();
        state.wrong.entry(name).or_default().extend(wrong);
    }

    /// Replicas of this revision fail from now on.
    pub(crate) fn breaks(&self, name: &str) {
        self.state.lock().unwrap().broken = Some(revision(name));
    }

    pub(crate) fn changes(&self) -> Vec<String> {
        self.state.lock().unwrap().changes.clone()
    }

    /// What was changed; the same thing twice in a row is once.
    pub(crate) fn distinct_changes(&self) -> Vec<String> {
        let mut changes = self.changes();
        changes.dedup();
        changes
    }

    pub(crate) fn calls(&self, name: &str) -> Vec<tokio::time::Instant> {
        let state = self.state.lock().unwrap();
        let named = state.calls.iter().filter(|(call, _)| *call == name);
        named.map(|(_, at)| *at).collect()
    }

    pub(crate) fn busy(&self) -> bool {
        self.state.lock().unwrap().calls_now > 0
    }

    pub(crate) fn weight(&self) -> Percent {
        self.state.lock().unwrap().split.share_of(&revision("v2"))
    }

    /// What is there, for comparison.
    pub(crate) fn end(&self) -> (FleetStatus, Split) {
        let state = self.state.lock().unwrap();
        (state.status(), state.split.clone())
    }

    /// Takes some time, or goes wrong.
    async fn call(&self, name: &'static str) -> Result<Call<'_>> {
        let call = Call::begin(self);
        let wrong = {
            let mut state = self.state.lock().unwrap();
            state.calls.push((name, tokio::time::Instant::now()));
            state.wrong.get_mut(name).and_then(VecDeque::pop_front)
        };
        tokio::time::sleep(Duration::from_millis(7)).await;
        match wrong {
            None => {}
            Some(Wrong::Error(kind)) => return Err(Error::new(kind, name)),
            Some(Wrong::After(kind, wait)) => {
                return Err(Error::new(kind, name).with_retry_after(wait));
            }
            Some(Wrong::Hang) => std::future::pending().await,
            Some(Wrong::Slow(length)) => tokio::time::sleep(length).await,
            Some(Wrong::Panic) => panic!("{name} is out of order"),
        }
        Ok(call)
    }

    /// Notes a change, and sees that it was written down before it is done.
    async fn change(&self, action: Action) {
        if let Some((books, workload)) = self.books.get() {
            let replayed = replay(books.entries(workload), &[]).unwrap().unwrap();
            match replayed.rollout.next() {
                Next::Run(effect) => assert_eq!(effect.action, action, "not in the journal"),
                other => panic!("{action}, while the journal wants {other:?}"),
            }
        }
        self.state.lock().unwrap().changes.push(action.to_string());
    }
}

impl State {
    fn status(&self) -> FleetStatus {
        let mut fleet = FleetStatus::new();
        for (revision, group) in &self.fleet {
            let broken = self.broken.as_ref() == Some(revision) && group.desired > 0;
            let group = if broken {
                GroupStatus::new(group.desired, 0).with_failed(1)
            } else {
                *group
            };
            fleet = fleet.with(revision.clone(), group);
        }
        fleet
    }
}

/// A call under way.
struct Call<'a>(&'a World);

impl<'a> Call<'a> {
    fn begin(world: &'a World) -> Self {
        let mut state = world.state.lock().unwrap();
        state.calls_now += 1;
        if state.calls_now == 1 {
            let now = world.gauge.now.fetch_add(1, Ordering::SeqCst) + 1;
            world.gauge.most.fetch_max(now, Ordering::SeqCst);
        }
        Self(world)
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let mut state = self
            .0
            .state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        state.calls_now -= 1;
        if state.calls_now == 0 {
            self.0.gauge.now.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

#[async_trait]
impl Executor for World {
    async fn scale(&self, fleet: &Fleet) -> Result<FleetStatus> {
        self.change(Action::Scale(fleet.clone())).await;
        let _call = self.call("scale").await?;
        let mut state = self.state.lock().unwrap();
        for group in [&fleet.stable, &fleet.canary] {
            if let Some(replicas) = group.replicas {
                let ready = GroupStatus::new(replicas, replicas);
                state.fleet.insert(group.revision.clone(), ready);
            }
        }
        Ok(state.status())
    }

    async fn status(&self) -> Result<FleetStatus> {
        let _call = self.call("status").await?;
        Ok(self.state.lock().unwrap().status())
    }

    async fn promote(&self, revision: &Revision) -> Result<Progress> {
        self.change(Action::Promote(revision.clone())).await;
        let _call = self.call("promote").await?;
        Ok(Progress::Done)
    }

    async fn retire(&self, revision: &Revision) -> Result<Progress> {
        self.change(Action::Retire(revision.clone())).await;
        let _call = self.call("retire").await?;
        self.state.lock().unwrap().fleet.remove(revision);
        Ok(Progress::Done)
    }
}

#[async_trait]
impl TrafficRouter for World {
    fn capability(&self) -> Capability {
        let exact = Percent::from_basis_points(1).unwrap();
        Capability::new(exact, Duration::from_millis(300))
    }

    async fn apply(&self, split: &Split) -> Result<()> {
        self.change(Action::Route(split.clone())).await;
        let _call = self.call("apply").await?;
        self.state.lock().unwrap().split = split.clone();
        Ok(())
    }

    async fn observe(&self) -> Result<Split> {
        let _call = self.call("observe").await?;
        Ok(self.state.lock().unwrap().split.clone())
    }
}

#[async_trait]
impl MetricsSource for World {
    async fn measure(&self, question: &Question) -> Result<Vec<Reading>> {
        assert!(!question.metrics.is_empty(), "nothing was asked");
        let _call = self.call("measure").await?;
        let good = Sample::Counts {
            bad: 0,
            total: 10_000,
        };
        let read = |query: &codedance_core::metrics::MetricQuery| {
            Reading::new(query.name.clone(), good.clone(), good.clone())
        };
        Ok(question.metrics.iter().map(read).collect())
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#?}", self.changes())
    }
}
