//! Three versions of the demo server on this machine: the whole of Codedance in one file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use codedance::config;
use codedance::decision::Policy;
use codedance::driver::{Driver, Ports};
use codedance::metrics::MetricsSource;
use codedance::plan::{Exponential, Plan, Strategy};
use codedance::process::{self, ProcessExecutor, Template};
use codedance::proxy::{self, Proxy};
use codedance::report::Ending;
use codedance::rollout::{Observation, Outcome};
use codedance::traffic::{Split, TrafficRouter};
use codedance::workload::{Executor, Fleet, FleetStatus, Group, Revision, Workload, WorkloadName};
use futures::Stream;
use tokio::sync::watch;

use crate::books::{Books, Standing};
use crate::conduct::{Begin, Operator, conduct};
use crate::load::{Ask, Load, Tally};
use crate::scraped::{self, Scraped};
use crate::server::Version;
use crate::show::View;
use crate::summary;

/// How many replicas serve the whole traffic.
const REPLICAS: u32 = 3;

/// How long the metrics of a stage may leave it open whether the canary is good.
const UNDECIDED: Duration = Duration::from_secs(8);

/// The same where the metrics come by way of a server, which may show them many seconds late.
const UNDECIDED_SCRAPED: Duration = Duration::from_secs(60);

/// How long each stage holds, at least.
const BAKE: Duration = Duration::from_secs(2);

/// As whom the driver holds its leases: a process that takes the place of one that was killed goes on at
/// once. That no two do so at the same time, the lock on the directory sees to.
const OWNER: &str = "quickstart";

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) crash: bool,
    pub(crate) scraped: Option<scraped::Options>,
    pub(crate) listen: SocketAddr,
    pub(crate) rate: u32,
    pub(crate) state: Option<PathBuf>,
    pub(crate) report: PathBuf,
}

pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    let Options {
        crash,
        listen,
        rate,
        scraped,
        ..
    } = &options;
    let mut operator = Operator::listen(false)?;
    let mut view = View::new();
    let mut policy: Policy = config::from_yaml(include_str!("policy.yaml"))?;
    let shop = WorkloadName::new("shop")?;
    let [v1, v2, v3, v4] = Version::ALL.map(Version::revision);

    // Whatever is wrong with the server of metrics is told before anything begins.
    let mut server = None;
    if let Some(scraped) = scraped {
        let settings = policy.into_builder();
        policy = settings.with_interval(scraped::INTERVAL).build()?;
        let scraped = Scraped::open(scraped, &shop).await?;
        scraped.check(&policy, &v1, &v2).await?;
        server = Some(scraped);
    }

    // The proxy divides the traffic and counts what becomes of it: it is the router and the metrics.
    // Its notes are taken often, because the looks at them are only half a second apart.
    let mut config =
        proxy::Config::new(*listen, v1.clone()).with_sampling(Duration::from_millis(100));
    config.admin = scraped.as_ref().map(|scraped| scraped.metrics);
    let proxy = Arc::new(Proxy::bind(config).await?);

    // Each replica is this program in another process. The executor starts and watches it, tells the
    // proxy of it when it is ready, and drains it there before it stops it.
    let executor = Arc::new(executor()?.with_endpoints(proxy.clone()));

    // What happens is written down before it is done. The journal outlives a crash.
    let books = Books::open(options.state.as_deref(), &shop).await?;
    let driver = Driver::builder(Arc::new(books.store.clone())).with_owner(OWNER);
    let driver = driver.build();

    let canaries = [&v2, &v3, &v4].into_iter().take(if *crash { 3 } else { 2 });
    let before = books.stories().await?;
    let mut in_service = v1.clone();
    for canary in canaries.clone() {
        if Standing::of(canary, &before) == Standing::Promoted {
            in_service = canary.clone();
        }
    }
    view.say(&format!("starting {REPLICAS} replicas of {in_service}"));
    let nobody = if in_service == v1 { &v2 } else { &v1 };
    start(&executor, &in_service, nobody, &operator).await?;
    proxy.apply(&Split::all(in_service.clone())).await?;
    let users = Load::start(proxy.local_addr(), &Ask::Demo, *rate);
    view.say(&format!(
        "http://{} serves {rate} requests a second",
        proxy.local_addr()
    ));
    let metrics: Arc<dyn MetricsSource> = match &server {
        None => proxy.clone(),
        Some(server) => {
            let revisions = (&in_service, nobody);
            server
                .wait(&policy, revisions, &proxy, &operator, &view)
                .await?;
            server.source()
        }
    };
    let undecided = match &server {
        None => UNDECIDED,
        Some(_) => UNDECIDED_SCRAPED,
    };

    for canary in canaries {
        if operator.interrupted() {
            break;
        }
        let begin = match Standing::of(canary, &before) {
            Standing::New => Begin::Anew(Box::new(policy.clone())),
            Standing::UnderWay => {
                view.say(&format!("going on with {canary} where the journal ends"));
                Begin::Again
            }
            // The end of an earlier run is known already.
            Standing::Promoted | Standing::Over => continue,
        };
        let plan = plan(&shop, &in_service, canary, undecided)?;
        let ports = Ports::new(executor.clone(), proxy.clone(), metrics.clone())
            .with_changes(observations(executor.changes()));
        let outcome = conduct(&driver, plan, begin, ports, &mut view, &mut operator).await?;
        if outcome == Outcome::Completed {
            in_service = canary.clone();
        }
    }

    let tally = users.stop().await;
    driver.shutdown(Duration::from_secs(2)).await;
    executor.shutdown(Duration::from_secs(2)).await;
    // A replica that dies by itself takes requests with it. No moving of traffic could have saved those.
    let died_with_v4 = proxy.totals(&v4).map_or(0, |totals| totals.no_answer);
    proxy.shutdown(Duration::from_secs(2)).await;

    let stories = books.stories().await?;
    books.close().await?;
    println!();
    stories.iter().for_each(summary::tell);
    let lost = tally.lost.saturating_sub(died_with_v4);
    tell(&tally, lost, died_with_v4);
    summary::report("Codedance quickstart", &stories, &options.report)?;

    let expected: &[Ending] = match *crash {
        false => &[Ending::Completed, Ending::RolledBack],
        true => &[Ending::Completed, Ending::RolledBack, Ending::RolledBack],
    };
    let as_expected = stories.iter().map(|story| &story.outcome).eq(expected);
    Ok(ExitCode::from(u8::from(!as_expected || lost > 0)))
}

