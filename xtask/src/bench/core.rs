//! What the pure core costs, as criterion measures it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::figure::{Figure, Goal};
use crate::{metadata, sh::Cmd};

/// Goals for the benches of the core, as medians in nanoseconds.
const CORE_GOALS: &[(&str, f64)] = &[
    ("step_next", 1_000.0),
    ("thresholds_5_metrics", 10_000.0),
    ("snapshot_restore", 50_000.0),
];

/// Runs the benches of the core.
///
/// # Errors
///
/// If one fails, or leaves no figure.
pub(crate) fn measure() -> Result<Vec<Figure>> {
    // Criterion would look for the target directory by itself; telling it leaves no doubt.
    let home = metadata::load()?.target_directory.join("criterion");
    let begun = SystemTime::now();
    Cmd::new("cargo bench -p codedance --all-features --bench core")
        .with_env("CRITERION_HOME", home.to_string_lossy())
        .run("The benches of the core fail")?;
    CORE_GOALS
        .iter()
        .map(|(name, goal)| {
            Ok({
                let ours = median(&home, name, begun)?;
                Figure::alone(*name, "ns", ours, Goal::AtMost(*goal))
            })
        })
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
}
