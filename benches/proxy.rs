//! The embedded proxy as a rollout uses it, in a process of its own, for `cargo xtask bench proxy` to
//! measure from outside.
//!
//! It prints the address that it listens on, obeys the [`Order`]s on its standard input, one a line,
//! answers each with a line of JSON, and ends with its input.

use std::io::BufRead;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use codedance::Percent;
use codedance::proxy::{Config, Proxy, Totals};
use codedance::traffic::{CohortKey, Endpoints, Split, TrafficRouter};
use codedance::workload::Revision;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often the weight changes after `Order::Change`.
const BETWEEN_CHANGES: Duration = Duration::from_millis(10);

#[derive(Debug, Parser)]
struct Args {
    /// Where the stable revision answers; without it there is nothing to measure here
    #[arg(long, requires = "canary")]
    stable: Option<SocketAddr>,
    /// Where the canary answers
    #[arg(long)]
    canary: Option<SocketAddr>,
    /// How many threads serve
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// How many connections to each endpoint are kept
    #[arg(long, default_value_t = 1_024)]
    idle_connections: usize,
    /// What cargo passes to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// What this process can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// `draw N`: N basis points of the requests go to the canary, each drawn anew.
    Draw(u16),
    /// `cohort N`: N basis points of the users, told apart by the header `X-User`.
    Cohort(u16),
    /// `change`: another weight a hundred times a second, from none to all, until the next order.
    Change,
    /// `totals`: nothing but the answer.
    Totals,
}

impl Order {
    fn read(line: &str) -> anyhow::Result<Self> {
        let mut words = line.split_whitespace();
        let (verb, points) = (words.next(), words.next().map(str::parse).transpose()?);
        Ok(match (verb, points) {
            (Some("draw"), Some(points)) => Self::Draw(points),
            (Some("cohort"), Some(points)) => Self::Cohort(points),
            (Some("change"), None) => Self::Change,
            (Some("totals"), None) => Self::Totals,
            _ => bail!("`{line}` is no order"),
        })
    }
}

/// The proxy with the two revisions that it divides traffic between.
struct Subject {
    proxy: Proxy,
    stable: Revision,
    canary: Revision,
    /// How often the weight was set.
    changes: u64,
}

impl Subject {
    async fn start(
        stable_at: SocketAddr,
        canary_at: SocketAddr,
        kept: usize,
    ) -> anyhow::Result<Self> {
        let (stable, canary) = (Revision::new("v1")?, Revision::new("v2")?);
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = Config::new(listen, stable.clone()).with_idle_connections(kept);
        let proxy = Proxy::bind(config).await?;
        proxy.add(&stable, stable_at).await?;
        proxy.add(&canary, canary_at).await?;
        Ok(Self {
            proxy,
            stable,
            canary,
            changes: 0,
        })
    }

    async fn set(&mut self, points: u16, cohort: Option<CohortKey>) -> anyhow::Result<()> {
        let weight = Percent::from_basis_points(points)?;
        let split = Split::new(self.stable.clone(), self.canary.clone(), weight);
        self.proxy.apply(&split.with_cohort(cohort)).await?;
        self.changes += 1;
        Ok(())
    }

    /// What was counted so far, as one line.
    fn totals(&self) -> Value {
        let both = [&self.stable, &self.canary].map(|revision| self.proxy.totals(revision));
        let sum = |of: fn(&Totals) -> u64| -> u64 { both.iter().flatten().map(of).sum() };
        json!({
            "changes": self.changes,
            "requests": sum(Totals::requests),
            "failed": sum(|totals| totals.answers[4] + totals.no_answer + totals.cut_short),
        })
    }
}

async fn obey(
    mut subject: Subject,
    mut orders: mpsc::UnboundedReceiver<Order>,
) -> anyhow::Result<()> {
    let mut ticks = interval(BETWEEN_CHANGES);
    // A hundred each second on the average, however busy the processors are.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut changing = false;
    loop {
        let order = tokio::select! {
            order = orders.recv() => order,
            _ = ticks.tick(), if changing => {
                // A step that is prime to 10,001 visits every weight, both ends included.
                let points = (subject.changes * 137) % 10_001;
                subject.set(u16::try_from(points)?, None).await?;
                continue;
            }
        };
        let Some(order) = order else {
            subject.proxy.shutdown(Duration::ZERO).await;
            return Ok(());
        };
        changing = order == Order::Change;
        match order {
            Order::Draw(points) => subject.set(points, None).await?,
            Order::Cohort(points) => {
                let key = CohortKey::Header("x-user".to_owned());
                subject.set(points, Some(key)).await?;
            }
            Order::Change => ticks.reset(),
            Order::Totals => {}
        }
        println!("{}", subject.totals());
    }
}

fn runtime(threads: usize) -> std::io::Result<Runtime> {
    let mut builder = match threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.worker_threads(threads).enable_all().build()
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let (Some(stable), Some(canary)) = (args.stable, args.canary) else {
        println!("the proxy is measured from outside: `cargo xtask bench proxy`");
        return Ok(());
    };
    let (sender, orders) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            // Whoever gives orders reads the answers: a bad order ends both.
            let order = Order::read(&line).expect("orders come from the benchmark alone");
            if sender.send(order).is_err() {
                break;
            }
        }
    });
    let serving = async move {
        let subject = Subject::start(stable, canary, args.idle_connections).await?;
        println!("{}", subject.proxy.local_addr());
        obey(subject, orders).await
    };
    runtime(args.threads)?
        .block_on(serving)
        .context("the proxy cannot be measured")
}
