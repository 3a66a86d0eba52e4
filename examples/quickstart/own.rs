//! The same on two servers of the user's own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use codedance::Percent;
use codedance::config;
use codedance::decision::{JudgeConfig, Limits, Metric, Policy, ThresholdsConfig};
use codedance::driver::{Driver, Ports};
use codedance::memory::MemoryJournal;
use codedance::metrics::{MetricsSource, Signal};
use codedance::plan::{BlueGreen, Exponential, Linear, Manual, Plan, Strategy as _};
use codedance::proxy::{Config, Proxy};
use codedance::report::Story;
use codedance::rollout::{Cause, Outcome};
use codedance::time::display_duration;
use codedance::workload::{Executor, Fleet, Group, Revision, Workload, WorkloadName};

use crate::addresses::{Addresses, Server};
use crate::conduct::{Begin, Operator, conduct};
use crate::load::{Ask, Load};
use crate::scraped::{self, Scraped};
use crate::show::View;
use crate::summary;

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) stable: Server,
    pub(crate) canary: Server,
    pub(crate) strategy: Strategy,
    pub(crate) duration: Duration,
    pub(crate) policy: Option<PathBuf>,
    pub(crate) scraped: Option<scraped::Options>,
    pub(crate) listen: SocketAddr,
    pub(crate) rate: u32,
    pub(crate) json: Option<PathBuf>,
    pub(crate) report: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Strategy {
    /// 5, 10, 25, 50, 75, 100 %
    Linear,
    /// 1, 5, 10, 25, 50, 100 %
    Exponential,
    /// As linear, but each stage waits for Enter
    Manual,
    /// Nothing, then everything
    BlueGreen,
}

impl Strategy {
    /// Its plan: the bake times of all stages together take two fifths of the time that there is, since
    /// little traffic may need longer to tell.
    fn plan(self, workload: &Workload, duration: Duration) -> Result<Plan> {
        let bake = |stages: u32| duration * 2 / 5 / stages;
        let plan = match self {
            Self::Linear => Linear::new(bake(6)).plan(workload),
            Self::Exponential => Exponential::new(bake(6)).plan(workload),
            Self::Manual => Manual::new(bake(6)).plan(workload),
            Self::BlueGreen => BlueGreen::new(bake(2)).with_preview(bake(2)).plan(workload),
        };
        let mut draft = plan?.into_draft();
        draft.drain = Duration::ZERO; // `Addresses` drains exactly.
        draft.deadline = Some(duration);
        draft.progress_deadline = duration / 3;
        draft.give_up_after = duration;
        Ok(draft.try_into()?)
    }
}

pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    let Options {
        stable,
        canary,
        rate,
        duration,
        ..
    } = &options;
    let longer = "give it at least 5s with --duration";
    ensure!(
        *duration >= Duration::from_secs(5),
        "{} is too short; {longer}",
        display_duration(*duration)
    );
    ensure!(
        stable != canary,
        "--stable and --canary are the same server; give the canary's own address"
    );
    ensure!(
        stable.path == canary.path,
        "--stable asks for {} and --canary for {}, but the proxy asks both for what its client asked \
         for; give both the same path",
        stable.path,
        canary.path
    );
    ensure!(
        *rate > 0 || options.listen.port() != 0,
        "with `--rate 0` the requests come from users of yours; tell them where by --listen, such as \
         `--listen 127.0.0.1:8080`"
    );
    let policy = policy(&options)?;

    let name = WorkloadName::new("quickstart")?;
    let (v1, v2) = (
        Revision::new(&stable.authority)?,
        Revision::new(&canary.authority)?,
    );
    let mut server = None;
    if let Some(scraped) = &options.scraped {
        let scraped = Scraped::open(scraped, &name).await?;
        scraped.check(&policy, &v1, &v2).await?;
        server = Some(scraped);
    }
    let addresses = (stable.resolve().await?, canary.resolve().await?);
    ensure!(
        stable.answers(addresses.0).await,
        "nothing answers HTTP at {}; start the stable server first, or correct --stable",
        stable.authority
    );

    let mut operator = Operator::listen(options.strategy == Strategy::Manual)?;
    let mut view = View::new();
    let mut config =
        Config::new(options.listen, v1.clone()).with_sampling(Duration::from_millis(100));
    config.admin = options.scraped.as_ref().map(|scraped| scraped.metrics);
    let proxy = Arc::new(Proxy::bind(config).await?);
    let servers = [
        (v1.clone(), (stable.clone(), addresses.0)),
        (v2.clone(), (canary.clone(), addresses.1)),
    ];
    let executor = Arc::new(Addresses::new(servers, proxy.clone()));
    let group = |revision: &Revision, replicas| Group {
        revision: revision.clone(),
        replicas: Some(replicas),
    };
    executor
        .scale(&Fleet {
            stable: group(&v1, 1),
            canary: group(&v2, 0),
        })
        .await?;

    let journal = MemoryJournal::new();
    let driver = Driver::new(Arc::new(journal.clone()));
    let workload = Workload::new(name.clone(), v1.clone(), v2.clone(), 1);
    let plan = options.strategy.plan(&workload, *duration)?;

    let ask = Ask::Any {
        host: stable.authority.clone(),
        path: stable.path.clone(),
    };
    let users = Load::start(proxy.local_addr(), &ask, *rate);
    view.say(&format!(
        "http://{}{} serves {v1}",
        proxy.local_addr(),
        stable.path
    ));
    if options.strategy == Strategy::Manual {
        view.say("press Enter to end a stage");
    }
    let metrics: Arc<dyn MetricsSource> = match &server {
        None => proxy.clone(),
        Some(server) => {
            server
                .wait(&policy, (&v1, &v2), &proxy, &operator, &view)
                .await?;
            server.source()
        }
    };
    let ports = Ports::new(executor, proxy.clone(), metrics);
    let begin = Begin::Anew(Box::new(policy));
    let outcome = conduct(&driver, plan, begin, ports, &mut view, &mut operator).await?;

    let tally = users.stop().await;
    driver.shutdown(Duration::from_secs(2)).await;
    proxy.shutdown(Duration::from_secs(2)).await;

    let stories = Story::all(&journal.entries(&name))?;
    println!();
    stories.iter().for_each(summary::tell);
    for revision in [&v1, &v2] {
        let totals = proxy.totals(revision).unwrap_or_default();
        let (requests, errors, none) = (totals.requests(), totals.answers[4], totals.no_answer);
        println!("requests {requests} to {revision}: {errors} errors, {none} without an answer");
    }
    if let Some(loss) = tally.first_loss {
        println!("users    {} requests lost, the first: {loss}", tally.lost);
    }
    if let (Some(path), Some(story)) = (&options.json, stories.last()) {
        summary::write(path, &serde_json::to_string_pretty(story)?)?;
    }
    summary::report("Codedance quickstart", &stories, &options.report)?;
    Ok(ExitCode::from(code(&outcome)))
}

/// The user's own policy, or: at most 1 % errors.
fn policy(options: &Options) -> Result<Policy> {
    if let Some(path) = &options.policy {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {file}"))?;
        return Ok(config::from_yaml(&text).map_err(|error| error.in_file(file))?);
    }
    let errors = Metric::new("errors", Signal::ErrorRate, Limits::fail(Percent::new(1)?));
    let judge = ThresholdsConfig::default()
        .with_min_requests(10)
        .with_good_in_row(1)
        .with_bad_in_row(2);
    Ok(Policy::builder()
        .with_metric(errors.critical())
        .with_judge(JudgeConfig::Thresholds(judge))
        .with_interval(match options.scraped {
            None => Duration::from_millis(500),
            Some(_) => scraped::INTERVAL,
        })
        .with_grace(Duration::from_secs(3))
        .build()?)
}

/// The exit code: only what says something about the canary is a verdict.
const fn code(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Completed => 0,
        Outcome::RolledBack(
            Cause::DeadlinePassed | Cause::Inconclusive { .. } | Cause::Aborted,
        ) => 3,
        Outcome::RolledBack(_) => 2,
        _ => 1,
    }
}
