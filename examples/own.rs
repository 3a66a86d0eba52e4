//! A strategy, a judge and an executor of your own, and a rollout driven with them by hand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use codedance::decision::{Assessment, Evidence, Judge, JudgeConfig, Policy, Verdict};
use codedance::driver::{Driver, Ports};
use codedance::memory::{MemoryJournal, MemoryMetrics, MemoryRouter};
use codedance::plan::{Draft, Plan, PlanError, Stage, Strategy};
use codedance::traffic::Split;
use codedance::workload::{
    Executor, Fleet, FleetStatus, GroupStatus, Progress, Revision, Workload,
};
use codedance::{Percent, Result};

/// One replica for the curious, then everybody.
#[derive(Debug)]
struct OneThenAll;

impl Strategy for OneThenAll {
    fn plan(&self, workload: &Workload) -> Result<Plan, PlanError> {
        let mut draft = Draft::new(workload);
        let all = draft.stable_replicas(workload.replicas);
        draft.drain = Duration::from_millis(100);
        draft.stages = vec![
            Stage::new(Percent::ratio(1, 100), 1, all).with_bake(Duration::from_secs(1)),
            Stage::new(Percent::HUNDRED, workload.replicas, all),
        ];
        draft.try_into()
    }
}

/// Content with anything that is ready.
#[derive(Debug)]
struct Ready;

impl Judge for Ready {
    fn name(&self) -> &'static str {
        "ready"
    }

    fn assess(&self, evidence: &Evidence<'_>) -> Assessment {
        let ready = evidence.canary.ready == evidence.canary.desired;
        let verdict = [Verdict::Hold, Verdict::Advance][usize::from(ready)];
        Assessment::new(verdict, Vec::new())
    }
}

/// Replicas that are only counted. A real one starts and stops something.
#[derive(Debug)]
struct Counted(Mutex<BTreeMap<Revision, u32>>);

#[async_trait]
impl Executor for Counted {
    async fn scale(&self, fleet: &Fleet) -> Result<FleetStatus> {
        println!("  scale {fleet}");
        for group in [&fleet.stable, &fleet.canary] {
            let wanted = group.replicas.map(|count| (group.revision.clone(), count));
            self.0.lock().unwrap().extend(wanted);
        }
        self.status().await
    }

    async fn status(&self) -> Result<FleetStatus> {
        let counts = self.0.lock().unwrap();
        let ready = |count: &u32| GroupStatus::new(*count, *count);
        Ok(counts.iter().map(|(r, c)| (r.clone(), ready(c))).collect())
    }

    async fn promote(&self, _: &Revision) -> Result<Progress> {
        Ok(Progress::Done)
    }

    async fn retire(&self, revision: &Revision) -> Result<Progress> {
        self.0.lock().unwrap().remove(revision);
        Ok(Progress::Done)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (v1, v2) = (Revision::new("v1")?, Revision::new("v2")?);
    let plan = OneThenAll.plan(&Workload::new("shop".parse()?, v1.clone(), v2, 4))?;
    let policy = Policy::builder().with_judge(JudgeConfig::Own("ready".to_owned()));
    let policy = policy.with_interval(Duration::from_millis(500)).build()?;

    let executor = Arc::new(Counted(Mutex::new([(v1.clone(), 4)].into())));
    let router = Arc::new(MemoryRouter::new(Split::all(v1)));
    let ports = Ports::new(executor, router, Arc::new(MemoryMetrics::healthy()));
    let (journal, judges) = (Arc::new(MemoryJournal::new()), [Arc::new(Ready) as _]);
    // The rollout ends with its driver, and can be resumed by another: keep it.
    let driver = Driver::builder(journal).with_judges(judges).build();
    let rollout = driver.start(plan, policy, ports).await?;
    println!("{}", rollout.wait().await?);
    Ok(())
}
