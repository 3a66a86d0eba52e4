//! What the looks of a thousand rollouts cost a server: requests and processor time, for five metrics of
//! both sides, beside one query for each metric and side, as the other tools ask.
//!
//! In each round both ask for the same minute, right after each other; what the server does anyway, which
//! is scraping, is measured beside them and subtracted.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use codedance_core::Timestamp;
use codedance_core::metrics::{
    MetricQuery, MetricsSource, Quantile, Question, Sample, Signal, Window,
};
use codedance_core::workload::{Revision, WorkloadName};
use codedance_prom::{Client, Config, Prometheus};
use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const ROLLOUTS: usize = 1_000;
const ROUNDS: usize = 3;
const AT_ONCE: usize = 8;
const SCRAPE: Duration = Duration::from_secs(15);
const WINDOW: Duration = Duration::from_secs(60);
const BOUNDS: [&str; 11] = [
    "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10",
];

#[tokio::main]
async fn main() {
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = target.local_addr().unwrap().to_string();
    tokio::spawn(show(target));
    let servers = [
        ("prometheus", Server::prometheus(&address)),
        ("victoria_metrics", Server::victoria_metrics(&address)),
    ];
    println!("scraping {ROLLOUTS} workloads");
    // The window that is asked for ends a while ago, and has to be known from its beginning.
    tokio::time::sleep(WINDOW + 6 * SCRAPE).await;

    let mut found = serde_json::Map::new();
    for (name, server) in &servers {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let to = now() - Duration::from_secs(35);
            let to = Timestamp::from_millis(i64::try_from(to.as_millis()).unwrap());
            let idle = server.cost(tokio::time::sleep(SCRAPE)).await;
            let idle = idle.seconds / idle.lasted;
            let ours = server.cost(ours(&server.url, to)).await;
            let theirs = server.cost(theirs(&server.url, to)).await;
            let round = serde_json::json!({
                "ours": (ours.seconds - idle * ours.lasted).max(0.0),
                "theirs": (theirs.seconds - idle * theirs.lasted).max(0.0),
                "our_requests": ours.outcome,
                "their_requests": theirs.outcome,
            });
            println!("{name}: {round}");
            rounds.push(round);
        }
        found.insert((*name).to_owned(), rounds.into());
    }
    println!("{}", serde_json::Value::Object(found));
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
}

fn metrics() -> Vec<MetricQuery> {
    let latency = |share| Signal::Latency(Quantile::new(share).unwrap());
    vec![
        MetricQuery::new("errors", Signal::ErrorRate),
        MetricQuery::new("success", Signal::SuccessRate),
        MetricQuery::new("p50", latency(0.5)),
        MetricQuery::new("p90", latency(0.9)),
        MetricQuery::new("p99", latency(0.99)),
    ]
}

/// One look of each rollout; how many requests that were.
async fn ours(url: &str, to: Timestamp) -> usize {
    let client = Client::open(Config::new(url.parse().unwrap()))
        .await
        .unwrap();
    let look = async |number: usize| {
        let workload = WorkloadName::new(format!("shop/web{number}")).unwrap();
        let source = Prometheus::new(client.clone(), &workload);
        let from = to.as_millis() - i64::try_from(WINDOW.as_millis()).unwrap();
        let question = Question {
            stable: Revision::new("v1").unwrap(),
            canary: Revision::new("v2").unwrap(),
            metrics: metrics(),
            window: Window::new(Timestamp::from_millis(from), to),
            history: None,
        };
        let readings = source.measure(&question).await.unwrap();
        for reading in readings {
            assert_ne!(reading.canary, Sample::NoData, "{}", reading.name);
            assert_ne!(reading.stable, Sample::NoData, "{}", reading.name);
        }
    };
    let looks = futures::stream::iter(0..ROLLOUTS).map(look);
    looks.buffer_unordered(AT_ONCE).count().await;
    // And two when the client gets to know its server.
    ROLLOUTS + 2
}

