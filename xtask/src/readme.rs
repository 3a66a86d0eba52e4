//! The Markdown files keep their word: their Rust compiles, their commands work.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Parser;

use crate::{
    Cli,
    markdown::{Block, blocks},
    metadata::{self, Metadata},
    servers::{Server, Traffic, free_address},
    sh::Cmd,
    test::Step,
};

/// How long a command of the README may run, its build not counted.
const COMMAND_LIMIT: Duration = Duration::from_secs(180);

/// Kinds of commands that a Markdown file may show; the first that matches counts. Any other command
/// is a failure, so that none is printed that nobody has tried.
const KNOWN: &[Known] = &[
    Known {
        pattern: "cargo xtask …",
        how: How::OurOwn,
    },
    Known {
        pattern: ".ci/run",
        how: How::Exempt("it is `cargo xtask test` and nothing else"),
    },
    Known {
        pattern: "cargo fmt …",
        how: How::Step(Step::Fmt),
    },
    Known {
        pattern: "cargo clippy …",
        how: How::Step(Step::Clippy),
    },
    Known {
        pattern: "cargo doc …",
        how: How::Step(Step::Docs),
    },
    Known {
        pattern: "cargo build …",
        how: How::Step(Step::Tests),
    },
    Known {
        pattern: "cargo test …",
        how: How::Step(Step::Tests),
    },
    Known {
        pattern: "cargo bench …",
        how: How::Step(Step::Tests),
    },
    Known {
        pattern: "cargo run --release --example quickstart",
        how: How::Step(Step::Quickstart),
    },
    Known {
        pattern: "cargo run --release --example quickstart -- --prometheus …",
        how: How::Step(Step::Prometheus),
    },
    Known {
        pattern: "cargo run --release --example backtest …",
        how: How::Step(Step::Backtest),
    },
    Known {
        pattern: "cargo run …",
        how: How::Run,
    },
    Known {
        pattern: "git clone …",
        how: How::Exempt("what runs here is a clone already"),
    },
    Known {
        pattern: "cd …",
        how: How::Exempt("every command runs in the root of the workspace"),
    },
    Known {
        pattern: "cargo add …",
        how: How::Exempt("it changes another project, not this one"),
    },
    Known {
        pattern: "pg_dump …",
        how: How::Exempt("the store's own tests dump a database with it"),
    },
    Known {
        pattern: "pg_restore …",
        how: How::Exempt("the store's own tests restore a database with it"),
    },
    Known {
        pattern: "python3 -m http.server …",
        how: How::Exempt("servers of our own take the place of a user's"),
    },
];

/// What a command looks like, and how it is known to work.
struct Known {
    /// The words of the command; a last `…` stands for any further words.
    pattern: &'static str,
    how: How,
}

/// How a command that a Markdown file shows is known to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// It is a task of ours: our own command line has to understand it.
    OurOwn,
    /// The step does the same work; the packages and targets it names have to exist.
    Step(Step),
    /// It is run here, and its exit code has to be 0.
    Run,
    /// It is not run, for the reason given.
    Exempt(&'static str),
}

impl Known {
    fn matches(&self, words: &[String]) -> bool {
        let pattern: Vec<_> = self.pattern.split(' ').collect();
        match pattern.split_last() {
            Some((&"…", first)) => {
                words.len() >= first.len() && first.iter().zip(words).all(|(p, word)| p == word)
            }
            _ => pattern == words,
        }
    }
}

/// Checks every code block of the README, the contributing guide and the files in `docs/`.
///
/// # Errors
///
/// If a Rust block is not compiled, if a command is not known to work, or if one does not work: with
/// the file and line.
pub(crate) fn check(root: &Path) -> Result<()> {
    let facade = root.join("src/lib.rs");
    let facade = fs::read_to_string(&facade)
        .with_context(|| format!("{} could not be read", facade.display()))?;
    let metadata = metadata::load()?;

    let mut to_run: Vec<Cmd> = Vec::new();
    for file in markdown_files(root)? {
        let text = fs::read_to_string(root.join(&file))
            .with_context(|| format!("{} could not be read", file.display()))?;
        let name = file.display().to_string();
        let blocks = blocks(&text).with_context(|| name.clone())?;
        check_rust(&name, &blocks, &facade)?;
        for block in blocks.iter().filter(|block| block.is_shell()) {
            for (line, command) in block.commands() {
                let place = format!("{name}:{line}");
                let how = how(&command, &metadata).with_context(|| place.clone())?;
                println!("{place}: `{command}`: {}", describe(how));
                if how == How::Run && !to_run.contains(&command) {
                    to_run.push(command);
                }
            }
        }
    }
    to_run.iter().try_for_each(try_out)
}

fn describe(how: How) -> String {
    match how {
        How::OurOwn => "a task that exists".to_owned(),
        How::Step(step) => format!("step `{}` does it", step.name()),
        How::Run => "runs below".to_owned(),
        How::Exempt(reason) => format!("not run: {reason}"),
    }
}

