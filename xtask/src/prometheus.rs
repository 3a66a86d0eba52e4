//! The quickstart, judged by what each of the real servers of metrics has scraped.

use std::{
    fs::{self, File},
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::json;

use crate::{
    readme::outcome,
    servers::{self, free_address, get},
    services,
    sh::{self, Cmd},
};

/// How long one run may take. Where new series are found late, each of two times six stages takes a quarter
/// of a minute.
const LIMIT: Duration = Duration::from_secs(360);

/// How long a server may take to start.
const START: Duration = Duration::from_secs(60);

/// Whose flags a server understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Prometheus,
    VictoriaMetrics,
}

/// A server that scrapes, until it is dropped: then it ends, and its data goes.
#[derive(Debug)]
struct Scraper {
    title: &'static str,
    address: SocketAddr,
    process: Child,
    folder: PathBuf,
}

/// Runs the quickstart with each server, all at once: they wait most of the time.
///
/// # Errors
///
/// If a run does not end as it should, or a server cannot be installed or started.
pub(crate) fn run() -> Result<()> {
    let quickstart = Cmd::new("cargo run --release --example quickstart");
    if let Some(build) = quickstart.build() {
        build.run("The quickstart does not build")?;
    }
    let quickstart = quickstart.with_arg("--");
    refused(&quickstart)?;
    // The servers end with this process, so only the whole step can be repeated.
    with_each_server(&quickstart).map_err(|error| anyhow!("{error:#}"))
}

