//! All judges on the same traffic: how often they send healthy canaries back, how many sick ones they find,
//! and how many requests that costs.
//!
//! `cargo xtask bench decision` runs it, and compares what it finds with the goals. Rollouts are played for
//! an hour with a look each minute, as if nobody stopped them, and the first minute at which a judge would
//! have sent the canary back counts. Only that is compared; when a stage may end is not.

mod appointed;
mod earlier;
mod figures;
mod judges;
mod kayenta;
mod latency;
mod plots;
mod references;
mod scenarios;
mod simulate;
mod svg;
mod tables;
mod tally;
mod traffic;
mod wealth;

use std::path::PathBuf;

use anyhow::ensure;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use crate::earlier::Beside;
use crate::figures::{Figures, Of};
use crate::scenarios::{Played, Table};
use crate::tables::Shown;

#[derive(Debug, Parser)]
struct Args {
    /// Decides every random number
    #[arg(long, default_value_t = 4242)]
    seed: u64,
    /// How many rollouts of each healthy canary; of each sick one it is half as many
    #[arg(long, default_value_t = 4_000)]
    reps: usize,
    /// Draws what was found into this folder: power.svg and false-positives.svg
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
    /// What cargo passes to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    ensure!(
        args.reps >= 2,
        "--reps is {}; there is nothing to count below 2",
        args.reps
    );
    let played = play(args.seed, args.reps)?;
    for table in Table::ALL {
        let played = &played;
        print!("{}", Shown { table, played });
    }
    print!("{}", Beside(&played));
    if let Some(folder) = &args.svg {
        plots::write(folder, &played)?;
    }
    let figures = Figures {
        scenarios: played.iter().map(Of::from).collect(),
    };
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

/// Plays every scenario, and shows on terminals how far it is.
fn play(seed: u64, healthy: usize) -> anyhow::Result<Vec<Played>> {
    let scenarios = scenarios::all();
    let style = ProgressStyle::with_template("{pos}/{len} {wide_msg} {eta}")?;
    let bar = ProgressBar::new(scenarios.len() as u64).with_style(style);
    let mut all = Vec::with_capacity(scenarios.len());
    for scenario in scenarios {
        bar.set_message(scenario.name());
        let rollouts = match scenario.table.is_healthy() {
            true => healthy,
            false => healthy / 2,
        };
        all.push(scenario.play(seed, rollouts));
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(all)
}
