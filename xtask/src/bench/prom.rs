//! What looks cost Prometheus and VictoriaMetrics, beside one query for each metric and side.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::figure::{Figure, Goal, last_line};
use crate::{services, sh::Cmd};

/// Runs the bench of the source.
///
/// # Errors
///
/// If it fails, or leaves no figures.
pub(crate) fn measure() -> Result<Vec<Figure>> {
    services::install_metrics()?;
    let bench = Cmd::new("cargo bench -p codedance-prom --bench prom");
    println!("$ {bench}");
    figures_of(&bench.output("The bench of the metrics source fails")?)
}

/// The figures in the line of JSON that the bench prints: the rounds of each server.
fn figures_of(output: &str) -> Result<Vec<Figure>> {
    #[derive(Deserialize)]
    struct Round {
        ours: f64,
        theirs: f64,
        our_requests: f64,
        their_requests: f64,
    }
    let servers: BTreeMap<String, Vec<Round>> =
        last_line(output).context("The bench of the metrics source leaves no figures")?;
    let mut figures = Vec::new();
    for (server, rounds) in servers {
        let of = |value: fn(&Round) -> f64| rounds.iter().map(value).collect::<Vec<_>>();
        let note = "1,000 looks at 5 metrics of both sides".to_owned();
        let requests = Figure::beside(
            format!("{server}_requests"),
            "requests",
            &of(|round| round.our_requests),
            &of(|round| round.their_requests),
            Goal::None,
        );
        let time = Figure::beside(
            format!("{server}_processor_time"),
            "s",
            &of(|round| round.ours),
            &of(|round| round.theirs),
            Goal::None,
        );
        figures.extend([requests.with_note(note.clone()), time.with_note(note)]);
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_the_source_are_its_last_line_of_json() {
        let line = r#"{"p":[{"ours":1,"theirs":4,"our_requests":10,"their_requests":100}]}"#;
        let figures = figures_of(&format!("scraping\n{line}\n")).unwrap();
        let ratios: Vec<_> = figures.iter().map(|figure| figure.ratio).collect();
        assert_eq!(ratios, [Some(0.1), Some(0.25)]);
        assert_eq!(figures[1].name, "p_processor_time");
        assert!(figures_of("nothing\n").is_err());
    }
}
