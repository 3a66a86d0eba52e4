//! What ten thousand rollouts under one driver cost.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::figure::{Figure, Goal, last_line};
use crate::sh::Cmd;

/// How many rollouts the driver has to carry for its figures to count.
const ROLLOUTS: u64 = 10_000;
/// How much memory each of them may hold.
const BYTES_EACH: f64 = 8_192.0;
/// How much of one core all of them together may use.
const CORE_SHARE: f64 = 0.20;

/// Runs the bench of the driver.
///
/// # Errors
///
/// If it fails, or leaves no figures.
pub(crate) fn measure() -> Result<Vec<Figure>> {
    let bench = Cmd::new("cargo bench -p codedance --all-features --bench driver");
    println!("$ {bench}");
    figures_of(&bench.output("The bench of the driver fails")?)
}

/// The figures in the line of JSON that the driver's bench prints.
fn figures_of(output: &str) -> Result<Vec<Figure>> {
    #[derive(Deserialize)]
    struct Line {
        rollouts: u64,
        resident_bytes_each: f64,
        core_share: f64,
    }
    let line: Line = last_line(output).context("The bench of the driver leaves no figures")?;
    ensure!(
        line.rollouts >= ROLLOUTS,
        "The bench of the driver ran {} rollouts; the goals are for {ROLLOUTS}.",
        line.rollouts
    );
    Ok(vec![
        Figure::alone(
            "resident_bytes_each",
            "bytes",
            line.resident_bytes_each,
            Goal::AtMost(BYTES_EACH),
        ),
        Figure::alone(
            "core_share",
            "cores",
            line.core_share,
            Goal::AtMost(CORE_SHARE),
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_the_driver_are_its_last_line_of_json() {
        let line = r#"{"rollouts":10000,"resident_bytes_each":9000,"core_share":0.05}"#;
        let figures = figures_of(&format!("warming up\n{line}\n\n")).unwrap();
        assert_eq!(
            figures[0],
            Figure::alone("resident_bytes_each", "bytes", 9000.0, Goal::AtMost(8192.0))
        );
        assert_eq!((figures[0].met, figures[1].met), (Some(false), Some(true)));
        assert_eq!(figures[1].ratio, Some(0.25));
        assert!(figures_of("nothing\n").is_err());
        assert!(figures_of(&line.replace("10000", "10")).is_err());
    }
}
