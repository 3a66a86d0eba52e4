//! The main job on real traffic: a good version gets everything, a bad one goes back.
//!
//! ```text
//! cargo run --release --example quickstart                 three versions of a demo server
//! cargo run --release --example quickstart -- --crash      and a fourth, whose replicas die
//! cargo run --release --example quickstart -- --stable http://127.0.0.1:8001 --canary http://127.0.0.1:8002
//! cargo run --release --example quickstart -- --prometheus http://127.0.0.1:9090
//! ```
//!
//! | file | what it shows |
//! |---|---|
//! | `books.rs` | the journal on disk, and where to go on after a crash |
//! | `managed.rs` | processes, proxy, policy and driver put together: begin here |
//! | `own.rs` | the same on two servers that run already |
//! | `addresses.rs` | an executor of one's own |
//! | `scraped.rs` | the metrics by way of a Prometheus, instead of from the proxy itself |
//! | `conduct.rs` | a rollout started, followed and, on Ctrl-C, called off |
//! | `show.rs`, `summary.rs` | the events, live; the story, afterwards |
//! | `server.rs`, `load.rs` | what is rolled out, and its users |

mod addresses;
mod books;
mod conduct;
mod load;
mod managed;
mod own;
mod scraped;
mod server;
mod show;
mod summary;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::ArgPredicate;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use codedance::prom::BaseUrl;
use codedance::time::parse_duration;

/// Rolls a good and a bad version of a demo server out, on real traffic; or a server of yours.
#[derive(Debug, Parser)]
#[command(name = "quickstart", after_help = EXIT_CODES)]
struct Args {
    /// Adds a fourth version, whose replicas die after a few seconds
    #[arg(long, conflicts_with = "stable")]
    crash: bool,

    /// Keeps its journal in this directory: killed at any moment and started again, it goes on where it was
    /// [default: a directory that is removed at the end]
    #[arg(long, value_name = "DIR", conflicts_with = "stable")]
    state: Option<PathBuf>,

    /// The server in service: its canary is rolled out instead of the demo
    #[arg(long, value_name = "URL", requires = "canary")]
    stable: Option<addresses::Server>,

    /// The server that is to take over
    #[arg(long, value_name = "URL", requires = "stable")]
    canary: Option<addresses::Server>,

    /// By which stages it takes over
    #[arg(long, value_enum, default_value = "exponential", requires = "stable")]
    strategy: own::Strategy,

    /// How long the rollout may take; then everything goes back to the stable server [with --prometheus: 3m]
    #[arg(long, default_value = "30s", value_parser = parse_duration, requires = "stable")]
    #[arg(default_value_if("prometheus", ArgPredicate::IsPresent, "3m"))]
    duration: Duration,

    /// What the canary is judged by [default: at most 1 % errors]
    #[arg(long, value_name = "FILE.yaml", requires = "stable")]
    policy: Option<PathBuf>,

    /// Writes the outcome and each stage as JSON
    #[arg(long, value_name = "FILE", requires = "stable")]
    json: Option<PathBuf>,

    /// Judges by what this Prometheus or VictoriaMetrics knows, which has to scrape --metrics each second
    /// [default: by what the proxy itself counts]
    #[arg(long, value_name = "URL")]
    prometheus: Option<BaseUrl>,

    /// Where the proxy shows what it counts, at the path /metrics
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9464", value_parser = address)]
    #[arg(requires = "prometheus")]
    metrics: SocketAddr,

    /// Where the proxy listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0", value_parser = address)]
    listen: SocketAddr,

    /// Requests a second; 0 for servers of yours whose users come by themselves, to --listen
    /// [default: 200 to servers of yours, 500 in the demo]
    #[arg(long, value_parser = clap::value_parser!(u32).range(..=20_000))]
    rate: Option<u32>,

    /// Where the report is written [default: a file in the directory for temporary files]
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,

    #[command(subcommand)]
    internal: Option<Internal>,
}

#[derive(Debug, Subcommand)]
enum Internal {
    /// One replica of the demo server; the process executor starts them.
    #[command(hide = true)]
    Serve(server::Args),
}

const EXIT_CODES: &str = "\
Exit codes of the demo: 0 if every version ended as it should and moving the traffic lost no request.
With --stable and --canary: 0 promoted, 2 rolled back, 3 undecided in time. 1 is an error.";

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(help_or_error) => {
            let _ = help_or_error.print();
            // Clap would say 2, which means something else here.
            return ExitCode::from(u8::from(help_or_error.use_stderr()));
        }
    };
    match run(args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(args: Args) -> anyhow::Result<ExitCode> {
    if let Some(Internal::Serve(replica)) = args.internal {
        return server::serve(replica).await.map(|()| ExitCode::SUCCESS);
    }
    let report = args.report.unwrap_or_else(|| {
        std::env::temp_dir().join(format!("codedance-quickstart-{}.html", std::process::id()))
    });
    let metrics = args.metrics;
    let scraped = args.prometheus;
    let scraped = scraped.map(|server| scraped::Options { server, metrics });
    if let (Some(stable), Some(canary)) = (args.stable, args.canary) {
        let own = own::Options {
            stable,
            canary,
            strategy: args.strategy,
            duration: args.duration,
            policy: args.policy,
            scraped,
            listen: args.listen,
            rate: args.rate.unwrap_or(200),
            json: args.json,
            report,
        };
        return own::run(own).await;
    }
    // So many that even 1 % of them tells something within a few seconds.
    let rate = args.rate.unwrap_or(500);
    if rate < 200 {
        let sentence = "the demo needs at least 200 requests a second to end within a minute; \
                        write `--rate 200` or more";
        let error = Args::command().error(ErrorKind::ValueValidation, sentence);
        error.print()?;
        return Ok(ExitCode::FAILURE);
    }
    managed::run(managed::Options {
        crash: args.crash,
        scraped,
        listen: args.listen,
        rate,
        state: args.state,
        report,
    })
    .await
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "write an address and a port, such as `127.0.0.1:8080`; port 0 takes a free one".to_owned()
    })
}
