//! Makes the recordings that the backtest's samples are, anew.
//!
//! ```text
//! cargo run --example backtest-data -- --seed 1 examples/backtest/data
//! ```

mod tables;

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;

/// Writes the recordings into a directory; the same seed gives the same bytes.
#[derive(Debug, Parser)]
#[command(name = "backtest-data")]
struct Args {
    /// Where every number comes from; the samples in the repository have 1
    #[arg(long)]
    seed: u64,
    /// Where they are written
    directory: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    for (name, table) in tables::all(args.seed) {
        let file = args.directory.join(name);
        fs::write(&file, table).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}
