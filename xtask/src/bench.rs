//! `cargo xtask bench`: what things cost, beside what they may cost.

mod core;
mod decision;
mod driver;
mod figure;
mod prom;
mod proxy;
mod store;

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Subcommand;

/// The arguments of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The benchmark to run; all of them if none is named
    #[command(subcommand)]
    name: Option<Name>,
    /// Also writes the figures to this file, as a list in JSON
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Name {
    /// A step of the machine, an assessment, a snapshot: how long they take
    Core,
    /// The default judge beside Kayenta and others: what they send back, and after how many requests
    Decision(decision::Args),
    /// Ten thousand rollouts under one driver: their memory and processor time
    Driver,
    /// Looks at Prometheus and VictoriaMetrics, beside one query for each metric and side
    Prom,
    /// The embedded proxy beside nginx, HAProxy and Envoy; takes ten minutes
    Proxy,
    /// Entries that become durable on SQLite and on Postgres, beside what the disk itself can do
    Store,
}

/// Runs the benchmarks, prints their table and writes it as JSON if that is asked for.
///
/// # Errors
///
/// If a benchmark fails, or misses a goal; the table and the JSON are written all the same then.
pub(crate) fn run(args: &Args) -> Result<()> {
    let every = [
        Name::Core,
        Name::Decision(decision::Args::default()),
        Name::Driver,
        Name::Prom,
        Name::Proxy,
        Name::Store,
    ];
    let names = args.name.as_ref().map_or(&every[..], std::slice::from_ref);
    let mut figures = Vec::new();
    for name in names {
        figures.extend(match name {
            Name::Core => core::measure()?,
            Name::Decision(args) => decision::measure(args)?,
            Name::Driver => driver::measure()?,
            Name::Prom => prom::measure()?,
            Name::Proxy => proxy::measure()?,
            Name::Store => store::measure()?,
        });
    }

    print!("\n{}", figure::table(&figures));
    if let Some(path) = &args.json {
        let json = serde_json::to_string_pretty(&figures)?;
        fs::write(path, json + "\n")
            .with_context(|| format!("{} could not be written", path.display()))?;
    }
    let missed: Vec<_> = figures
        .iter()
        .filter(|f| f.met == Some(false))
        .map(|f| f.name.as_str())
        .collect();
    ensure!(
        missed.is_empty(),
        "The goal is missed for {}.",
        missed.join(", ")
    );
    Ok(())
}