/// Each metric and side by a query of its own, as their documentation writes them.
async fn theirs(url: &str, to: Timestamp) -> usize {
    let http = reqwest::Client::builder();
    let http = http.tls_backend_preconfigured(tls()).build().unwrap();
    let at = format!("{:.3}", to.as_millis() as f64 / 1e3);
    let mut queries = Vec::new();
    for number in 0..ROLLOUTS {
        for version in ["v1", "v2"] {
            let labels = format!("namespace=\"shop\",app=\"web{number}\",version=\"{version}\"");
            let rate =
                |status: &str| format!("sum(rate(http_requests_total{{{labels}{status}}}[1m]))");
            queries.push(format!("{}/{}", rate(",code=~\"5..\""), rate("")));
            queries.push(format!("{}/{}", rate(",code=~\"[23]..\""), rate("")));
            for share in ["0.5", "0.9", "0.99"] {
                queries.push(format!(
                    "histogram_quantile({share}, sum by (le) (rate(http_request_duration_seconds_bucket{{{labels}}}[1m])))"
                ));
            }
        }
    }
    let count = queries.len();
    let ask = async |query: String| {
        let form = [("query", query.as_str()), ("time", &at), ("nocache", "1")];
        let url = format!("{url}/api/v1/query");
        let answer = http.post(url).form(&form).send().await.unwrap();
        let answer = answer.text().await.unwrap();
        assert!(answer.contains("\"value\""), "{query}: {answer}");
    };
    let asked = futures::stream::iter(queries).map(ask);
    asked.buffer_unordered(AT_ONCE).count().await;
    count
}

fn tls() -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}

/// The metrics of all workloads, growing.
async fn show(listener: TcpListener) {
    let begun = Instant::now();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut buffer = vec![0; 16_384];
            while let Ok(1..) = stream.read(&mut buffer).await {
                let body = page(begun.elapsed().as_secs() + 1);
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                if stream.write_all((head + &body).as_bytes()).await.is_err() {
                    break;
                }
            }
        });
    }
}

fn page(seconds: u64) -> String {
    let mut page = String::new();
    for number in 0..ROLLOUTS {
        for (version, each) in [("v1", 95), ("v2", 5)] {
            let labels = format!("namespace=\"shop\",app=\"web{number}\",version=\"{version}\"");
            for (code, count) in [("200", 20 * each * seconds), ("500", each * seconds)] {
                writeln!(
                    page,
                    "http_requests_total{{{labels},code=\"{code}\"}} {count}"
                )
                .unwrap();
            }
            for (place, le) in (1..).zip(BOUNDS.iter().chain(&["+Inf"])) {
                let count = 21 * each * seconds * place / 12;
                writeln!(
                    page,
                    "http_request_duration_seconds_bucket{{{labels},le=\"{le}\"}} {count}"
                )
                .unwrap();
            }
        }
    }
    page
}

struct Server {
    url: String,
    child: Child,
    _folder: tempfile::TempDir,
}

/// What something cost a server.
struct Cost<T> {
    outcome: T,
    /// Processor time.
    seconds: f64,
    lasted: f64,
}

impl Server {
    fn prometheus(target: &str) -> Self {
        Self::start("prometheus3", target, |config, data, listen| {
            vec![
                format!("--config.file={}", config.display()),
                format!("--storage.tsdb.path={}", data.display()),
                format!("--web.listen-address={listen}"),
            ]
        })
    }

    fn victoria_metrics(target: &str) -> Self {
        Self::start("victoria-metrics", target, |config, data, listen| {
            vec![
                format!("-promscrape.config={}", config.display()),
                format!("-storageDataPath={}", data.display()),
                format!("-httpListenAddr={listen}"),
            ]
        })
    }

    fn start(
        program: &str,
        target: &str,
        arguments: impl Fn(&Path, &Path, &str) -> Vec<String>,
    ) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let noted = root
            .join("target/services")
            .join(program)
            .with_extension("path");
        let program =
            std::fs::read_to_string(noted).expect("`cargo xtask services up` installs it");
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("scrape.yml");
        let scrape = SCRAPE.as_secs();
        let text = format!(
            "global: {{scrape_interval: {scrape}s}}\nscrape_configs:\n- job_name: shop\n  \
             static_configs: [{{targets: ['{target}']}}]\n"
        );
        std::fs::write(&config, text).unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = free.local_addr().unwrap().to_string();
        drop(free);
        let child = Command::new(PathBuf::from(program.trim()))
            .args(arguments(&config, &folder.path().join("data"), &listen))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            url: format!("http://{listen}"),
            child,
            _folder: folder,
        }
    }

    /// How much processor time it has had, in seconds.
    fn processor_time(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<_> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        let ticks = |field: usize| fields[field].parse::<f64>().unwrap();
        // A hundredth of a second each, on every Linux that there is.
        (ticks(11) + ticks(12)) / 100.0
    }

    async fn cost<T>(&self, of: impl Future<Output = T>) -> Cost<T> {
        let (before, begun) = (self.processor_time(), Instant::now());
        let outcome = of.await;
        Cost {
            outcome,
            seconds: self.processor_time() - before,
            lasted: begun.elapsed().as_secs_f64(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
