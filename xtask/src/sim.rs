//! `cargo xtask sim`: whole rollouts in virtual time, under every fault at once.

use anyhow::Result;

use crate::sh::Cmd;

/// The arguments of `cargo xtask sim`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many runs of about an hour each
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,
    /// The first seed; without `--seeds` the only one, and what happened last in it is printed
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
}

/// So many without a wish: about a minute.
const SEEDS: u64 = 10_000;

/// Simulates rollouts on all cores, optimised, until one of them breaks an invariant.
///
/// # Errors
///
/// If an invariant is broken; its seed and its history are printed.
pub(crate) fn run(args: &Args) -> Result<()> {
    let build =
        "cargo run --release --quiet -p codedance-core --features testing,rules --example sim --";
    let wish = match (args.seeds, args.seed) {
        (None, Some(seed)) => format!("--seed {seed}"),
        (seeds, first) => format!("{} {}", seeds.unwrap_or(SEEDS), first.unwrap_or(0)),
    };
    Cmd::new(&format!("{build} {wish}")).run("A simulated rollout breaks an invariant")
}