/// README.md, CONTRIBUTING.md and every Markdown file below `docs/`, from the root, sorted.
fn markdown_files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = vec![PathBuf::from("README.md"), PathBuf::from("CONTRIBUTING.md")];
    let mut folders = vec![PathBuf::from("docs")];
    let mut docs = Vec::new();
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(root.join(&folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => {
                entries.with_context(|| format!("{} could not be read", folder.display()))?
            }
        };
        for entry in entries {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                docs.push(path);
            }
        }
    }
    docs.sort();
    files.extend(docs);
    Ok(files)
}

/// Every Rust block has to be compiled: its file is part of the facade's documentation, and so its
/// blocks are doctests.
fn check_rust(name: &str, blocks: &[Block], facade: &str) -> Result<()> {
    for block in blocks {
        let line = block.line;
        ensure!(
            !block.info.is_empty(),
            "{name}:{line}: the code block names no language, and rustdoc would take it for Rust; \
             write `text` if it is none."
        );
        ensure!(
            !(block.is_rust() && block.info.iter().any(|word| word.starts_with("ignore"))),
            "{name}:{line}: the Rust block is ignored, so nothing compiles it; `no_run` compiles \
             without running."
        );
    }
    if let Some(block) = blocks.iter().find(|block| block.is_rust()) {
        ensure!(
            includes(facade, name),
            "{name}:{}: nothing compiles this Rust block: src/lib.rs has no \
             `#[doc = include_str!(\"../{name}\")]`.",
            block.line
        );
    }
    Ok(())
}

/// Whether the facade's source takes the file into its documentation.
fn includes(facade: &str, name: &str) -> bool {
    let code: String = facade
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.chars().filter(|c| !c.is_whitespace()))
        .collect();
    code.contains(&format!("doc=include_str!(\"../{name}\")"))
}

/// How a command is known to work.
fn how(command: &Cmd, metadata: &Metadata) -> Result<How> {
    let known = KNOWN.iter().find(|known| known.matches(command.words()));
    let Some(Known { how, .. }) = known else {
        bail!(
            "nobody knows whether `{command}` works: no line of the table KNOWN in \
             xtask/src/readme.rs covers it."
        );
    };
    match how {
        How::OurOwn => {
            if let Err(error) = Cli::try_parse_from(&command.words()[1..])
                && error.use_stderr()
            {
                bail!("`{command}` is not a task of ours: {error}");
            }
        }
        How::Step(_) | How::Run => names_exist(command, metadata)?,
        How::Exempt(_) => {}
    }
    if *how == How::Run {
        let plain = |word: &String| !word.contains(['|', '<', '>', ';', '"', '\'', '$', '*']);
        ensure!(
            command.words().iter().all(plain),
            "`{command}` needs a shell; commands that are run here are plain words."
        );
    }
    Ok(*how)
}

/// The packages and targets that a cargo command names have to exist.
fn names_exist(command: &Cmd, metadata: &Metadata) -> Result<()> {
    let packages = &metadata.packages;
    for flag in ["-p", "--package"] {
        for name in command.values(flag) {
            ensure!(
                packages.iter().any(|package| package.name == name),
                "`{command}` names the package {name}, and there is none."
            );
        }
    }
    for kind in ["example", "bench", "test", "bin"] {
        for name in command.values(&format!("--{kind}")) {
            ensure!(
                packages
                    .iter()
                    .any(|package| package.has_target(kind, Some(name))),
                "`{command}` names the {kind} {name}, and there is none."
            );
        }
    }
    Ok(())
}

/// Builds and runs a command as a user would, with servers of our own if it asks for a user's.
fn try_out(command: &Cmd) -> Result<()> {
    if let Some(build) = command.build() {
        build.run("An example that a Markdown file runs does not build")?;
    }
    if command.flag("--stable").is_some() && command.flag("--canary").is_some() {
        return try_on_servers(command);
    }
    let command = command.clone().with_env("CI", "true");
    command
        .run_for(
            "A command from a Markdown file does not succeed",
            COMMAND_LIMIT,
            0,
        )
        .map(drop)
}