fn executor() -> Result<ProcessExecutor> {
    let program = std::env::current_exe()?;
    let this = std::process::id().to_string();
    let config = process::Config::new()
        .with_startup_deadline(Duration::from_secs(10))
        .with_health_interval(Duration::from_millis(250))
        .with_drain_deadline(Duration::from_secs(5))
        .with_grace(Duration::from_secs(2));
    let mut executor = ProcessExecutor::new(config);
    for version in Version::ALL {
        let template = Template::new(&program)
            .with_args(["serve", version.name(), "{port}", &this])
            .with_health_path("/healthz")?;
        executor = executor.with_template(version.revision(), template);
    }
    Ok(executor)
}

fn plan(
    shop: &WorkloadName,
    stable: &Revision,
    canary: &Revision,
    undecided: Duration,
) -> Result<Plan> {
    let workload = Workload::new(shop.clone(), stable.clone(), canary.clone(), REPLICAS);
    let mut draft = Exponential::new(BAKE).plan(&workload)?.into_draft();
    // The executor drains each replica exactly, so the plan need not wait for good measure as well.
    draft.drain = Duration::ZERO;
    for stage in &mut draft.stages {
        stage.deadline = Some(undecided);
    }
    Ok(draft.try_into()?)
}

/// Brings the version in service up, as it would be up already in real life.
async fn start(
    executor: &ProcessExecutor,
    stable: &Revision,
    canary: &Revision,
    operator: &Operator,
) -> Result<()> {
    let mut changes = executor.changes();
    let group = |revision: &Revision, replicas| Group {
        revision: revision.clone(),
        replicas: Some(replicas),
    };
    let fleet = Fleet {
        stable: group(stable, REPLICAS),
        canary: group(canary, 0),
    };
    executor.scale(&fleet).await?;
    let up = changes.wait_for(|fleet| {
        let stable = fleet.of(stable);
        stable.ready == REPLICAS || stable.failed > 0
    });
    let failed = tokio::select! {
        fleet = up => fleet?.of(stable).failed,
        () = operator.wait() => bail!("interrupted before {stable} was up"),
    };
    if failed > 0 {
        let why = executor.last_failure(stable);
        bail!("{stable} does not start: {why:?}");
    }
    Ok(())
}

/// What the executor sees unasked: a replica that dies is known at once, not at the next look.
fn observations(changes: watch::Receiver<FleetStatus>) -> impl Stream<Item = Observation> {
    futures::stream::unfold(changes, |mut changes| async {
        changes.changed().await.ok()?;
        let fleet = changes.borrow_and_update().clone();
        Some((Observation::from(fleet), changes))
    })
}

fn tell(tally: &Tally, lost: u64, died_with_v4: u64) {
    let (sent, well, v3) = (tally.sent(), tally.well, tally.errors_of("v3"));
    println!("users    {sent} requests: {well} answered well, {v3} met an error of v3");
    if died_with_v4 > 0 {
        println!("         {died_with_v4} ended with the replica of v4 that answered them");
    }
    println!("         {lost} lost by moving traffic");
    if let (Some(loss), true) = (&tally.first_loss, lost > 0) {
        println!("         the first: {loss}");
    }
}
