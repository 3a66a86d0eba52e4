//! The embedded proxy beside nginx, HAProxy and Envoy, in the same run and with one thread each.
//!
//! Client, proxies and the servers behind share one machine, so that speeds are noisy. Proxies have a core
//! to themselves, are measured in turn, and are compared round by round. The processor time that a proxy
//! uses for a request is the figure with the least noise, and shown beside the others.

mod changes;
mod contenders;
mod idle;
mod load;
mod machine;
mod nginx;
mod rounds;
mod threads;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::Deserialize;

use self::{
    contenders::Ours,
    load::Client,
    machine::Cores,
    nginx::{Behind, Nginx},
};
use super::figure::Figure;
use crate::{metadata, sh::Cmd};

/// What all parts of this benchmark need.
#[derive(Debug)]
struct Site {
    /// Configurations and logs.
    folder: PathBuf,
    /// The proxy of `benches/proxy.rs`.
    program: PathBuf,
    cores: Cores,
    client: Client,
    behind: Behind,
}

/// Measures the proxy; what cannot be had is left out, and its rows say so.
///
/// # Errors
///
/// If there is no nginx or wrk and none can be installed, or something fails that should not.
pub(crate) fn measure() -> Result<Vec<Figure>> {
    let cores = Cores::of_this_machine()?;
    machine::raise_file_limit()?;
    let folder = metadata::load()?.target_directory.join("bench-proxy");
    fs::create_dir_all(&folder)?;
    let backend = |name| Nginx::backend(folder.join(name), &cores.load());
    let site = Site {
        program: build()?,
        client: Client::new(&folder, cores.clone())?,
        behind: Behind {
            stable: backend("stable")?,
            canary: backend("canary")?,
        },
        cores,
        folder,
    };

    let mut figures = rounds::measure(&site)?;
    println!("two threads");
    figures.extend(threads::measure(&site)?);
    println!("idle connections");
    figures.extend(idle::measure(&site)?);
    println!("the weight, at rest and changing");
    figures.extend(changes::measure(&site)?);
    Ok(figures)
}

impl Site {
    /// Our proxy, fresh and with one thread.
    fn ours(&self) -> Result<Ours> {
        let cores = self.cores.one();
        Ours::start(&self.program, 1, &cores, &self.behind, &self.folder)
    }
}

/// Builds our proxy as all benches are built, and returns its path.
fn build() -> Result<PathBuf> {
    let build = Cmd::new(
        "cargo bench -p codedance --all-features --bench proxy --no-run --message-format json",
    );
    println!("$ {build}");
    let messages = build.output("The bench of the proxy does not compile")?;
    executable(&messages).context("cargo named no program of the bench")
}

/// The program in cargo's messages.
fn executable(messages: &str) -> Option<PathBuf> {
    #[derive(Deserialize)]
    struct Message<'a> {
        #[serde(borrow)]
        executable: Option<&'a Path>,
    }
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Message<'_>>(line).ok()?.executable)
        .next_back()
        .map(Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_names_the_program() {
        let messages = r#"{"reason":"compiler-artifact","executable":null}
{"reason":"compiler-artifact","executable":"/target/release/deps/proxy-1"}
{"reason":"build-finished","success":true}
"#;
        let found = executable(messages);
        assert_eq!(
            found.as_deref(),
            Some(Path::new("/target/release/deps/proxy-1"))
        );
        assert_eq!(executable(""), None);
    }
}
