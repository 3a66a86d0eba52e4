//! Ten thousand rollouts under one driver in one process: what each holds in memory, and what all of them
//! use of a core with a look each ten seconds.
//!
//! The ports are the memory adapters, one set for each rollout, and count as part of it. The journal grants
//! leases and forgets entries: what a journal keeps is its own cost, not the driver's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use codedance::decision::{Limits, Metric, Policy};
use codedance::driver::{Driver, Ports};
use codedance::journal::{Entry, Journal, Lease};
use codedance::memory::{MemoryExecutor, MemoryMetrics, MemoryRouter};
use codedance::metrics::Signal;
use codedance::plan::{Exponential, Strategy};
use codedance::rollout::Phase;
use codedance::traffic::Split;
use codedance::workload::{Revision, Workload, WorkloadName};
use codedance::{Percent, Result, Timestamp};

const ROLLOUTS: u32 = 10_000;
const WATCHED: Duration = Duration::from_secs(40);

/// Grants every lease and forgets every entry.
#[derive(Debug)]
struct Forgetful;

#[async_trait]
impl Journal for Forgetful {
    async fn acquire(&self, of: &WorkloadName, owner: &str, _: Duration) -> Result<Lease> {
        Ok(Lease::new(of.clone(), owner.to_owned(), 1, Timestamp::MAX))
    }

    async fn renew(&self, lease: &Lease, _: Duration) -> Result<Lease> {
        Ok(lease.clone())
    }

    async fn release(&self, _: &Lease) -> Result<()> {
        Ok(())
    }

    async fn append(&self, _: &Lease, _: &Entry) -> Result<()> {
        Ok(())
    }

    async fn load(&self, _: &WorkloadName) -> Result<Vec<Entry>> {
        Ok(Vec::new())
    }

    async fn list(&self) -> Result<Vec<WorkloadName>> {
        Ok(Vec::new())
    }
}

/// What this process holds in memory, in bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or_default() * 4_096
}

/// The processor time that this process has used, in hundredths of a second.
fn ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<u64> = after_name
        .split_whitespace()
        .map(|field| field.parse().unwrap_or_default())
        .collect();
    // The 14th and 15th fields of proc(5), counted from the name on.
    fields.get(11).copied().unwrap_or_default() + fields.get(12).copied().unwrap_or_default()
}

fn policy() -> anyhow::Result<Policy> {
    let errors = Metric::new("errors", Signal::ErrorRate, Limits::fail(Percent::new(1)?));
    Ok(Policy::builder()
        .with_metric(errors)
        .with_interval(Duration::from_secs(10))
        .build()?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let driver = Driver::new(Arc::new(Forgetful));
    let (v1, v2) = (Revision::new("v1")?, Revision::new("v2")?);
    let policy = policy()?;
    let before = resident();
    let mut handles = Vec::new();
    for number in 0..ROLLOUTS {
        let name = WorkloadName::new(format!("shop/{number}"))?;
        let workload = Workload::new(name, v1.clone(), v2.clone(), 3);
        // The first stage outlasts the measurement: each rollout rests in it and is looked at.
        let plan = Exponential::new(Duration::from_secs(3_600)).plan(&workload)?;
        let ports = Ports::new(
            Arc::new(MemoryExecutor::new().with_running(&v1, 3)),
            Arc::new(MemoryRouter::new(Split::all(v1.clone()))),
            Arc::new(MemoryMetrics::healthy()),
        );
        handles.push(driver.start(plan, policy.clone(), ports).await?);
        // Spread over the interval, as starts are in life.
        if number % 50 == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (began, used) = (Instant::now(), ticks());
    tokio::time::sleep(WATCHED).await;
    let share = (ticks() - used) as f64 / 100.0 / began.elapsed().as_secs_f64();
    let each = resident().saturating_sub(before) / u64::from(ROLLOUTS);

    let astray = handles
        .iter()
        .filter(|handle| handle.status().phase != Phase::Progressing)
        .count();
    anyhow::ensure!(
        astray == 0,
        "{astray} of {ROLLOUTS} rollouts are not at their stage"
    );
    let looked = handles
        .iter()
        .filter(|handle| handle.explain().score.is_some())
        .count();
    anyhow::ensure!(
        looked == ROLLOUTS as usize,
        "only {looked} of {ROLLOUTS} were looked at"
    );
    println!(
        "{}",
        serde_json::json!({
            "rollouts": ROLLOUTS,
            "resident_bytes_each": each,
            "core_share": share,
        })
    );
    Ok(())
}
