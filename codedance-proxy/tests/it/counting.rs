//! What the proxy tells about itself, and how it ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use codedance_core::metrics::{
    MetricQuery, MetricsSource, Quantile, Question, Reading, Sample, Signal, Window,
};
use codedance_core::{ErrorKind, Timestamp};
use codedance_proxy::Proxy;
use hyper::{Request, Response, StatusCode};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::support::*;

fn question(signals: impl IntoIterator<Item = Signal>) -> Question {
    let metric = |signal| MetricQuery::new(format!("{signal:?}"), signal);
    Question {
        stable: revision("v1"),
        canary: revision("v2"),
        metrics: signals.into_iter().map(metric).collect(),
        window: Window::new(Timestamp::EPOCH, Timestamp::MAX),
        history: None,
    }
}

/// Asks until the canary's first reading is not the one before: the counters are noted now and then.
async fn next_reading(proxy: &Proxy, question: &Question, before: Sample) -> Vec<Reading> {
    let changed = async {
        loop {
            let readings = proxy.measure(question).await.unwrap();
            if readings[0].canary != before {
                return readings;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, changed).await.expect("nothing was noted")
}

/// How many answers are in the histogram of latencies.
fn answers(sample: &Sample) -> u64 {
    match sample {
        Sample::Histogram(histogram) => histogram.total(),
        other => panic!("{other:?} is no histogram"),
    }
}

#[tokio::test]
async fn the_judge_is_told_what_happened_to_each_side() {
    let (v1, v2) = (obedient().await, obedient().await);
    let config = config().with_sampling(Duration::from_millis(1));
    let proxy = proxy(config, &[&v1], &[&v2]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    let mut ask = async |points, paths: &[&str]| {
        apply(&proxy, &split(points)).await;
        for path in paths {
            client.get(path).await;
        }
    };
    let latency = Signal::Latency(Quantile::new(0.5).unwrap());
    let question = question([Signal::ErrorRate, Signal::SuccessRate, latency]);

    ask(0, &["/200", "/500", "/302"]).await;
    // One request, so that its note is the last one.
    ask(10_000, &["/404"]).await;
    let readings = next_reading(&proxy, &question, Sample::NoData).await;
    let counts = |bad, total| Sample::Counts { bad, total };
    let names: Vec<_> = readings.iter().map(|reading| &*reading.name).collect();
    assert_eq!(
        names,
        ["ErrorRate", "SuccessRate", "Latency(Quantile(0.5))"]
    );
    assert_eq!(
        (&readings[0].canary, &readings[0].stable),
        (&counts(0, 1), &counts(1, 3))
    );
    assert_eq!(
        (&readings[1].canary, &readings[1].stable),
        (&counts(1, 1), &counts(1, 3))
    );
    assert_eq!(answers(&readings[2].stable), 3);

    v2.kill().await;
    ask(10_000, &["/200"]).await;
    let readings = next_reading(&proxy, &question, counts(0, 1)).await;
    assert_eq!(readings[0].canary, counts(1, 2));
    assert_eq!(answers(&readings[2].canary), 1);
    assert_eq!(
        proxy.measure(&question).await.unwrap(),
        readings,
        "asked twice"
    );

    // Nothing happened at the beginning of time, and nothing is known of what never was.
    let mut other = question.clone();
    other.window = Window::new(Timestamp::EPOCH, Timestamp::from_millis(1));
    other.stable = revision("v0");
    for reading in proxy.measure(&other).await.unwrap() {
        assert_eq!(
            (reading.canary, reading.stable),
            (Sample::NoData, Sample::NoData)
        );
    }
    stop(proxy).await;
}

#[tokio::test]
async fn queries_in_text_are_refused_by_name() {
    let proxy = proxy(config(), &[], &[]).await;
    let question = question([Signal::ErrorRate, Signal::Query("up".into())]);
    let refused = proxy.measure(&question).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert!(refused.to_string().contains("Query(\"up\")"), "{refused}");
    stop(proxy).await;
}

/// The samples of a page by their name with labels, checked for form.
fn parse(page: &str) -> BTreeMap<String, f64> {
    let mut typed = BTreeMap::new();
    let mut samples = BTreeMap::new();
    for line in page.lines() {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(
                typed.insert(name, kind).is_none(),
                "{name} is declared twice"
            );
        } else if !line.starts_with("# HELP ") {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            let family = typed.keys().find(|family| match typed[*family] {
                "histogram" => ["_bucket", "_sum", "_count"]
                    .iter()
                    .any(|end| name.strip_suffix(end) == Some(family)),
                _ => name == **family,
            });
            assert!(family.is_some(), "{line} has no type");
            let again = samples.insert(series.to_owned(), value.parse().unwrap());
            assert!(again.is_none(), "{series} appears twice");
        }
    }
    samples
}

#[tokio::test]
async fn prometheus_reads_the_same_counts() {
    let (v1, v2) = (obedient().await, obedient().await);
    let config = config().with_admin(NOWHERE).with_metrics_path("/stats");
    let proxy = proxy(config, &[&v1], &[&v2]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    for path in ["/200", "/200", "/404", "/503"] {
        client.get(path).await;
    }
    apply(&proxy, &split(25)).await;

    let mut admin = Client::connect(proxy.admin_addr().unwrap()).await;
    let response = admin.send(get("/stats")).await.unwrap();
    assert_eq!(
        response.headers()["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let samples = parse(&admin.get("/stats").await.1);
    let value = |name: &str, labels: &str| samples[&format!("codedance_proxy_{name}{{{labels}}}")];
    let v1 = "revision=\"v1\"";
    for (class, count) in [
        ("1xx", 0.0),
        ("2xx", 2.0),
        ("3xx", 0.0),
        ("4xx", 1.0),
        ("5xx", 1.0),
    ] {
        let labels = format!("{v1},class=\"{class}\"");
        assert_eq!(value("requests_total", &labels), count, "{class}");
    }
    assert_eq!(value("weight_ratio", v1), 0.9975);
    assert_eq!(value("weight_ratio", "revision=\"v2\""), 0.0025);
    assert_eq!(value("endpoints", v1), 1.0);
    assert_eq!(value("in_flight", v1), 0.0);
    assert_eq!(value("no_answer_total", v1), 0.0);
    let infinite = value(
        "request_duration_seconds_bucket",
        &format!("{v1},le=\"+Inf\""),
    );
    assert_eq!(infinite, 4.0);
    assert_eq!(value("request_duration_seconds_count", v1), 4.0);

    assert_eq!(admin.get("/metrics").await.0, StatusCode::NOT_FOUND);
    let (status, _) = admin.ask(post("/stats", "x")).await.unwrap();
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    stop(proxy).await;
}

#[tokio::test]
async fn latencies_fall_into_their_buckets() {
    let slow = Backend::start(|_: Request<_>| async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Response::new(full("at last"))
    })
    .await;
    let config = config().with_latency_bounds([0.01, 3_600.0]);
    let proxy = proxy(config, &[&slow], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    client.get("/").await;
    let totals = proxy.totals(&revision("v1")).unwrap();
    assert_eq!(totals.latency_buckets, [0, 1, 0]);
    assert!(totals.latency_sum >= Duration::from_millis(50));
    stop(proxy).await;
}

/// A proxy with one request in flight, which is answered once `go` is notified.
async fn busy() -> (
    Proxy,
    tokio::task::JoinHandle<hyper::Result<StatusCode>>,
    Arc<Notify>,
    Backend,
) {
    let (arrived, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (seen, held) = (Arc::clone(&arrived), Arc::clone(&go));
    let backend = Backend::start(move |_: Request<_>| {
        let (seen, held) = (Arc::clone(&seen), Arc::clone(&held));
        async move {
            seen.notify_one();
            held.notified().await;
            Response::new(full("done"))
        }
    })
    .await;
    let proxy = proxy(config(), &[&backend], &[]).await;
    let mut client = Client::connect(proxy.local_addr()).await;
    let pending = tokio::spawn(async move { Ok(client.ask(get("/")).await?.0) });
    arrived.notified().await;
    (proxy, pending, go, backend)
}

#[tokio::test]
async fn shutting_down_finishes_what_was_begun() {
    let (proxy, pending, go, _backend) = busy().await;
    let idle = Client::connect(proxy.local_addr()).await;
    let address = proxy.local_addr();
    let ending = tokio::spawn({
        let proxy = proxy.clone();
        async move { proxy.shutdown(PATIENCE).await }
    });
    // No new connection from now on: once none is accepted, the answer may come.
    let refused = async { while TcpStream::connect(address).await.is_ok() {} };
    timeout(PATIENCE, refused).await.expect("it still listens");
    go.notify_one();
    assert_eq!(pending.await.unwrap().unwrap(), StatusCode::OK);
    assert_eq!(ending.await.unwrap(), 0);
    assert_eq!(proxy.shutdown(Duration::ZERO).await, 0, "again is harmless");
    drop(idle);
}

#[tokio::test]
async fn what_does_not_finish_in_time_is_cut_and_counted() {
    let (proxy, pending, _go, _backend) = busy().await;
    assert_eq!(proxy.shutdown(Duration::ZERO).await, 1);
    assert!(pending.await.unwrap().is_err());
    assert_eq!(proxy.in_flight(&revision("v1")), 0);
}

#[tokio::test]
async fn a_proxy_ends_with_its_last_handle() {
    let (proxy, pending, _go, _backend) = busy().await;
    let address = proxy.local_addr();
    let clone = proxy.clone();
    drop(proxy);
    assert!(TcpStream::connect(address).await.is_ok());
    drop(clone);
    assert!(pending.await.unwrap().is_err());
    let refused = async { while TcpStream::connect(address).await.is_ok() {} };
    timeout(PATIENCE, refused).await.expect("it still listens");
}

#[tokio::test]
async fn what_cannot_be_bound_says_why() {
    let first = proxy(config(), &[], &[]).await;
    let mut taken = config();
    taken.listen = first.local_addr();
    let refused = Proxy::bind(taken).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    let cause = std::error::Error::source(&refused).unwrap().to_string();
    assert!(cause.contains(&first.local_addr().to_string()), "{cause}");

    let refused = Proxy::bind(config().with_latency_bounds([]))
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    stop(first).await;
}
