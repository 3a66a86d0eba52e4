//! The backtest of the samples: how it ends, what it prints, and the report that it writes.

use std::fs;

use anyhow::{Context, Result};

use crate::sh::Cmd;

/// A recording, and what has to come of it.
struct Sample {
    recording: &'static str,
    code: i32,
    /// What it prints, among other things.
    says: &'static [&'static str],
    /// What the report's headline is.
    headline: &'static str,
}

const SAMPLES: &[Sample] = &[
    Sample {
        recording: "healthy.csv",
        code: 0,
        says: &[
            "shop/web, web:1.41 → web:1.42",
            "promoted after 18m, past all 4 stages",
        ],
        headline: "web:1.42 was promoted",
    },
    Sample {
        recording: "bad-release.csv",
        code: 2,
        says: &[
            "roll back",
            "stage 1 (5 %) from 00:00, passed at 03:00",
            "because errors",
        ],
        headline: "web:1.42 was rolled back to web:1.41",
    },
    Sample {
        recording: "incident.csv",
        code: 0,
        says: &["promoted after", "past all 4 stages"],
        headline: "web:1.42 was promoted",
    },
];

/// What every backtest has to remind its reader of.
const REMINDER: &str = "The traffic was divided as it was recorded";

/// Replays the example's policy against each of its recordings.
///
/// # Errors
///
/// If one ends otherwise than it should, or does not say so.
pub(crate) fn run() -> Result<()> {
    let report =
        std::env::temp_dir().join(format!("codedance-backtest-{}.html", std::process::id()));
    let backtest = Cmd::new("cargo run --release --example backtest --");
    if let Some(build) = backtest.build() {
        build.run("The backtest does not build")?;
    }
    for sample in SAMPLES {
        let backtest = backtest
            .clone()
            .with_arg(format!("examples/backtest/data/{}", sample.recording))
            .with_arg("--policy")
            .with_arg("examples/backtest/policy.yaml")
            .with_arg("--report")
            .with_arg(report.to_string_lossy());
        println!("$ {backtest}");
        let told = backtest.output_with("The backtest does not end as it should", sample.code)?;
        for wanted in sample.says.iter().chain([&REMINDER]) {
            if !told.contains(wanted) {
                let sentence = format!("The backtest does not say \"{wanted}\":\n{told}");
                return Err(backtest.failed(sentence).into());
            }
        }
        let page = fs::read_to_string(&report)
            .with_context(|| format!("`{backtest}` wrote no {}", report.display()))?;
        fs::remove_file(&report)?;
        if !(page.contains(sample.headline) && page.contains(REMINDER)) {
            let sentence = format!("The report does not say \"{}\".", sample.headline);
            return Err(backtest.failed(sentence).into());
        }
        println!("{}: {}", sample.recording, sample.headline);
    }
    Ok(())
}
