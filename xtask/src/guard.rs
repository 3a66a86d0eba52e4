//! The dependency guard: the core stays small and pure, and adapters know the core alone.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

use crate::{
    metadata::{self, Package},
    sh::Cmd,
};

const CORE: &str = "codedance-core";

/// How many crates the core may bring with it when its features are off.
const MOST_CRATES: usize = 30;

/// Crates that the core without features must not bring, each with the reason.
const BANNED: &[(&str, &str)] = &[
    ("tokio", "the machine runs under any executor, or none"),
    ("async-std", "the machine runs under any executor, or none"),
    ("hyper", "the machine does no I/O"),
    ("reqwest", "the machine does no I/O"),
    ("http", "the ports do not speak HTTP; adapters do"),
    (
        "chrono",
        "jiff is the one time library, and it has a clock only where we ask for it",
    ),
    (
        "time",
        "jiff is the one time library, and it has a clock only where we ask for it",
    ),
];

/// Features that a crate must not have switched on in the core, each with the reason.
const BANNED_FEATURES: &[(&str, &str, &str)] = &[
    (
        "jiff",
        "std",
        "it brings `Timestamp::now`, and time comes into the machine as an argument",
    ),
    (
        "jiff",
        "tz-system",
        "it reads the machine's time zone, and the end must not depend on it",
    ),
];

/// Checks the tree of the core and the manifests of the adapters.
///
/// # Errors
///
/// If a rule is broken: one sentence for each break.
pub(crate) fn check() -> Result<()> {
    let tree = Cmd::new(&format!(
        "cargo tree -p {CORE} --no-default-features -e normal --prefix none --format"
    ))
    .with_arg("{p} [{f}]");
    println!("$ {tree}");
    let crates = crates(&tree.output("The dependencies of the core could not be listed")?);
    let broken = core_breaks(&crates);
    if !broken.is_empty() {
        bail!("{}", broken.join("\n"));
    }
    println!(
        "{CORE} brings {} crates of at most {MOST_CRATES}.",
        crates.len()
    );

    let broken: Vec<_> = metadata::load()?
        .packages
        .iter()
        .flat_map(adapter_breaks)
        .collect();
    if !broken.is_empty() {
        bail!("{}", broken.join("\n"));
    }
    println!("Adapters depend on {CORE} alone.");
    Ok(())
}

/// The crates that `cargo tree --format '{p} [{f}]'` lists, without the core itself, and the
/// features switched on in each; two versions of one crate are two entries.
fn crates(tree: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut crates: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in tree.lines() {
        let Some((package, features)) = line.rsplit_once(" [") else {
            continue;
        };
        let mut words = package.split(' ');
        let (Some(name), Some(version)) = (words.next(), words.next()) else {
            continue;
        };
        if name == CORE {
            continue;
        }
        // A crate that was listed before ends in ` (*)`.
        let features = features.trim_end_matches(" (*)").trim_end_matches(']');
        crates
            .entry(format!("{name} {version}"))
            .or_default()
            .extend(
                features
                    .split(',')
                    .filter(|f| !f.is_empty())
                    .map(str::to_owned),
            );
    }
    crates
}

fn core_breaks(crates: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let named = |id: &str, name: &str| id.split(' ').next() == Some(name);
    let mut broken = Vec::new();
    for (name, why) in BANNED {
        if crates.keys().any(|id| named(id, name)) {
            broken.push(format!("{CORE} without features depends on {name}: {why}."));
        }
    }
    for (name, feature, why) in BANNED_FEATURES {
        if crates
            .iter()
            .any(|(id, features)| named(id, name) && features.contains(*feature))
        {
            broken.push(format!(
                "{CORE} without features has the feature `{feature}` of {name}: {why}."
            ));
        }
    }
    if crates.len() > MOST_CRATES {
        let names: Vec<_> = crates.keys().map(String::as_str).collect();
        broken.push(format!(
            "{CORE} without features brings {} crates; at most {MOST_CRATES} are allowed: {}.",
            crates.len(),
            names.join(", "),
        ));
    }
    broken
}

