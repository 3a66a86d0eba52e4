//! The client, wrk.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::machine::Cores;
use crate::install;

/// Loads proxies with requests over connections that stay open.
#[derive(Debug)]
pub(super) struct Client {
    program: PathBuf,
    script: PathBuf,
    cores: Cores,
}

/// What is asked for, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) path: &'static str,
    pub(super) mix: Mix,
    pub(super) connections: u32,
    pub(super) seconds: u32,
}

/// Which requests are sent in turn.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mix {
    /// GET by a thousand users.
    Users,
    /// GET and POST.
    Mixed,
}

/// What the client saw.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
pub(super) struct Seen {
    pub(super) answers: u64,
    pub(super) micros: f64,
    pub(super) p99_micros: f64,
    /// Connections that broke or could not be made, answers that came too late or were no success.
    pub(super) failed: u64,
}

impl Client {
    /// # Errors
    ///
    /// If there is no wrk, and none can be installed.
    pub(super) fn new(folder: &Path, cores: Cores) -> Result<Self> {
        let script = folder.join("wrk.lua");
        std::fs::write(&script, include_str!("wrk.lua"))?;
        Ok(Self {
            program: install::program("wrk", "wrk", Vec::new)?,
            script,
            cores,
        })
    }

    /// Sends as many requests as are answered within the time.
    ///
    /// # Errors
    ///
    /// If wrk cannot be run, or nothing is answered.
    pub(super) fn send(&self, address: &str, load: Load) -> Result<Seen> {
        let output = Command::new("taskset")
            .args(["--cpu-list", &self.cores.load()])
            .arg(&self.program)
            .args(["--threads", "1", "--timeout", "10s"])
            .args(["--connections", &load.connections.to_string()])
            .args(["--duration", &format!("{}s", load.seconds)])
            .arg("--script")
            .arg(&self.script)
            .arg(format!("http://{address}{}", load.path))
            .arg("--")
            .arg(load.mix.name())
            .output()
            .context("wrk cannot be run")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let seen = seen_in(&text).with_context(|| {
            let errors = String::from_utf8_lossy(&output.stderr);
            format!("wrk gave no figures: {text}{errors}")
        })?;
        ensure!(seen.answers > 0, "{address} answers nothing");
        Ok(seen)
    }
}

impl Mix {
    const fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Mixed => "mixed",
        }
    }
}

impl Seen {
    pub(super) fn per_second(&self) -> f64 {
        self.answers as f64 / self.micros * 1e6
    }
}

/// The figures are the last line, after what wrk prints by itself.
fn seen_in(text: &str) -> Option<Seen> {
    let line = text.lines().rfind(|line| line.starts_with('{'))?;
    serde_json::from_str(line).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_wrk_are_its_last_line() {
        let line = r#"{"answers":100,"micros":2000000,"p99_micros":1500,"failed":3}"#;
        let seen = seen_in(&format!("{{of the script\n  100 requests\n{line}\n")).unwrap();
        assert_eq!((seen.per_second(), seen.failed), (50.0, 3));
        assert_eq!(seen_in("unable to connect"), None);
    }
}
