//! Prometheus and VictoriaMetrics, the real ones. Each test starts its own, with data of its own.

mod program;

use std::net::SocketAddr;
use std::path::Path;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustix::process::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::target::{PATIENCE, Target};
use program::{Program, Recipe, installed};

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// 2.42, of Debian.
    Prometheus2,
    /// 3.15, which scrapes native histograms.
    Prometheus3,
    /// A single node, 1.79.
    VictoriaMetrics,
    /// The same behind vmauth, so that it answers where a cluster does, and only to those who may ask.
    VictoriaCluster,
}

/// A server, until it is dropped: then its processes end, and its data goes.
///
/// When a test fails it prints what the server has logged.
pub(crate) struct Server {
    kind: Kind,
    /// Keeps the data.
    store: Program,
    /// What stands before it.
    gateway: Option<Program>,
    // After the processes, which are in it.
    folder: TempDir,
}

/// What a server scrapes each second. The label `job` has this name, and `instance` is the address.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    name: String,
    targets: Vec<(SocketAddr, Value)>,
}

impl Job {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            targets: Vec::new(),
        }
    }

    /// Scrapes this, too. Its series get these labels beside their own.
    pub(crate) fn with_target(mut self, target: &Target, labels: &[(&str, &str)]) -> Self {
        let labels = labels.iter().copied().collect();
        self.targets.push((target.address(), labels));
        self
    }
}

impl Kind {
    fn prometheus(self) -> bool {
        matches!(self, Self::Prometheus2 | Self::Prometheus3)
    }
}

impl Server {
    /// The token that a [`Kind::VictoriaCluster`] asks for.
    pub(crate) const TOKEN: &str = "token-of-the-tests";

    /// The user and the password that it takes instead.
    pub(crate) const USER: (&str, &str) = ("codedance", "password-of-the-tests");

    const CLUSTER_PATH: &str = "/select/0/prometheus";

    /// Returns when it answers queries.
    ///
    /// # Panics
    /// If it is not installed, or does not start; with its log.
    pub(crate) async fn start(kind: Kind, jobs: &[Job]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write(&folder, "scrape.json", &scraping(kind, jobs));
        let store = Program::start(Self::store(kind, folder.path())).await;
        let mut gateway = None;
        if kind == Kind::VictoriaCluster {
            let behind = format!("http://{}", store.address());
            let (name, password) = Self::USER;
            let users = json!({"users": [
                {"bearer_token": Self::TOKEN, "url_prefix": behind},
                {"username": name, "password": password, "url_prefix": behind},
            ]});
            write(&folder, "users.json", &users);
            gateway = Some(Program::start(Self::gateway(folder.path())).await);
        }
        Self {
            kind,
            store,
            gateway,
            folder,
        }
    }

    fn store(kind: Kind, folder: &Path) -> Recipe {
        let data = folder.join("data").display().to_string();
        let scrape = folder.join("scrape.json").display().to_string();
        let (program, variable) = match kind {
            Kind::Prometheus2 => ("prometheus2", "CODEDANCE_PROMETHEUS2"),
            Kind::Prometheus3 => ("prometheus3", "CODEDANCE_PROMETHEUS3"),
            Kind::VictoriaMetrics | Kind::VictoriaCluster => {
                ("victoria-metrics", "CODEDANCE_VICTORIA_METRICS")
            }
        };
        let (arguments, listen, status) = if kind.prometheus() {
            let arguments = vec![
                format!("--config.file={scrape}"),
                format!("--storage.tsdb.path={data}"),
                // It would let 5 s pass before the first scrape.
                "--scrape.discovery-reload-interval=100ms".to_owned(),
            ];
            (arguments, "--web.listen-address=", "/api/v1/status/flags")
        } else {
            let arguments = vec![
                format!("-promscrape.config={scrape}"),
                format!("-storageDataPath={data}"),
            ];
            (arguments, "-httpListenAddr=", "/flags")
        };
        Recipe {
            program: installed(program, variable),
            arguments,
            listen,
            status: status.to_owned(),
            proof: data,
            log: folder.join("log"),
        }
    }

