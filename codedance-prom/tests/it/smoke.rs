//! The servers and the target that the other tests stand on.

use rustix::process::test_kill_process;
use serde_json::Value;

use crate::servers::{Job, Kind, Server, fetch};
use crate::target::{Failure, Layout, Target, sample};

const BOUNDS: Layout = Layout::Classic(&[0.1, 0.5, 1.0]);

/// What an instant query finds: the value of the one series, or none.
async fn ask(server: &Server, query: &str) -> Option<String> {
    let mut path = "/api/v1/query?nocache=1&query=".to_owned();
    path.extend(query.bytes().map(|byte| format!("%{byte:02x}")));
    let (status, answer) = server.get(&path).await;
    assert_eq!(status, 200, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let found = answer["data"]["result"].as_array().unwrap();
    assert!(found.len() < 2, "{answer}");
    let value = found.first()?["value"][1].as_str();
    value.map(str::to_owned)
}

async fn serves_what_it_scrapes(kind: Kind) {
    let labels = [("code", "200"), ("path", "a \"quoted\" \\ path")];
    let target = Target::start().await;
    target.count("requests_total", &labels, 5.0);
    target.gauge("queue", &[], -1.5);
    target.observe("request_seconds", BOUNDS, &[], 0.05, 1);
    target.observe("request_seconds", BOUNDS, &[], 0.5, 2);
    target.observe("request_seconds", BOUNDS, &[], 4.0, 3);
    let job = Job::new("shop").with_target(&target, &[("track", "canary")]);
    let mut server = Server::start(kind, &[job]).await;
    assert!(server.url().starts_with("http://127.0.0.1:"));

    server.scraped(&target, 1).await;
    let instance = target.address();
    let series = format!(
        "requests_total{{job=\"shop\",instance=\"{instance}\",track=\"canary\",code=\"200\",\
         path=\"a \\\"quoted\\\" \\\\ path\"}}"
    );
    assert_eq!(ask(&server, &series).await.as_deref(), Some("5"));
    assert_eq!(ask(&server, "queue").await.as_deref(), Some("-1.5"));
    for (sample, value) in [
        ("request_seconds_bucket{le=\"0.1\"}", "1"),
        ("request_seconds_bucket{le=\"0.5\"}", "3"),
        ("request_seconds_bucket{le=\"+Inf\"}", "6"),
        ("request_seconds_count", "6"),
        ("request_seconds_sum", "13.05"),
    ] {
        assert_eq!(
            ask(&server, sample).await.as_deref(),
            Some(value),
            "{sample}"
        );
        assert_eq!(target.known(sample).to_string(), value, "{sample}");
    }
    assert_eq!(target.known(&sample("requests_total", &labels)), 5.0);

    target.count("requests_total", &labels, 1.0);
    server.scraped(&target, 1).await;
    assert_eq!(ask(&server, &series).await.as_deref(), Some("6"));

    // What it has now, it has from its disk.
    target.fail(Failure::Unavailable);
    target.missed(1).await;
    server.restart().await;
    target.missed(2).await;
    let kept = format!("max_over_time({series}[5m])");
    assert_eq!(ask(&server, &kept).await.as_deref(), Some("6"));
    assert_eq!(ask(&server, "up").await.as_deref(), Some("0"));

    let (pid, folder) = (server.pid(), server.folder().to_owned());
    drop(server);
    assert!(test_kill_process(pid).is_err());
    assert!(!folder.exists());
}

#[tokio::test]
async fn prometheus_2_serves_what_it_scrapes() {
    serves_what_it_scrapes(Kind::Prometheus2).await;
}

#[tokio::test]
async fn prometheus_3_serves_what_it_scrapes() {
    serves_what_it_scrapes(Kind::Prometheus3).await;
}

#[tokio::test]
async fn victoria_metrics_serves_what_it_scrapes() {
    serves_what_it_scrapes(Kind::VictoriaMetrics).await;
}

#[tokio::test]
async fn a_cluster_of_victoria_metrics_serves_what_it_scrapes() {
    serves_what_it_scrapes(Kind::VictoriaCluster).await;
}

#[tokio::test]
async fn a_cluster_lets_in_those_who_may_ask() {
    let server = Server::start(Kind::VictoriaCluster, &[]).await;
    let url = server.url();
    let address = url.trim_start_matches("http://").split('/').next();
    let address = address.unwrap().parse().unwrap();
    let path = "/select/0/prometheus/api/v1/query?query=1";
    assert_eq!(fetch(address, path, true).await.0, 200);
    assert_eq!(fetch(address, path, false).await.0, 401);
    assert_eq!(fetch(address, "/api/v1/query?query=1", true).await.0, 400);
}

#[tokio::test]
async fn prometheus_3_scrapes_native_histograms() {
    let target = Target::start().await;
    let layout = Layout::Native(3);
    target.observe("request_seconds", layout, &[("path", "/")], 0.3, 6);
    target.observe("request_seconds", layout, &[("path", "/")], 0.31, 0);
    target.observe("request_seconds", layout, &[("path", "/")], 0.01, 4);
    target.observe("idle_seconds", layout, &[], 1.0, 0);
    let job = Job::new("shop").with_target(&target, &[]);
    let server = Server::start(Kind::Prometheus3, &[job]).await;
    server.scraped(&target, 1).await;
    for (query, value) in [
        ("histogram_count(request_seconds)", "10"),
        ("histogram_sum(request_seconds)", "1.84"),
        // 0.3 is between the bounds 2^(-14/8) and 2^(-13/8), 0.01 far below.
        ("histogram_fraction(0.2973, 0.3243, request_seconds)", "0.6"),
        ("histogram_fraction(0, 0.2973, request_seconds)", "0.4"),
        ("histogram_count(idle_seconds)", "0"),
    ] {
        let found = ask(&server, query)
            .await
            .map(|found| found.parse::<f64>().unwrap());
        let expected: f64 = value.parse().unwrap();
        assert!(
            found.is_some_and(|found| (found - expected).abs() < 1e-3),
            "{query}: {found:?}"
        );
    }
    let count = "request_seconds_count{path=\"/\"}";
    assert_eq!((target.counted(count), target.known(count)), (10.0, 10.0));
}

#[tokio::test]
async fn a_server_that_is_paused_answers_when_it_resumes() {
    let target = Target::start().await;
    let job = Job::new("shop").with_target(&target, &[]);
    let server = Server::start(Kind::Prometheus2, &[job]).await;
    target.fail(Failure::Hang);
    target.missed(1).await;
    assert_eq!(ask(&server, "up").await.as_deref(), Some("0"));

    server.pause().await;
    let mut answer = Box::pin(ask(&server, "vector(7)"));
    let early = tokio::time::timeout(std::time::Duration::from_secs(1), &mut answer).await;
    assert!(early.is_err(), "{early:?}");
    server.resume();
    assert_eq!(answer.await.as_deref(), Some("7"));

    target.recover();
    server.scraped(&target, 1).await;
    assert_eq!(ask(&server, "up").await.as_deref(), Some("1"));
}

/// A scrape by hand.
async fn scrape(target: &Target) -> String {
    let (status, shown) = fetch(target.address(), "/metrics", false).await;
    assert_eq!(status, 200);
    shown
}

#[tokio::test]
async fn what_no_scrape_has_shown_cannot_be_known() {
    let target = Target::start().await;
    let labels = [("code", "500")];
    let name = sample("errors_total", &labels);
    let count = |by| target.count("errors_total", &labels, by);
    count(5.0);
    assert_eq!((target.counted(&name), target.known(&name)), (5.0, 0.0));
    scrape(&target).await;
    count(1.0);
    scrape(&target).await;
    assert_eq!(target.known(&name), 6.0);
    count(3.0);
    target.restart();
    assert_eq!(scrape(&target).await, "");
    count(2.0);
    let shown = scrape(&target).await;
    assert_eq!(
        shown,
        "# TYPE errors_total counter\nerrors_total{code=\"500\"} 2\n"
    );
    assert_eq!((target.counted(&name), target.known(&name)), (11.0, 8.0));

    target.remove("errors_total", &labels);
    assert_eq!(scrape(&target).await, "# TYPE errors_total counter\n");
    count(1.0);
    scrape(&target).await;
    assert_eq!((target.counted(&name), target.known(&name)), (12.0, 9.0));
}

#[tokio::test]
async fn a_scrape_is_over_when_the_next_one_begins() {
    let target = Target::start().await;
    // Shown before the wait begins, so it does not count.
    scrape(&target).await;
    let mut waiting = Box::pin(target.scraped(2));
    let mut missing = Box::pin(target.missed(1));
    assert!(futures::poll!(&mut waiting).is_pending());
    assert!(futures::poll!(&mut missing).is_pending());
    scrape(&target).await;
    target.fail(Failure::Unavailable);
    let (status, _) = fetch(target.address(), "/metrics", false).await;
    assert_eq!(status, 503);
    target.recover();
    assert!(futures::poll!(&mut missing).is_pending());
    scrape(&target).await;
    missing.await;
    assert!(futures::poll!(&mut waiting).is_pending());
    scrape(&target).await;
    waiting.await;
}