/// The core knows no other crate of ours, an adapter only the core; the facade may know them all.
/// Dependencies of tests count: a cycle through them would keep the crates from being published.
fn adapter_breaks(package: &Package) -> Vec<String> {
    let name = &package.name;
    if !name.starts_with("codedance-") {
        return Vec::new();
    }
    let ours = |other: &str| other == "codedance" || other.starts_with("codedance-");
    let foreign = |other: &str| ours(other) && other != CORE && other != name;
    let broken = package
        .dependencies
        .iter()
        .filter(|dependency| foreign(&dependency.name));
    broken
        .map(|dependency| {
            let kind = dependency
                .kind
                .as_deref()
                .map(|kind| format!("{kind}-"))
                .unwrap_or_default();
            let other = &dependency.name;
            if name == CORE {
                format!("{CORE} has the {kind}dependency {other}: the core knows no adapter.")
            } else {
                format!(
                    "{name} has the {kind}dependency {other}: adapters depend on {CORE} alone; \
                     what two of them share belongs in the core."
                )
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "codedance-core v0.1.0 (/somewhere/codedance-core) []
async-trait v0.1.89 (proc-macro) []
proc-macro2 v1.0.1 [default,proc-macro]
unicode-ident v1.0.18 []
jiff v0.2.15 [alloc]
serde v1.0.2 [default,std]
proc-macro2 v1.0.1 [default,proc-macro] (*)
";

    #[test]
    fn a_tree_is_read_once_for_each_crate() {
        let crates = crates(TREE);
        let names: Vec<_> = crates.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "async-trait v0.1.89",
                "jiff v0.2.15",
                "proc-macro2 v1.0.1",
                "serde v1.0.2",
                "unicode-ident v1.0.18"
            ]
        );
        let features: Vec<_> = crates["proc-macro2 v1.0.1"]
            .iter()
            .map(String::as_str)
            .collect();
        assert_eq!(features, ["default", "proc-macro"]);
        assert!(core_breaks(&crates).is_empty());
    }

    #[test]
    fn a_banned_crate_is_named_with_the_reason() {
        let broken = core_breaks(&crates("tokio v1.0.0 [rt]\ntimeless v1.0.0 []\n"));
        assert_eq!(
            broken,
            ["codedance-core without features depends on tokio: \
              the machine runs under any executor, or none."]
        );
    }

    #[test]
    fn a_clock_is_found_by_its_feature() {
        let broken = core_breaks(&crates("jiff v0.2.15 [alloc,std,tz-system] (*)\n"));
        assert_eq!(broken.len(), 2);
        assert!(
            broken[0].contains("the feature `std` of jiff"),
            "{broken:?}"
        );
        assert!(
            broken[1].contains("the feature `tz-system` of jiff"),
            "{broken:?}"
        );
    }

    #[test]
    fn one_crate_too_many_is_too_many() {
        let tree = |n: usize| {
            (0..n)
                .map(|i| format!("c{i} v1.0.0 []\n"))
                .collect::<String>()
        };
        assert!(core_breaks(&crates(&tree(MOST_CRATES))).is_empty());
        assert_eq!(core_breaks(&crates(&tree(MOST_CRATES + 1))).len(), 1);
    }

    #[test]
    fn adapters_know_the_core_alone() {
        let package = |name: &str, others: &[(&str, Option<&str>)]| -> Package {
            let dependencies: Vec<_> = others
                .iter()
                .map(|(name, kind)| serde_json::json!({ "name": name, "kind": kind }))
                .collect();
            serde_json::from_value(serde_json::json!({
                "name": name, "dependencies": dependencies, "features": {}, "targets": [],
            }))
            .unwrap()
        };
        let breaks = |name, others| adapter_breaks(&package(name, others)).len();
        assert_eq!(
            breaks(
                "codedance-proxy",
                &[("codedance-core", None), ("hyper", None)]
            ),
            0
        );
        assert_eq!(
            breaks("codedance-proxy", &[("codedance-process", Some("dev"))]),
            1
        );
        assert_eq!(breaks("codedance-proxy", &[("codedance", Some("dev"))]), 1);
        assert_eq!(breaks("codedance-core", &[("codedance-proxy", None)]), 1);
        assert_eq!(breaks("codedance", &[("codedance-proxy", None)]), 0);
    }
}