    fn gateway(folder: &Path) -> Recipe {
        let users = folder.join("users.json").display().to_string();
        let prefix = Self::CLUSTER_PATH;
        Recipe {
            program: installed("vmauth", "CODEDANCE_VMAUTH"),
            arguments: vec![
                format!("-auth.config={users}"),
                format!("-http.pathPrefix={prefix}"),
            ],
            listen: "-httpListenAddr=",
            status: format!("{prefix}/flags"),
            proof: users,
            log: folder.join("gateway.log"),
        }
    }

    /// What a user would configure: `/api/v1/query` comes behind it.
    pub(crate) fn url(&self) -> String {
        match &self.gateway {
            None => format!("http://{}", self.store.address()),
            Some(gateway) => format!("http://{}{}", gateway.address(), Self::CLUSTER_PATH),
        }
    }

    /// The process that keeps the data.
    pub(crate) fn pid(&self) -> Pid {
        self.store.pid()
    }

    /// Where its data is.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends it in order and starts it again, with the same data, at the same address. What stands before it
    /// stays.
    ///
    /// # Panics
    /// If it does not end, or does not start.
    pub(crate) async fn restart(&mut self) {
        self.store.restart().await;
    }

    /// Stops it where it is: connections are accepted, and nothing answers, until [`Self::resume`].
    pub(crate) async fn pause(&self) {
        self.store.pause().await;
    }

    pub(crate) fn resume(&self) {
        self.store.resume();
    }

    /// Returns when it has scraped its target so many times since now, and queries see the samples.
    pub(crate) async fn scraped(&self, target: &Target, times: u64) {
        target.scraped(times).await;
        if !self.kind.prometheus() {
            // By itself it would show them within two seconds or so.
            let (status, answer) =
                fetch(self.store.address(), "/internal/force_flush", false).await;
            assert_eq!(status, StatusCode::OK, "{answer}");
        }
    }

    /// The answer to a GET of a path behind [`Self::url`], by itself: status and body.
    pub(crate) async fn get(&self, path: &str) -> (StatusCode, String) {
        match &self.gateway {
            None => fetch(self.store.address(), path, false).await,
            Some(gateway) => {
                let path = format!("{}{path}", Self::CLUSTER_PATH);
                fetch(gateway.address(), &path, true).await
            }
        }
    }
}

fn scraping(kind: Kind, jobs: &[Job]) -> Value {
    let mut global = json!({"scrape_interval": "1s", "scrape_timeout": "1s"});
    if kind == Kind::Prometheus3 {
        global["scrape_native_histograms"] = true.into();
    }
    let config = |job: &Job| {
        let targets = job.targets.iter();
        let group = |(address, labels): &(SocketAddr, Value)| json!({"targets": [address], "labels": labels});
        let groups: Vec<_> = targets.map(group).collect();
        json!({"job_name": job.name, "static_configs": groups})
    };
    let jobs: Vec<_> = jobs.iter().map(config).collect();
    json!({"global": global, "scrape_configs": jobs})
}

/// JSON is YAML, too.
fn write(folder: &TempDir, name: &str, content: &Value) {
    std::fs::write(folder.path().join(name), content.to_string()).unwrap();
}

/// The answer of whoever listens there; `authorized` shows [`Server::TOKEN`].
pub(crate) async fn fetch(
    address: SocketAddr,
    path: &str,
    authorized: bool,
) -> (StatusCode, String) {
    let answer = tokio::time::timeout(PATIENCE, try_fetch(address, path, authorized)).await;
    let answer = answer.unwrap_or_else(|_| panic!("{address} does not answer {path}"));
    answer.unwrap_or_else(|error| panic!("{address} does not answer {path}: {error}"))
}

async fn try_fetch(
    address: SocketAddr,
    path: &str,
    authorized: bool,
) -> Result<(StatusCode, String), Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let mut request = Request::get(path).header(HOST, address.to_string());
    if authorized {
        request = request.header(AUTHORIZATION, format!("Bearer {}", Server::TOKEN));
    }
    let answer = sender
        .send_request(request.body(Empty::<Bytes>::new())?)
        .await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    drop(sender);
    connection.await??;
    Ok((status, String::from_utf8(body.into())?))
}
