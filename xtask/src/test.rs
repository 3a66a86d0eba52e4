//! `cargo xtask test`: every check that a change has to pass, in order.

use std::{panic, thread, time::Instant};

use anyhow::Result;
use clap::ValueEnum;

use crate::{
    backtest, guard, metadata, prometheus, quickstart, readme, services,
    sh::{self, Cmd, Failed},
};

/// The arguments of `cargo xtask test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Runs these steps alone
    #[arg(long, value_name = "STEP", num_args = 1.., conflicts_with = "skip")]
    only: Vec<Step>,
    /// Leaves these steps out
    #[arg(long, value_name = "STEP", num_args = 1..)]
    skip: Vec<Step>,
    /// Prints the steps and what they check, and runs none
    #[arg(long)]
    list: bool,
}

/// One step of the checks. They run in this order, the quick ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// Code is formatted
    Fmt,
    /// Clippy is silent with all features, with none, and with each feature alone
    Clippy,
    /// The documentation builds without a warning
    Docs,
    /// Dependencies are what the architecture allows
    Guard,
    /// Examples and benches compile; every test and doctest passes
    Tests,
    /// Code blocks and commands in the Markdown files are tried
    Readme,
    /// A policy replayed against the example's recordings decides as it should
    Backtest,
    /// The quickstart succeeds in under a minute, and when it is killed at any moment
    Quickstart,
    /// The quickstart decides the same by what each real server of metrics has scraped
    Prometheus,
}

impl Step {
    /// The name to type after `--only` and `--skip`.
    pub(crate) fn name(self) -> String {
        let value = self
            .to_possible_value()
            .expect("no step is hidden from the command line");
        value.get_name().to_owned()
    }

    fn help(self) -> String {
        let value = self
            .to_possible_value()
            .expect("no step is hidden from the command line");
        value
            .get_help()
            .map(ToString::to_string)
            .unwrap_or_default()
    }

    fn run(self) -> Result<()> {
        match self {
            Self::Fmt => Cmd::new("cargo fmt --all --check")
                .run("Some code is not formatted as rustfmt would"),
            Self::Clippy => clippy(),
            Self::Docs => Cmd::new("cargo doc --workspace --no-deps --all-features")
                .with_env("RUSTDOCFLAGS", "-Dwarnings")
                .run("The documentation does not build cleanly"),
            Self::Guard => guard::check(),
            Self::Tests => tests(),
            Self::Readme => readme::check(&sh::root()),
            Self::Backtest => backtest::run(),
            Self::Quickstart => quickstart::run(),
            Self::Prometheus => prometheus::run(),
        }
    }
}

/// Runs the chosen steps and stops at the first that fails.
///
/// # Errors
///
/// A [`Failed`] that names the step, what is wrong and the command that repeats it.
pub(crate) fn run(args: &Args) -> Result<()> {
    if args.list {
        for step in Step::value_variants() {
            println!("{:<11} {}", step.name(), step.help());
        }
        return Ok(());
    }

    let start = Instant::now();
    let (chosen, left_out): (Vec<Step>, Vec<Step>) = Step::value_variants()
        .iter()
        .partition(|step| args.wants(**step));
    for (i, step) in chosen.iter().enumerate() {
        println!(
            "\n== {} ({} of {}): {}",
            step.name(),
            i + 1,
            chosen.len(),
            step.help()
        );
        let begun = Instant::now();
        let outcome = step.run();
        let word = if outcome.is_ok() { "passed" } else { "failed" };
        println!(
            "== {} {word} after {:.1} s",
            step.name(),
            begun.elapsed().as_secs_f64()
        );
        outcome.map_err(|error| name_the_step(*step, &error))?;
    }

    println!(
        "\n{} steps passed in {:.0} s.",
        chosen.len(),
        start.elapsed().as_secs_f64()
    );
    if !left_out.is_empty() {
        let names: Vec<_> = left_out.into_iter().map(Step::name).collect();
        println!("Not run, as asked: {}.", names.join(", "));
    }
    Ok(())
}

