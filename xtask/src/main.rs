//! The workspace's own tasks: `cargo xtask test` checks everything, `cargo xtask bench` measures.
//!
//! Nothing here is published. A task needs only the Rust toolchain, and every failure ends with one
//! sentence that says what failed and the command that repeats it.

mod backtest;
mod bench;
mod guard;
mod install;
mod markdown;
mod metadata;
mod prometheus;
mod quickstart;
mod readme;
mod servers;
mod services;
mod sh;
mod sim;
mod test;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

/// The command line of `cargo xtask`. The README's commands are checked against it, too.
#[derive(Debug, Parser)]
#[command(
    name = "xtask",
    bin_name = "cargo xtask",
    about = "The workspace's own tasks"
)]
enum Cli {
    /// Runs every check that a change has to pass, and stops at the first that fails
    Test(test::Args),
    /// Starts or stops the real servers that tests talk to
    Services(services::Args),
    /// Measures a benchmark and compares it with its goals
    Bench(bench::Args),
    /// Simulates rollouts in virtual time, in which everything goes wrong, each decided by a seed
    Sim(sim::Args),
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            if let Some(failed) = error.downcast_ref::<sh::Failed>() {
                eprintln!("repeat it with: {}", failed.repeat);
            }
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    match cli {
        Cli::Test(args) => test::run(&args),
        Cli::Services(args) => services::run(&args),
        Cli::Bench(args) => bench::run(&args),
        Cli::Sim(args) => sim::run(&args),
    }
}
