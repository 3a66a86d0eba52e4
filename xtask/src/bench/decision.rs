//! How often the default judge is wrong, what it finds and how soon, beside what Kayenta does with the
//! same traffic.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::figure::{Figure, Goal, last_line, median};
use crate::sh::Cmd;

/// The arguments of `cargo xtask bench decision`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Decides every random number [default: 4242]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How many rollouts of each healthy canary; of each sick one it is half as many [default: 4000]
    #[arg(long, value_name = "N")]
    reps: Option<u64>,
    /// Draws what was found into this folder: power.svg and false-positives.svg
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
}

/// How many percent of the healthy canaries may be sent back.
const FALSE_POSITIVES: f64 = 1.0;
/// How long a look at five metrics may take, in nanoseconds.
const LOOK_NS: f64 = 10_000.0;

/// Where a healthy canary has to be left alone, at each level of traffic.
const HEALTHY: &[&str] = &[
    "errors_stationary",
    "errors_drift",
    "errors_shared_noise",
    "errors_incident",
    "errors_arm_noise_0.2",
    "errors_arm_noise_0.35",
    "errors_arm_noise_0.5",
    "errors_arm_noise_0.8",
    "errors_offset_1.1",
    "errors_base_0.1",
    "errors_base_0.1_arm_noise_0.5",
    "latency_stationary",
    "latency_offset_1.03",
    "latency_arm_noise_0.1",
    "metrics_stationary",
];

/// What has to be found.
const SICK: &[(&str, &[Aim])] = &[
    ("errors_x2_low", &[Aim::Power(75.0)]),
    ("errors_x5_low", &[Aim::Requests(0.25)]),
    ("errors_x1.5_mid", &[Aim::Power(99.0), Aim::Requests(0.93)]),
    ("errors_x2_mid", &[Aim::Requests(0.78)]),
    ("errors_x5_mid", &[Aim::Requests(0.45)]),
    (
        "errors_x2_base_0.1_mid",
        &[Aim::Power(97.0), Aim::Requests(0.33)],
    ),
    (
        "errors_x1.25_high",
        &[Aim::Power(99.0), Aim::Requests(1.65)],
    ),
    ("errors_x2_high", &[Aim::Requests(0.60)]),
    ("errors_x2_arm_noise_0.5_high", &[Aim::PowerOf("kayenta")]),
    ("latency_x1.25_low", &[Aim::PowerOf("kayenta_tolerant")]),
    ("latency_x1.1_low", &[Aim::PowerOf("kayenta_tolerant")]),
];

/// What a goal is for.
#[derive(Clone, Copy, Debug)]
enum Aim {
    /// At least so many percent are found.
    Power(f64),
    /// At least as many as this judge finds.
    PowerOf(&'static str),
    /// The median of canary requests until the rollback is at most so many times that of Kayenta each 5
    /// minutes.
    Requests(f64),
}

/// What the bench of the judges leaves in its last line.
#[derive(Debug, Deserialize)]
struct Line {
    scenarios: Vec<Scenario>,
}

/// What the bench of a look leaves in its last line.
#[derive(Debug, Deserialize)]
struct Timed {
    look_ns: Vec<Look>,
}

/// Nanoseconds, in one round.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Look {
    all: f64,
    limits_alone: f64,
}

#[derive(Debug, Deserialize)]
struct Scenario {
    name: String,
    judges: Vec<Judged>,
}