impl Args {
    fn wants(&self, step: Step) -> bool {
        if self.only.is_empty() {
            !self.skip.contains(&step)
        } else {
            self.only.contains(&step)
        }
    }
}

/// A step that fails without a command of its own is repeated as a whole.
fn name_the_step(step: Step, error: &anyhow::Error) -> Failed {
    let repeat = error.downcast_ref::<Failed>().map_or_else(
        || format!("cargo xtask test --only {}", step.name()),
        |failed| failed.repeat.clone(),
    );
    Failed {
        sentence: format!("step `{}` failed. {error:#}", step.name()),
        repeat,
    }
}

fn clippy() -> Result<()> {
    Cmd::new("cargo clippy --workspace --all-targets --all-features -- -D warnings")
        .run("Clippy is not silent with all features")?;
    // A target that has to be named is none of all the targets.
    Cmd::new("cargo clippy -p codedance-store --test postgres -- -D warnings")
        .run("Clippy is not silent on the tests of the store on Postgres")?;
    for package in metadata::load()?
        .packages
        .iter()
        .filter(|package| package.is_library())
    {
        let name = &package.name;
        Cmd::new(&format!(
            "cargo clippy -p {name} --lib --no-default-features -- -D warnings"
        ))
        .run(&format!(
            "Clippy is not silent on {name} without its features"
        ))?;
        for feature in package.public_features() {
            let flags = format!("--no-default-features --features {feature}");
            Cmd::new(&format!(
                "cargo clippy -p {name} --lib {flags} -- -D warnings"
            ))
            .run(&format!(
                "Clippy is not silent on {name} with the feature `{feature}` alone"
            ))?;
        }
    }
    Ok(())
}

fn tests() -> Result<()> {
    let _services = services::Guard::up()?;
    // A server of metrics may have to be built, which takes minutes, as compiling everything does.
    let all = "cargo test --workspace --all-features";
    thread::scope(|scope| {
        let servers = scope.spawn(services::install_metrics);
        Cmd::new(&format!("{all} --no-run")).run("A test does not compile")?;
        let installed = servers.join();
        installed.unwrap_or_else(|panic| panic::resume_unwind(panic))
    })?;
    // Without a choice of targets, `cargo test` runs unit tests, integration tests and doctests, and
    // builds the examples. Benches are the one kind it leaves out.
    Cmd::new(all).run("A test fails, or does not compile")?;
    // What needs a server has to be named.
    Cmd::new("cargo test -p codedance-store --test postgres")
        .run("A test of the store on Postgres fails")?;
    Cmd::new("cargo test --workspace --all-features --benches --no-run")
        .run("A bench does not compile")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_and_skip_choose_the_steps() {
        let args = |only: &[Step], skip: &[Step]| Args {
            only: only.to_vec(),
            skip: skip.to_vec(),
            list: false,
        };
        assert!(args(&[], &[]).wants(Step::Fmt));
        assert!(!args(&[Step::Docs], &[]).wants(Step::Fmt));
        assert!(!args(&[], &[Step::Fmt]).wants(Step::Fmt));
        assert!(args(&[], &[Step::Fmt]).wants(Step::Docs));
    }

    #[test]
    fn every_step_says_what_it_checks() {
        assert!(
            Step::value_variants()
                .iter()
                .all(|step| !step.help().is_empty())
        );
    }

    #[test]
    fn a_failure_keeps_the_command_that_repeats_it() {
        let failed = Cmd::new("cargo fmt").failed("No.".to_owned());
        assert_eq!(name_the_step(Step::Fmt, &failed.into()).repeat, "cargo fmt");
        let failed = name_the_step(Step::Guard, &anyhow::anyhow!("No."));
        assert_eq!(failed.repeat, "cargo xtask test --only guard");
        assert_eq!(failed.sentence, "step `guard` failed. No.");
    }
}
