//! The contract of a metrics source, on each of the real servers.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex as StdMutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use codedance_core::Timestamp;
use codedance_core::metrics::{MetricsSource, Quantile, Signal, Window};
use codedance_core::testing::{METRICS, MetricsHarness, Requests};
use codedance_core::workload::{Revision, WorkloadName};
use codedance_prom::{Authorization, Client, Config, Prometheus, Secret};
use futures::future::join_all;
use tokio::sync::Mutex;

use crate::servers::{Job, Kind, Server};
use crate::target::{Layout, Target};

pub(crate) const BOUNDS: Layout = Layout::Classic(&[0.1, 0.5, 1.0]);
const TIMES: [f64; 4] = [0.05, 0.3, 0.7, 4.0];

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Timestamp::from_millis(i64::try_from(since.unwrap().as_millis()).unwrap())
}

/// A client of the server.
pub(crate) async fn client(server: &Server, kind: Kind) -> Client {
    let mut config = Config::new(server.url().parse().unwrap());
    if kind == Kind::VictoriaCluster {
        config.authorization = Some(Authorization::Bearer(Secret::new(Server::TOKEN)));
    }
    Client::open(config).await.unwrap()
}

/// A source that reads what is scraped each second.
pub(crate) fn source(client: &Client, workload: &str) -> Prometheus {
    Prometheus::new(client.clone(), &WorkloadName::new(workload).unwrap())
        .with_resolution(Duration::from_secs(1))
        .with_lag(Duration::from_secs(1))
        .with_spread(Duration::ZERO)
}

/// The next whole second after what has been scraped by now: the grid of the windows.
pub(crate) fn next_second() -> Timestamp {
    let millis = now().as_millis();
    Timestamp::from_millis(millis - millis.rem_euclid(1_000) + 1_000)
}

/// One workload of many that the server scrapes.
struct Harness {
    source: Prometheus,
    server: Arc<Server>,
    target: Arc<Target>,
    app: &'static str,
    /// The end of the last window.
    last: Mutex<Timestamp>,
    /// The times of the requests of each window and revision, in seconds.
    took: StdMutex<BTreeMap<(i64, String), Vec<f64>>>,
}

impl Harness {
    fn answer(&self, revision: &Revision, requests: Requests) -> Vec<f64> {
        let labels = |code| {
            [
                ("namespace", "shop"),
                ("app", self.app),
                ("version", revision.as_str()),
                ("code", code),
            ]
        };
        let mut times = Vec::new();
        for number in 0..requests.total {
            let code = if number < requests.bad { "500" } else { "200" };
            self.target.count("http_requests_total", &labels(code), 1.0);
            let time = TIMES[usize::try_from(number).unwrap() % TIMES.len()];
            let name = "http_request_duration_seconds";
            self.target
                .observe(name, BOUNDS, &labels("any")[..3], time, 1);
            times.push(time);
        }
        times.sort_by(f64::total_cmp);
        times
    }
}

#[async_trait]
impl MetricsHarness for Harness {
    fn source(&self) -> &dyn MetricsSource {
        &self.source
    }

    async fn requests(&self, canary: Requests, stable: Requests) -> Window {
        let mut last = self.last.lock().await;
        // What was scraped before the window began is not of it.
        let begun = next_second();
        let wait = last.since(now()) + Duration::from_millis(50);
        tokio::time::sleep(wait).await;
        let mut told = Vec::new();
        for (revision, requests) in [(self.canary(), canary), (self.stable(), stable)] {
            told.push((revision.to_string(), self.answer(&revision, requests)));
        }
        self.server.scraped(&self.target, 1).await;
        let to = next_second().max(begun);
        let window = Window::new(*last, to);
        for (revision, times) in told {
            self.took
                .lock()
                .unwrap()
                .insert((to.as_millis(), revision), times);
        }
        *last = to;
        window
    }

    fn reads(&self, _: &Signal) -> bool {
        true
    }

    fn query(&self) -> String {
        let requests = format!(
            "http_requests_total{{app=\"{}\",version=\"{{{{revision}}}}\"}}",
            self.app
        );
        format!("(sum({requests}) - (sum({requests} offset {{{{window}}}}) or vector(0))) > 0")
    }

    fn malformed_query(&self) -> String {
        "sum(http_requests_total{".to_owned()
    }

    fn took(&self, revision: &Revision, window: Window, quantile: Quantile) -> RangeInclusive<f64> {
        let took = self.took.lock().unwrap();
        let times = &took[&(window.to.as_millis(), revision.to_string())];
        let time = times[(quantile.share() * times.len() as f64).ceil() as usize - 1];
        time..=time
    }
}

async fn keeps_the_contract(kind: Kind) {
    let mut targets = Vec::new();
    for clause in METRICS {
        let target = Target::start().await;
        // As a server shows them that has not answered yet.
        for version in ["v1", "v2"] {
            let labels = [
                ("namespace", "shop"),
                ("app", clause.name()),
                ("version", version),
                ("code", "200"),
            ];
            target.count("http_requests_total", &labels, 0.0);
            let name = "http_request_duration_seconds";
            target.observe(name, BOUNDS, &labels[..3], 1.0, 0);
        }
        targets.push(Arc::new(target));
    }
    let jobs: Vec<_> = METRICS
        .iter()
        .zip(&targets)
        .map(|(clause, target)| Job::new(clause.name()).with_target(target, &[]))
        .collect();
    let server = Arc::new(Server::start(kind, &jobs).await);
    let client = client(&server, kind).await;
    let clauses = METRICS.iter().zip(&targets).map(async |(clause, target)| {
        server.scraped(target, 1).await;
        let harness = Harness {
            source: source(&client, &format!("shop/{}", clause.name())),
            server: Arc::clone(&server),
            target: Arc::clone(target),
            app: clause.name(),
            last: next_second().into(),
            took: StdMutex::default(),
        };
        println!("{}", clause.name());
        clause.check(&harness).await;
        println!("{} holds", clause.name());
    });
    join_all(clauses).await;
}

#[tokio::test]
async fn on_prometheus_2() {
    keeps_the_contract(Kind::Prometheus2).await;
}

#[tokio::test]
async fn on_prometheus_3() {
    keeps_the_contract(Kind::Prometheus3).await;
}

#[tokio::test]
async fn on_victoria_metrics() {
    keeps_the_contract(Kind::VictoriaMetrics).await;
}

#[tokio::test]
async fn behind_the_paths_of_a_cluster() {
    keeps_the_contract(Kind::VictoriaCluster).await;
}
