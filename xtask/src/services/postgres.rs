//! A Postgres that runs until it is stopped.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use super::noted;
use crate::install::{self, is_root, succeed};

/// A Postgres of our own.
#[derive(Debug)]
pub(super) struct Postgres {
    /// Holds its data and its log.
    folder: PathBuf,
}

impl Postgres {
    /// The one that was started before and still runs.
    pub(super) fn running() -> Option<Self> {
        let folder = fs::read_to_string(noted("postgres.folder"))
            .ok()?
            .trim()
            .into();
        let postgres = Self { folder };
        let status = postgres.control(&["status"]).ok()?;
        status.then_some(postgres)
    }

    pub(super) fn up() -> Result<Self> {
        if let Some(running) = Self::running() {
            return Ok(running);
        }
        // Not within the workspace: the server's own user may not be allowed to enter it.
        let folder = format!("codedance-postgres-{}", std::process::id());
        let postgres = Self {
            folder: std::env::temp_dir().join(folder),
        };
        postgres.start().map_err(|error| {
            fs::remove_dir_all(&postgres.folder).ok();
            error.context("Postgres cannot be started")
        })?;
        Ok(postgres)
    }

    fn start(&self) -> Result<()> {
        fs::create_dir_all(&self.folder)?;
        if is_root() {
            succeed(Command::new("chown").arg("postgres").arg(&self.folder))?;
        }
        let mut make = as_server(&program("initdb")?);
        make.arg("--pgdata").arg(self.data());
        succeed(make.args([
            "--username=codedance",
            "--auth=trust",
            "--encoding=UTF8",
            "--no-sync",
        ]))?;
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let options = format!(
            "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=200"
        );
        ensure!(
            self.control(&["start", "--wait", "--silent", "--options", &options])?,
            "see {}",
            self.folder.join("log").display(),
        );
        fs::create_dir_all(
            noted("postgres.url")
                .parent()
                .context("the note has a folder")?,
        )?;
        fs::write(noted("postgres.folder"), self.folder.display().to_string())?;
        fs::write(
            noted("postgres.url"),
            format!("postgres://codedance@127.0.0.1:{port}"),
        )?;
        Ok(())
    }

    pub(super) fn url(&self) -> Result<String> {
        let url = fs::read_to_string(noted("postgres.url"));
        url.with_context(|| format!("nothing notes the address of {}", self.folder.display()))
    }

    pub(super) fn down(&self) -> Result<()> {
        ensure!(
            self.control(&["stop", "--wait", "--silent", "--mode=immediate"])?,
            "it does not stop"
        );
        fs::remove_file(noted("postgres.url"))?;
        fs::remove_file(noted("postgres.folder"))?;
        fs::remove_dir_all(&self.folder)?;
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Whether `pg_ctl` succeeds.
    fn control(&self, words: &[&str]) -> Result<bool> {
        let mut control = as_server(&program("pg_ctl")?);
        control.args(words).arg("--pgdata").arg(self.data());
        if words.contains(&"start") {
            control.arg("--log").arg(self.folder.join("log"));
        }
        // What it starts must not hold on to our own output.
        let devnull = || std::process::Stdio::null();
        let status = control
            .stdin(devnull())
            .stdout(devnull())
            .stderr(devnull())
            .status();
        Ok(status.context("pg_ctl cannot be run")?.success())
    }
}

/// The path of a program of Postgres. Debian keeps those of each version apart, and none in the path.
fn program(name: &str) -> Result<PathBuf> {
    install::program(name, "postgresql", || {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
        versions
            .flatten()
            .map(|version| version.path().join("bin"))
            .collect()
    })
}

/// The server refuses to run as root.
fn as_server(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command
        .args(["--user", "postgres", "--"])
        .arg(program)
        .current_dir("/");
    command
}