#[derive(Debug, Deserialize)]
struct Judged {
    judge: String,
    power: Estimate,
    requests: Option<Estimate>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Estimate {
    value: f64,
    error: f64,
}

/// Runs the bench of the judges, prints its tables, and has a look timed.
///
/// # Errors
///
/// If one of the two fails, or leaves no figures.
pub(crate) fn measure(args: &Args) -> Result<Vec<Figure>> {
    let mut bench = Cmd::new("cargo bench -p codedance --all-features --bench decision --");
    if let Some(seed) = args.seed {
        bench = bench.with_arg("--seed").with_arg(seed.to_string());
    }
    if let Some(reps) = args.reps {
        bench = bench.with_arg("--reps").with_arg(reps.to_string());
    }
    if let Some(folder) = &args.svg {
        bench = bench.with_arg("--svg").with_arg(from_here(folder)?);
    }
    println!("$ {bench}");
    let output = bench.output("The bench of the judges fails")?;
    let tables = output.lines().filter(|line| !line.starts_with('{'));
    tables.for_each(|line| println!("{line}"));
    let timed = Cmd::new("cargo bench -p codedance-core --bench look");
    println!("$ {timed}");
    figures_of(&output, &timed.output("The bench of a look fails")?)
}

/// The folder as seen from here: benches run in the folder of their package.
fn from_here(folder: &Path) -> Result<String> {
    let here = env::current_dir().context("The current folder cannot be told")?;
    Ok(here.join(folder).to_string_lossy().into_owned())
}

/// The goals, and the figures that are in the last lines of both benches.
fn figures_of(judged: &str, timed: &str) -> Result<Vec<Figure>> {
    let line: Line = last_line(judged).context("The bench of the judges leaves no figures")?;
    let timed: Timed = last_line(timed).context("The bench of a look leaves no figures")?;
    let mut figures = Vec::new();
    for scenario in HEALTHY {
        for level in ["low", "mid", "high"] {
            let name = format!("{scenario}_{level}");
            let found = line.by("codedance", &name)?.power;
            let figure = Figure::alone(
                format!("false_positives_{name}"),
                "%",
                found.value,
                Goal::AtMost(FALSE_POSITIVES),
            );
            figures.push(figure.with_error(found.error));
        }
    }
    for (name, aims) in SICK {
        for aim in *aims {
            figures.push(line.figure(name, *aim)?);
        }
    }
    ensure!(!timed.look_ns.is_empty(), "The bench of a look timed none.");
    let looks = |of: fn(&Look) -> f64| median(&timed.look_ns.iter().map(of).collect::<Vec<_>>());
    let all = looks(|look| look.all);
    let comparison = looks(|look| look.all - look.limits_alone);
    figures.extend([
        Figure::alone("look_at_5_metrics", "ns", all, Goal::AtMost(LOOK_NS)),
        Figure::alone("of_that_comparison", "ns", comparison, Goal::None),
    ]);
    Ok(figures)
}

impl Line {
    fn by(&self, judge: &str, scenario: &str) -> Result<&Judged> {
        let found = self.scenarios.iter().find(|found| found.name == scenario);
        let found = found.and_then(|scenario| {
            let mut judges = scenario.judges.iter();
            judges.find(|found| found.judge == judge)
        });
        found.with_context(|| format!("It has nothing on `{judge}` in `{scenario}`"))
    }

