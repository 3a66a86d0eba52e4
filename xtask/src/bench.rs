//! `cargo xtask bench`: what things cost, beside what they may cost.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::{metadata, sh::Cmd};

/// Goals for the benches of the core, as medians in nanoseconds.
const CORE_GOALS: &[(&str, f64)] = &[
    ("step_next", 1_000.0),
    ("thresholds_5_metrics", 10_000.0),
    ("snapshot_restore", 50_000.0),
];

/// How many rollouts the driver has to carry for its figures to count.
const DRIVER_ROLLOUTS: u64 = 10_000;
/// How much memory each of them may hold.
const DRIVER_BYTES_EACH: f64 = 8_192.0;
/// How much of one core all of them together may use.
const DRIVER_CORE_SHARE: f64 = 0.20;

/// The arguments of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The benchmark to run; all of them if none is named
    name: Option<Name>,
    /// Also writes the figures to this file, as a list in JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Name {
    /// A step of the machine, an assessment, a snapshot: how long they take
    Core,
    /// Ten thousand rollouts under one driver: their memory and processor time
    Driver,
}

/// One figure beside its goal; smaller is better.
#[derive(Debug, PartialEq, Serialize)]
struct Figure {
    name: String,
    unit: &'static str,
    ours: f64,
    /// The figure of whom we compare with; these benchmarks compare with a goal alone.
    rival: Option<f64>,
    /// Ours by the rival's, or by the goal where there is no rival.
    ratio: f64,
    goal: f64,
    met: bool,
}

impl Figure {
    fn new(name: &str, unit: &'static str, ours: f64, goal: f64) -> Self {
        let ratio = ours / goal;
        Self {
            name: name.to_owned(),
            unit,
            ours,
            rival: None,
            ratio,
            goal,
            met: ours <= goal,
        }
    }
}

/// Runs the benchmarks, prints their table and writes it as JSON if that is asked for.
///
/// # Errors
///
/// If a benchmark fails, or misses a goal; the table and the JSON are written all the same then.
pub(crate) fn run(args: &Args) -> Result<()> {
    let names = args
        .name
        .as_ref()
        .map_or_else(Name::value_variants, std::slice::from_ref);
    let mut figures = Vec::new();
    for name in names {
        figures.extend(match name {
            Name::Core => core()?,
            Name::Driver => driver()?,
        });
    }

    print!("\n{}", table(&figures));
    if let Some(path) = &args.json {
        let json = serde_json::to_string_pretty(&figures)?;
        fs::write(path, json + "\n")
            .with_context(|| format!("{} could not be written", path.display()))?;
    }
    let missed: Vec<_> = figures
        .iter()
        .filter(|f| !f.met)
        .map(|f| f.name.as_str())
        .collect();
    ensure!(
        missed.is_empty(),
        "The goal is missed for {}.",
        missed.join(", ")
    );
    Ok(())
}

fn core() -> Result<Vec<Figure>> {
    // Criterion would look for the target directory by itself; telling it leaves no doubt.
    let home = metadata::load()?.target_directory.join("criterion");
    let begun = SystemTime::now();
    Cmd::new("cargo bench -p codedance --all-features --bench core")
        .with_env("CRITERION_HOME", home.to_string_lossy())
        .run("The benches of the core fail")?;
    CORE_GOALS
        .iter()
        .map(|(name, goal)| Ok(Figure::new(name, "ns", median(&home, name, begun)?, *goal)))
        .collect()
}

/// The median that criterion has just written for a bench, in nanoseconds.
fn median(home: &Path, name: &str, begun: SystemTime) -> Result<f64> {
    let mut found = Vec::new();
    find(home, name, &mut found)?;
    // Figures of benches that have been renamed or removed stay behind from earlier runs.
    found.retain(|path| {
        fs::metadata(path)
            .and_then(|file| file.modified())
            .is_ok_and(|written| written >= begun)
    });
    let [path] = &found[..] else {
        bail!(
            "There should be one bench named `{name}`, and {} ran.",
            found.len()
        );
    };
    let json = fs::read_to_string(path)?;
    median_of(&json).with_context(|| format!("{} could not be read", path.display()))
}

/// Collects `…/NAME/new/estimates.json` below a folder: the bench may be in a group, or not.
fn find(folder: &Path, name: &str, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("{} could not be read", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            let estimates = entry.path().join("new/estimates.json");
            if entry.file_name() == name && estimates.is_file() {
                found.push(estimates);
            }
            find(&entry.path(), name, found)?;
        }
    }
    Ok(())
}

