//! `cargo xtask services up` and `down`: the real servers that tests talk to.
//!
//! Each is installed if it is not there. Postgres runs on a free port of this machine with its data in a
//! folder of its own, and is stopped by what its start has noted, never by its name. The servers of
//! metrics are only made ready: a test starts those that it needs, since it restarts them in the middle.

mod metrics;
mod postgres;

use std::path::PathBuf;

use anyhow::Result;

pub(crate) use metrics::install as install_metrics;
use postgres::Postgres;

use crate::sh;

/// The arguments of `cargo xtask services`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Copy, Debug, clap::Subcommand)]
enum Action {
    /// Installs what the tests need, starts what has to run, and leaves it running
    Up,
    /// Stops what runs and removes its data; what was installed stays
    Down,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match args.action {
        Action::Up => {
            let postgres = Postgres::up()?;
            println!("Postgres: {}", postgres.url()?);
            for (name, path) in metrics::install()? {
                println!("{name}: {}", path.display());
            }
        }
        Action::Down => {
            if let Some(postgres) = Postgres::running() {
                postgres.down()?;
            }
        }
    }
    Ok(())
}

/// What runs for as long as this lives, unless it ran before.
#[derive(Debug)]
pub(crate) struct Guard(Option<Postgres>);

impl Guard {
    /// # Errors
    /// When a server cannot be installed or started.
    pub(crate) fn up() -> Result<Self> {
        // Whoever names a server has one.
        if std::env::var_os("CODEDANCE_POSTGRES").is_some() || Postgres::running().is_some() {
            return Ok(Self(None));
        }
        Postgres::up().map(|postgres| Self(Some(postgres)))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(postgres) = self.0.take()
            && let Err(error) = postgres.down()
        {
            eprintln!("warning: Postgres was not stopped: {error:#}");
        }
    }
}

/// What is installed for the tests, and where notes say what they and the stop have to know.
fn folder() -> PathBuf {
    sh::root().join("target/services")
}

/// A note of that name.
fn noted(name: &str) -> PathBuf {
    folder().join(name)
}