    fn figure(&self, scenario: &str, aim: Aim) -> Result<Figure> {
        let ours = self.by("codedance", scenario)?;
        Ok(match aim {
            Aim::Power(least) => {
                let name = format!("power_{scenario}");
                let goal = Goal::AtLeast(least);
                Figure::alone(name, "%", ours.power.value, goal).with_error(ours.power.error)
            }
            Aim::PowerOf(judge) => {
                let rival = self.by(judge, scenario)?.power;
                beside(
                    format!("power_{scenario}"),
                    "%",
                    ours.power,
                    rival,
                    Goal::AtLeast(1.0),
                )
            }
            Aim::Requests(most) => {
                let name = format!("requests_{scenario}");
                let rival = self.by("kayenta", scenario)?.requests;
                match (ours.requests, rival) {
                    (Some(ours), Some(rival)) => {
                        beside(name, "requests", ours, rival, Goal::AtMost(most))
                    }
                    (None, _) => missed(name, most, "fewer than half were found"),
                    (_, None) => Figure::missing(name, "requests", "Kayenta found fewer than half"),
                }
            }
        })
    }
}

/// Two figures of the same scenario. That both saw the same traffic is left out of account, so the error
/// is an upper bound as far as they are right or wrong together.
fn beside(name: String, unit: &'static str, ours: Estimate, rival: Estimate, goal: Goal) -> Figure {
    let parts = (ours.error / ours.value).hypot(rival.error / rival.value);
    let figure = Figure::counted(name, unit, ours.value, rival.value, goal);
    let ratio = ours.value / rival.value;
    figure.with_error(ratio * parts)
}

/// A goal that is missed without a figure.
fn missed(name: String, goal: f64, why: &str) -> Figure {
    Figure {
        goal: Some(goal),
        met: Some(false),
        ..Figure::missing(name, "requests", why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(ours: &str, rival: &str) -> Line {
        let judge = |name: &str, requests: &str| {
            format!(
                r#"{{"judge":"{name}","power":{{"value":98.0,"error":0.5}},"requests":{requests}}}"#
            )
        };
        let judges = [judge("codedance", ours), judge("kayenta", rival)].join(",");
        let json = format!(r#"{{"scenarios":[{{"name":"x","judges":[{judges}]}}]}}"#);
        last_line(&format!("| a table |\n{json}\n")).unwrap()
    }

    #[test]
    fn requests_are_compared_with_kayenta_s() {
        let (ours, rival) = (r#"{"value":300,"error":30}"#, r#"{"value":400,"error":0}"#);
        let figure = line(ours, rival).figure("x", Aim::Requests(0.7)).unwrap();
        assert_eq!((figure.ratio, figure.met), (Some(0.75), Some(false)));
        assert!((figure.error.unwrap() - 0.075).abs() < 1e-9);
        let figure = line(ours, rival).figure("x", Aim::Requests(0.75)).unwrap();
        assert_eq!(figure.met, Some(true));
    }

    #[test]
    fn a_judge_that_finds_too_few_for_a_median_misses_the_goal() {
        let one = r#"{"value":300,"error":30}"#;
        let figure = line("null", one).figure("x", Aim::Requests(0.7)).unwrap();
        assert_eq!((figure.ours, figure.met), (None, Some(false)));
        let figure = line(one, "null").figure("x", Aim::Requests(0.7)).unwrap();
        assert_eq!(figure.met, None);
    }

    #[test]
    fn power_has_a_goal_of_its_own_or_another_judge_s() {
        let line = line("null", "null");
        let met = |aim| line.figure("x", aim).unwrap().met;
        assert_eq!(met(Aim::Power(98.0)), Some(true));
        assert_eq!(met(Aim::Power(98.1)), Some(false));
        assert_eq!(met(Aim::PowerOf("kayenta")), Some(true));
        let error = line
            .figure("x", Aim::PowerOf("argo"))
            .unwrap_err()
            .to_string();
        assert_eq!(error, "It has nothing on `argo` in `x`");
    }

    #[test]
    fn every_scenario_with_a_goal_is_judged() {
        let found = |name: &str, power: f64| {
            let judge = |judge: &str| {
                let requests = r#"{"value":100,"error":1}"#;
                let power = format!(r#"{{"value":{power:.1},"error":0.1}}"#);
                format!(r#"{{"judge":"{judge}","power":{power},"requests":{requests}}}"#)
            };
            let judges = ["codedance", "kayenta", "kayenta_tolerant"].map(judge);
            format!(r#"{{"name":"{name}","judges":[{}]}}"#, judges.join(","))
        };
        let mut scenarios: Vec<_> = SICK.iter().map(|(name, _)| found(name, 100.0)).collect();
        for level in ["low", "mid", "high"] {
            for scenario in HEALTHY {
                let power = if *scenario == "errors_drift" {
                    1.1
                } else {
                    1.0
                };
                scenarios.push(found(&format!("{scenario}_{level}"), power));
            }
        }
        let judged = format!(r#"{{"scenarios":[{}]}}"#, scenarios.join(","));
        let timed = r#"{"look_ns":[{"all":9000,"limits_alone":3000}]}"#;
        let figures = figures_of(&judged, timed).unwrap();
        let missed = figures.iter().filter(|figure| figure.met == Some(false));
        let missed: Vec<_> = missed.map(|figure| figure.name.as_str()).collect();
        // As many requests as Kayenta are too many, but where the goal allows for more.
        assert_eq!(
            missed,
            [
                "false_positives_errors_drift_low",
                "false_positives_errors_drift_mid",
                "false_positives_errors_drift_high",
                "requests_errors_x5_low",
                "requests_errors_x1.5_mid",
                "requests_errors_x2_mid",
                "requests_errors_x5_mid",
                "requests_errors_x2_base_0.1_mid",
                "requests_errors_x2_high",
            ]
        );
        let look = figures.iter().rev().take(2).map(|figure| figure.ours);
        assert_eq!(look.collect::<Vec<_>>(), [Some(6000.0), Some(9000.0)]);
    }

    #[test]
    fn every_goal_needs_its_figure() {
        let error = |judged| figures_of(judged, r#"{"look_ns":[]}"#).unwrap_err();
        assert_eq!(
            error(r#"{"scenarios":[]}"#).to_string(),
            "It has nothing on `codedance` in `errors_stationary_low`"
        );
        assert_eq!(
            error("| a table |").to_string(),
            "The bench of the judges leaves no figures"
        );
    }
}
