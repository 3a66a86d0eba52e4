//! How many entries become durable, beside what the disk itself can do.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::figure::{Figure, Goal, last_line};
use crate::{services, sh::Cmd};

/// How many entries of one rollout have to become durable while the disk syncs once. Each waits for the
/// one before, and each costs a sync: the database must not need many more.
const ONE: f64 = 0.25;
/// And how many of a thousand rollouts, which share syncs.
const THOUSAND: f64 = 1.0;

/// Runs the bench of the store.
///
/// # Errors
///
/// If it fails, or leaves no figures.
pub(crate) fn measure() -> Result<Vec<Figure>> {
    let _services = services::Guard::up()?;
    let bench = Cmd::new("cargo bench -p codedance-store --bench store");
    println!("$ {bench}");
    figures_of(&bench.output("The bench of the store fails")?)
}

/// The figures in the line of JSON that the store's bench prints: of each, its rounds.
fn figures_of(output: &str) -> Result<Vec<Figure>> {
    #[derive(Deserialize)]
    struct Line {
        syncs: Vec<f64>,
        sqlite_one: Vec<f64>,
        sqlite_thousand: Vec<f64>,
        postgres_one: Vec<f64>,
        postgres_thousand: Vec<f64>,
    }
    let line: Line = last_line(output).context("The bench of the store leaves no figures")?;
    ensure!(
        !line.syncs.is_empty(),
        "The bench of the store had no round."
    );
    let figure = |name, ours: &[f64], goal| {
        let figure = Figure::beside(name, "1/s", ours, &line.syncs, Goal::AtLeast(goal));
        figure.with_note("beside one fdatasync after the other".to_owned())
    };
    Ok(vec![
        figure("sqlite_one_rollout", &line.sqlite_one, ONE),
        figure("sqlite_1000_rollouts", &line.sqlite_thousand, THOUSAND),
        figure("postgres_one_rollout", &line.postgres_one, ONE),
        figure("postgres_1000_rollouts", &line.postgres_thousand, THOUSAND),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_the_store_are_its_last_line_of_json() {
        let line = r#"{"syncs":[100,200],"sqlite_one":[50,100],"sqlite_thousand":[900,1800],"postgres_one":[1,2],"postgres_thousand":[50,100]}"#;
        let figures = figures_of(&format!("warming up\n{line}\n")).unwrap();
        let ratios: Vec<_> = figures.iter().map(|figure| figure.ratio).collect();
        assert_eq!(ratios, [Some(0.5), Some(9.0), Some(0.01), Some(0.5)]);
        let met: Vec<_> = figures.iter().map(|figure| figure.met).collect();
        assert_eq!(met, [Some(true), Some(true), Some(false), Some(false)]);
        assert!(figures_of("nothing\n").is_err());
    }
}
