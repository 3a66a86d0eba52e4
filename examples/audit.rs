//! The audit trail of a store: what it holds, handed on as JSON Lines, and each decision seen again.
//!
//! ```text
//! cargo run --release --example audit -- list STORE
//! cargo run --release --example audit -- export STORE WORKLOAD --output trail.jsonl
//! cargo run --release --example audit -- replay trail.jsonl
//! ```
//!
//! `replay` needs nothing but the lines: it tells the machine again what it was told, compares its state
//! with each snapshot on the way, bit for bit, and prints every event. Where a policy names a judge of
//! your own, give it to [`replay`](audit::replay).

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use codedance::journal::Journal;
use codedance::store::{Store, audit};
use codedance::workload::WorkloadName;

/// Shows, exports and replays the audit trail of a store.
#[derive(Debug, Parser)]
#[command(name = "audit")]
struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Prints the names of the workloads
    List {
        /// The directory of the store, or its URL
        store: String,
    },
    /// Prints every entry of a workload as a line of JSON
    Export {
        /// The directory of the store, or its URL
        store: String,
        /// The workload, as `list` names it
        workload: String,
        /// Writes the lines to this file instead
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Takes every decision again, and prints what happened
    Replay {
        /// The exported lines; `-` reads them from the standard input
        file: String,
    },
}

fn main() -> ExitCode {
    match run(Args::parse().action) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(action: Action) -> Result<()> {
    match action {
        Action::List { store } => {
            let store = open(&store).await?;
            let workloads = store.list().await?;
            store.close().await;
            print(workloads.iter().map(|workload| format!("{workload}\n")))
        }
        Action::Export {
            store,
            workload,
            output,
        } => {
            let workload = WorkloadName::new(workload)?;
            let store = open(&store).await?;
            let entries = store.export(&workload).await?;
            store.close().await;
            ensure!(
                !entries.is_empty(),
                "the store has no entry of {workload}; `list` prints the workloads it has"
            );
            let lines = audit::to_json_lines(&entries);
            match output {
                Some(file) => fs::write(&file, lines).with_context(|| file.display().to_string()),
                None => print([lines]),
            }
        }
        Action::Replay { file } => {
            let lines = match file.as_str() {
                "-" => std::io::read_to_string(std::io::stdin().lock())?,
                file => fs::read_to_string(file).with_context(|| file.to_owned())?,
            };
            let entries = audit::from_json_lines(&lines).with_context(|| file.clone())?;
            let count = entries.len();
            let told = audit::replay(entries, &[]).with_context(|| file.clone())?;
            print(told.events.iter().map(|event| {
                let (at, workload) = (event.at, &event.workload);
                format!("{at} {workload}: {event}\n")
            }))?;
            for departure in &told.departures {
                eprintln!("{departure}");
            }
            match told.departures.len() {
                0 => eprintln!("{count} entries: every decision is the same again"),
                looks => eprintln!(
                    "{count} entries: every decision follows from what the judge said; today's judge \
                     says otherwise of {looks} looks"
                ),
            }
            Ok(())
        }
    }
}

/// Opens a store that is there already: looking at one must not make one.
async fn open(store: &str) -> Result<Store> {
    if store.contains(':') {
        return Ok(Store::open(store).await?);
    }
    ensure!(
        Path::new(store).join("rollouts.db").is_file(),
        "{store} holds no store; write the directory of one, or its URL"
    );
    Ok(Store::in_directory(Path::new(store)).await?)
}

/// Prints it all; a reader who has seen enough, such as `head`, is no error.
fn print(texts: impl IntoIterator<Item = String>) -> Result<()> {
    let mut out = std::io::stdout().lock();
    for text in texts {
        match out.write_all(text.as_bytes()) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
    }
    Ok(())
}