/// Tries a rollout between two servers twice: a healthy canary has to be promoted (exit code 0), a
/// broken one rolled back (exit code 2).
fn try_on_servers(command: &Cmd) -> Result<()> {
    let healthy = Server::start("200 OK")?;
    let good = Server::start("200 OK")?;
    let broken = Server::start("500 Internal Server Error")?;

    let mut outcomes = Vec::new();
    for (word, canary, code) in [("healthy", &good, 0), ("broken", &broken, 2)] {
        let listen = free_address()?;
        // Reports go where they litter nothing.
        let report = std::env::temp_dir().join(format!(
            "codedance-xtask-{}-{word}.json",
            std::process::id()
        ));
        let substituted = command
            .clone()
            .with_flag("--stable", &healthy.url())
            .with_flag("--canary", &canary.url())
            .with_flag("--listen", &listen.to_string())
            .with_flag("--json", &report.to_string_lossy())
            .with_env("CI", "true");

        let own_traffic = command.flag("--rate") == Some("0");
        ensure!(
            !own_traffic || command.flag("--listen").is_some(),
            "`{command}` waits for a user's traffic, and without `--listen` nobody knows where."
        );
        let traffic = own_traffic.then(|| Traffic::start(listen));
        let what = format!("With a {word} canary, the command does not end as it should");
        // A report from before must not pass for the report of this run.
        fs::remove_file(&report).ok();
        // The servers end with this process, so only the whole step can be repeated.
        substituted
            .run_for(&what, COMMAND_LIMIT, code)
            .map_err(|error| anyhow!("{error:#}"))?;
        drop(traffic);

        if command.flag("--json").is_some() {
            let json = fs::read_to_string(&report)
                .with_context(|| format!("`{substituted}` wrote no {}", report.display()))?;
            fs::remove_file(&report)?;
            let outcome = outcome(&json).with_context(|| format!("`{substituted}`"))?;
            println!("With a {word} canary, the outcome is {outcome}.");
            outcomes.push(outcome);
        }
    }
    if let [of_healthy, of_broken] = &outcomes[..] {
        ensure!(
            of_healthy != of_broken,
            "`{command}` writes the same outcome, {of_healthy}, for a healthy canary and a broken one."
        );
    }
    Ok(())
}

/// The `outcome` of a report in JSON.
pub(crate) fn outcome(json: &str) -> Result<serde_json::Value> {
    let report: serde_json::Value =
        serde_json::from_str(json).context("the report is not valid JSON")?;
    match report.get("outcome") {
        Some(outcome) if !outcome.is_null() => Ok(outcome.clone()),
        _ => bail!("the report holds no `outcome`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata() -> Metadata {
        serde_json::from_value(serde_json::json!({
            "target_directory": "target",
            "packages": [{
                "name": "codedance", "dependencies": [], "features": {},
                "targets": [{ "name": "quickstart", "kind": ["example"] }],
            }],
        }))
        .unwrap()
    }

    #[test]
    fn commands_are_known_by_the_first_line_that_matches() {
        let how = |line: &str| how(&Cmd::new(line), &metadata());
        let quickstart = "cargo run --release --example quickstart";
        assert_eq!(how("cargo test --doc").unwrap(), How::Step(Step::Tests));
        assert_eq!(how(quickstart).unwrap(), How::Step(Step::Quickstart));
        assert_eq!(how(&format!("{quickstart} -- --crash")).unwrap(), How::Run);
        let scraped = format!("{quickstart} -- --prometheus http://127.0.0.1:9090");
        assert_eq!(how(&scraped).unwrap(), How::Step(Step::Prometheus));
        assert!(matches!(how("git clone x").unwrap(), How::Exempt(_)));
        assert!(
            how("curl x")
                .unwrap_err()
                .to_string()
                .contains("nobody knows whether `curl x`")
        );
        assert!(how("cargo run --example quickstart | cat").is_err());
    }

    #[test]
    fn tasks_and_targets_that_do_not_exist_are_refused() {
        let how = |line: &str| how(&Cmd::new(line), &metadata());
        assert_eq!(
            how("cargo xtask test --only fmt docs").unwrap(),
            How::OurOwn
        );
        assert_eq!(how("cargo xtask --help").unwrap(), How::OurOwn);
        assert!(how("cargo xtask test --only nothing").is_err());
        assert!(how("cargo xtask dance").is_err());
        assert!(how("cargo test -p codedance").is_ok());
        assert!(how("cargo test -p nobody").is_err());
        assert!(how("cargo run --example nothing").is_err());
    }

    #[test]
    fn rust_blocks_have_to_be_compiled() {
        let check = |text: &str, facade: &str| {
            check_rust("docs/a.md", &blocks(text).unwrap(), facade).map_err(|e| e.to_string())
        };
        let included = "#[doc = include_str!(\"../docs/a.md\")]\nmod a {}";
        assert_eq!(check("```rust\n```", included), Ok(()));
        assert_eq!(check("```text\n```", ""), Ok(()));
        assert!(
            check("```rust\n```", "")
                .unwrap_err()
                .starts_with("docs/a.md:1: nothing compiles")
        );
        assert!(check("```no_run\n```", &format!("// {included}")).is_err());
        assert!(
            check("```rust,ignore\n```", included)
                .unwrap_err()
                .contains("is ignored")
        );
        assert!(
            check("```\n```", included)
                .unwrap_err()
                .contains("names no language")
        );
    }

    #[test]
    fn a_report_holds_its_outcome() {
        assert_eq!(outcome(r#"{"outcome":"promoted"}"#).unwrap(), "promoted");
        assert!(
            outcome("{}")
                .unwrap_err()
                .to_string()
                .contains("no `outcome`")
        );
        assert!(
            outcome("{")
                .unwrap_err()
                .to_string()
                .contains("not valid JSON")
        );
    }
}