/// How a run ended; if it panicked, so does whoever waits for it.
fn ended(run: thread::ScopedJoinHandle<'_, Result<()>>) -> Result<()> {
    run.join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn with_each_server(quickstart: &Cmd) -> Result<()> {
    let programs = services::install_metrics()?;
    thread::scope(|scope| {
        let mut runs = Vec::new();
        for (title, program) in &programs {
            let Some(kind) = Kind::of(title) else {
                continue;
            };
            runs.push(scope.spawn(move || decides(quickstart, title, kind, program)));
        }
        runs.into_iter().try_for_each(ended)
    })
}

/// A server that is not there is told before anything begins.
fn refused(quickstart: &Cmd) -> Result<()> {
    let folder = folder("refused")?;
    let nowhere = free_address()?;
    let quickstart = with_server(quickstart, nowhere, free_address()?);
    let what = "Without a server the quickstart does not end as it should";
    let said = quickstart.run_aside(what, LIMIT, 1, &folder.join("log"))?;
    fs::remove_dir_all(&folder)?;
    expect(
        &quickstart,
        &said,
        &format!("error: http://{nowhere} cannot be asked"),
    )
}

/// A good version is promoted and a bad one rolled back: the demo's own, and between two servers.
fn decides(quickstart: &Cmd, title: &'static str, kind: Kind, program: &Path) -> Result<()> {
    let (demo, own, unknown) = (free_address()?, free_address()?, free_address()?);
    let scraper = Scraper::start(title, kind, program, &[demo, own])?;
    thread::scope(|scope| {
        let runs = [
            scope.spawn(|| scraper.judges_the_demo(quickstart, demo)),
            scope.spawn(|| {
                scraper.judges_servers(quickstart, own, "200 OK", (0, "completed"))?;
                let broken = "500 Internal Server Error";
                scraper.judges_servers(quickstart, own, broken, (2, "rolled_back"))
            }),
            scope.spawn(|| scraper.misses(quickstart, unknown)),
        ];
        runs.into_iter().try_for_each(ended)
    })
}

impl Kind {
    /// None if it stores no metrics.
    fn of(title: &str) -> Option<Self> {
        match title.split(' ').next() {
            Some("Prometheus") => Some(Self::Prometheus),
            Some("VictoriaMetrics") => Some(Self::VictoriaMetrics),
            _ => None,
        }
    }

    /// Its arguments, and the path that answers with 200 as soon as it is ready.
    fn flags(self, folder: &Path, address: SocketAddr) -> ([String; 3], &'static str) {
        let config = folder.join("scrape.json").display().to_string();
        let data = folder.join("data").display().to_string();
        match self {
            Self::Prometheus => (
                [
                    format!("--config.file={config}"),
                    format!("--storage.tsdb.path={data}"),
                    format!("--web.listen-address={address}"),
                ],
                "/-/ready",
            ),
            Self::VictoriaMetrics => (
                [
                    format!("-promscrape.config={config}"),
                    format!("-storageDataPath={data}"),
                    format!("-httpListenAddr={address}"),
                ],
                "/health",
            ),
        }
    }
}

impl Scraper {
    /// Returns when it is ready. It scrapes these addresses each second.
    fn start(
        title: &'static str,
        kind: Kind,
        program: &Path,
        targets: &[SocketAddr],
    ) -> Result<Self> {
        let folder = folder(&title.replace(' ', "-"))?;
        // JSON is YAML, too.
        let config = json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": [{
                "job_name": "quickstart",
                "static_configs": [{"targets": targets}],
            }],
        });
        fs::write(folder.join("scrape.json"), config.to_string())?;
        let address = free_address()?;
        let (arguments, ready) = kind.flags(&folder, address);
        let log = File::create(folder.join("server.log"))?;
        let process = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} does not start", program.display()))?;
        let mut scraper = Self {
            title,
            address,
            process,
            folder,
        };
        let begun = Instant::now();
        while !get(address, ready).is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 ")) {
            if scraper.process.try_wait()?.is_some() || begun.elapsed() > START {
                let log = fs::read_to_string(scraper.folder.join("server.log"))?;
                bail!("{title} does not answer at {address}:\n{log}");
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(scraper)
    }

    fn judges_the_demo(&self, quickstart: &Cmd, metrics: SocketAddr) -> Result<()> {
        let report = self.folder.join("demo.html");
        let demo = with_server(quickstart, self.address, metrics)
            .with_arg("--report")
            .with_arg(report.display().to_string());
        let what = format!("By {} the demo does not end as it should", self.title);
        let begun = Instant::now();
        let said = demo.run_aside(&what, LIMIT, 0, &self.folder.join("demo.log"))?;
        for wanted in ["v1 → v2  completed in", "v2 → v3  rolled back in"] {
            expect(&demo, &said, wanted)?;
        }
        let took = begun.elapsed().as_secs_f64();
        println!(
            "{}: v2 is promoted, v3 rolled back, in {took:.0} s.",
            self.title
        );
        Ok(())
    }

    /// Between a server that is well and a canary that answers with that status.
    fn judges_servers(
        &self,
        quickstart: &Cmd,
        metrics: SocketAddr,
        answers: &'static str,
        (code, wanted): (i32, &str),
    ) -> Result<()> {
        let stable = servers::Server::start("200 OK")?;
        let canary = servers::Server::start(answers)?;
        let named = |extension: &str| self.folder.join(format!("{code}.{extension}"));
        let own = with_server(quickstart, self.address, metrics)
            .with_arg("--stable")
            .with_arg(stable.url())
            .with_arg("--canary")
            .with_arg(canary.url())
            .with_arg("--json")
            .with_arg(named("json").display().to_string())
            .with_arg("--report")
            .with_arg(named("html").display().to_string());
        let what = format!(
            "By {} a canary that answers {answers} is not {wanted}",
            self.title
        );
        let begun = Instant::now();
        own.run_aside(&what, LIMIT, code, &named("log"))?;
        let outcome = outcome(&fs::read_to_string(named("json"))?)?;
        if outcome != wanted {
            let sentence = format!("{what}: the report says {outcome}.");
            return Err(own.failed(sentence).into());
        }
        let took = begun.elapsed().as_secs_f64();
        println!(
            "{}: a canary that answers {answers} is {wanted}, in {took:.0} s.",
            self.title
        );
        Ok(())
    }

    /// A proxy that the server does not scrape: nothing is begun that could not be judged.
    fn misses(&self, quickstart: &Cmd, metrics: SocketAddr) -> Result<()> {
        let stable = servers::Server::start("200 OK")?;
        let canary = servers::Server::start("200 OK")?;
        let own = with_server(quickstart, self.address, metrics)
            .with_arg("--stable")
            .with_arg(stable.url())
            .with_arg("--canary")
            .with_arg(canary.url());
        let what = format!(
            "Where {} scrapes something else, the rollout begins",
            self.title
        );
        let said = own.run_aside(&what, LIMIT, 1, &self.folder.join("missed.log"))?;
        expect(
            &own,
            &said,
            &format!("have it scrape http://{metrics}/metrics"),
        )
    }
}

impl Drop for Scraper {
    fn drop(&mut self) {
        let stopped = sh::stop(&mut self.process);
        let removed = fs::remove_dir_all(&self.folder);
        if let Some(error) = stopped.err().or_else(|| removed.err().map(Into::into)) {
            eprintln!("warning: {} leaves something behind: {error:#}", self.title);
        }
    }
}

fn with_server(quickstart: &Cmd, server: SocketAddr, metrics: SocketAddr) -> Cmd {
    quickstart
        .clone()
        .with_arg("--prometheus")
        .with_arg(format!("http://{server}"))
        .with_arg("--metrics")
        .with_arg(metrics.to_string())
        .with_env("CI", "true")
}

fn expect(command: &Cmd, said: &str, wanted: &str) -> Result<()> {
    if said.contains(wanted) {
        return Ok(());
    }
    let sentence = format!("The quickstart does not say \"{wanted}\":\n{said}");
    Err(command.failed(sentence).into())
}

/// A new folder for what a server keeps and runs write.
fn folder(name: &str) -> io::Result<PathBuf> {
    let name = format!("codedance-{name}-{}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}
