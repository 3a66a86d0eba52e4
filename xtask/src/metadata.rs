//! What cargo says about the workspace.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::sh::Cmd;

/// The part of `cargo metadata` that the tasks read.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    /// The members of the workspace.
    pub(crate) packages: Vec<Package>,
    /// Where cargo builds, whatever configuration or environment says so.
    pub(crate) target_directory: PathBuf,
}

/// One member of the workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) features: BTreeMap<String, Vec<String>>,
    pub(crate) targets: Vec<Target>,
}

/// A direct dependency, as the manifest declares it.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `dev` or `build`; a normal dependency has none.
    pub(crate) kind: Option<String>,
}

/// A library, binary, example, test or bench.
#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
}

impl Package {
    /// Whether it has a library that others can use.
    pub(crate) fn is_library(&self) -> bool {
        self.has_target("lib", None)
    }

    /// Whether it has a target of this kind, and of this name if one is given.
    pub(crate) fn has_target(&self, kind: &str, name: Option<&str>) -> bool {
        let matches =
            |t: &&Target| t.kind.iter().any(|k| k == kind) && name.is_none_or(|n| n == t.name);
        self.targets.iter().find(matches).is_some()
    }

    /// The features a user may choose; private ones start with two underscores.
    pub(crate) fn public_features(&self) -> impl Iterator<Item = &str> {
        self.features
            .keys()
            .map(String::as_str)
            .filter(|name| !name.starts_with("__"))
    }
}

/// Asks cargo about the workspace.
///
/// # Errors
///
/// If a manifest cannot be read.
pub(crate) fn load() -> Result<Metadata> {
    let json = Cmd::new("cargo metadata --format-version 1 --no-deps")
        .output("The workspace's manifests could not be read")?;
    serde_json::from_str(&json).context("failed to read the output of `cargo metadata`")
}