/// The median of one of criterion's files, in nanoseconds.
fn median_of(json: &str) -> Result<f64> {
    #[derive(Deserialize)]
    struct Estimates {
        median: Estimate,
    }
    #[derive(Deserialize)]
    struct Estimate {
        point_estimate: f64,
    }
    Ok(serde_json::from_str::<Estimates>(json)?
        .median
        .point_estimate)
}

fn driver() -> Result<Vec<Figure>> {
    let bench = Cmd::new("cargo bench -p codedance --all-features --bench driver");
    println!("$ {bench}");
    driver_figures(&bench.output("The bench of the driver fails")?)
}

/// The figures in the line of JSON that the driver's bench prints.
fn driver_figures(output: &str) -> Result<Vec<Figure>> {
    #[derive(Deserialize)]
    struct Line {
        rollouts: u64,
        resident_bytes_each: f64,
        core_share: f64,
    }
    let json = output
        .lines()
        .rev()
        .find(|line| line.trim_start().starts_with('{'));
    let json = json.context("The bench of the driver printed no line of JSON")?;
    let line: Line = serde_json::from_str(json)
        .with_context(|| format!("The bench of the driver printed `{json}`"))?;
    ensure!(
        line.rollouts >= DRIVER_ROLLOUTS,
        "The bench of the driver ran {} rollouts; the goals are for {DRIVER_ROLLOUTS}.",
        line.rollouts
    );
    Ok(vec![
        Figure::new(
            "resident_bytes_each",
            "bytes",
            line.resident_bytes_each,
            DRIVER_BYTES_EACH,
        ),
        Figure::new("core_share", "cores", line.core_share, DRIVER_CORE_SHARE),
    ])
}

fn table(figures: &[Figure]) -> String {
    let head = format!(
        "{:<22} {:>12} {:>12}  {:<6} {:>9}\n",
        "", "ours", "goal", "unit", "of goal"
    );
    let rows = figures.iter().map(|f| {
        let met = if f.met { "met" } else { "MISSED" };
        let (ours, goal) = (number(f.ours), number(f.goal));
        let percent = 100.0 * f.ratio;
        format!(
            "{:<22} {ours:>12} {goal:>12}  {:<6} {percent:>7.1} %  {met}\n",
            f.name, f.unit
        )
    });
    std::iter::once(head).chain(rows).collect()
}

/// Small figures need their decimals, large ones do not.
fn number(value: f64) -> String {
    if value < 10.0 {
        format!("{value:.3}")
    } else {
        format!("{value:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ESTIMATES: &str = r#"{
        "mean": {"confidence_interval":{"confidence_level":0.95,"lower_bound":1.0,"upper_bound":3.0},
                 "point_estimate":2.0,"standard_error":0.1},
        "median": {"confidence_interval":{"confidence_level":0.95,"lower_bound":1.0,"upper_bound":3.0},
                   "point_estimate":412.5,"standard_error":0.1},
        "slope": null
    }"#;

    #[test]
    fn the_median_is_read_from_estimates() {
        assert_eq!(median_of(ESTIMATES).unwrap(), 412.5);
        assert!(median_of("{}").is_err());
    }

    #[test]
    fn only_the_figures_of_this_run_count() {
        let home = std::env::temp_dir().join(format!("codedance-estimates-{}", std::process::id()));
        let folder = home.join("core/step_next/new");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("estimates.json"), ESTIMATES).unwrap();
        let now = SystemTime::now();
        let hour = std::time::Duration::from_secs(3600);
        assert_eq!(median(&home, "step_next", now - hour).unwrap(), 412.5);
        let error = median(&home, "step_next", now + hour)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "There should be one bench named `step_next`, and 0 ran."
        );
        assert!(median(&home, "step", now - hour).is_err());
        fs::remove_dir_all(&home).unwrap();
    }

    #[test]
    fn the_figures_of_the_driver_are_its_last_line_of_json() {
        let line = r#"{"rollouts":10000,"resident_bytes_each":9000,"core_share":0.05}"#;
        let figures = driver_figures(&format!("warming up\n{line}\n\n")).unwrap();
        assert_eq!(
            figures[0],
            Figure::new("resident_bytes_each", "bytes", 9000.0, 8192.0)
        );
        assert!(!figures[0].met && figures[1].met);
        assert_eq!(figures[1].ratio, 0.25);
        assert!(driver_figures("nothing\n").is_err());
        assert!(driver_figures(&line.replace("10000", "10")).is_err());
    }

    #[test]
    fn json_and_table_name_every_figure() {
        let figures = [Figure::new("step_next", "ns", 412.5, 1000.0)];
        assert_eq!(
            serde_json::to_string(&figures).unwrap(),
            r#"[{"name":"step_next","unit":"ns","ours":412.5,"rival":null,"ratio":0.4125,"goal":1000.0,"met":true}]"#
        );
        assert!(table(&figures).contains("step_next"));
    }
}
