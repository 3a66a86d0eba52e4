//! What a policy would have decided: a rollout replayed against recorded metrics.
//!
//! ```text
//! cargo run --release --example backtest -- recording.csv --policy policy.yaml --report out.html
//! cargo run --release --example backtest -- errors.bad=5xx.json errors.total=all.json --policy policy.yaml
//! cargo run --release --example backtest -- trail.jsonl --policy another-policy.yaml
//! ```
//!
//! | file | what it shows |
//! |---|---|
//! | `files.rs` | the recording, out of tables, answers of Prometheus and journals |
//! | `show.rs` | how it would have gone, look by look |
//! | `policy.yaml`, `data/` | a policy, and three recordings to replay it against |

mod files;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use clap::error::ErrorKind;
use codedance::backtest::{Backtester, Ending, SideLabel};
use codedance::decision::Policy;
use codedance::plan::Plan;
use codedance::report::{Options, Story, html};
use codedance::{Timestamp, config};
use serde::Deserialize;

/// Replays a policy and a plan against recorded metrics.
#[derive(Debug, Parser)]
#[command(name = "backtest", after_help = EXIT_CODES)]
struct Args {
    /// What was recorded: FILE.csv, FILE.jsonl (a journal that the example `audit` exported), or
    /// METRIC.FIELD=FILE.json (what /api/v1/query_range answered; FIELD is bad, total, le, value or count)
    #[arg(required = true, value_name = "FILE")]
    files: Vec<files::Recording>,

    /// The plan and the policy, under the keys `plan` and `policy`
    #[arg(long, value_name = "FILE.yaml")]
    policy: PathBuf,

    /// Where the rollout begins [default: after the first 60 intervals of 70 or more, so that the judge
    /// knows what is usual]
    #[arg(long, value_name = "TIME")]
    start: Option<Timestamp>,

    /// The label of Prometheus's series that holds the plan's revisions [default: `side`, which holds
    /// `canary` or `stable`]
    #[arg(long, value_name = "LABEL")]
    side_label: Option<String>,

    /// Writes the report here
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
}

const EXIT_CODES: &str = "\
Exit codes: 0 would have been promoted, 2 rolled back, 3 undecided when the recording ended; 1 is an error.";

/// What nobody may forget who reads a backtest.
const AS_RECORDED: &str =
    "The traffic was divided as it was recorded, whatever weight the plan gives.";

/// What the rollout is to be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Setup {
    plan: Plan,
    policy: Policy,
}

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(help_or_error) => {
            let _ = help_or_error.print();
            // Clap would say 2, which means something else here.
            let helps = matches!(
                help_or_error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            );
            return ExitCode::from(u8::from(!helps));
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

fn run(args: Args) -> Result<ExitCode> {
    let Setup { plan, policy } = setup(&args.policy)?;
    let sides = args.side_label.map_or_else(SideLabel::default, |label| {
        SideLabel::new(label, plan.canary().as_str(), plan.stable().as_str())
    });
    let history = files::read(&args.files, sides)?;
    let mut backtester = Backtester::new(policy.clone(), plan.clone());
    if let Some(start) = args.start {
        backtester = backtester.with_start(start);
    }
    let gone = backtester.run(&history)?;

    println!("{}, {} → {}", plan.workload(), plan.stable(), plan.canary());
    show::looks(&gone, &policy);
    println!();
    show::stages(&gone);
    println!("{gone}");
    println!("{AS_RECORDED}");
    if let Some(path) = &args.report {
        let story = Story::from_entries(gone.journal())?;
        let title = format!(
            "Backtest of {}: {} to {}",
            story.workload, story.stable, story.canary
        );
        let options = Options::new().with_title(title).with_note(AS_RECORDED);
        std::fs::write(path, html(&story, &options))
            .with_context(|| format!("cannot write {}", path.display()))?;
        println!("report   {}", path.display());
    }
    Ok(ExitCode::from(match gone.ending {
        Ending::Promoted => 0,
        Ending::RolledBack { .. } => 2,
        Ending::Held { .. } | Ending::RecordingEnded { .. } => 3,
        _ => 1,
    }))
}

fn setup(path: &PathBuf) -> Result<Setup> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {file}"))?;
    Ok(config::from_yaml(&text).map_err(|error| error.in_file(file))?)
}
