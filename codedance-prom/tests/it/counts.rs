//! What was truly counted, against what is read of it: over restarts, gaps, births and a server that is
//! restarted itself.

use std::time::Duration;

use codedance_core::Timestamp;
use codedance_core::metrics::{MetricQuery, MetricsSource, Reading, Sample, Signal, Window};
use codedance_prom::Prometheus;

use crate::conformance::{BOUNDS, client, next_second, source};
use crate::servers::{Job, Kind, Server};
use crate::target::{Failure, Target, sample};
use crate::templates::{question, revision};

const CODES: [&str; 3] = ["200", "500", "503"];

fn labels<'a>(version: &'a str, code: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("namespace", "shop"),
        ("app", "web"),
        ("version", version),
        ("code", code),
    ]
}

fn serve(target: &Target, version: &str, code: &str, requests: u32) {
    target.count(
        "http_requests_total",
        &labels(version, code),
        requests.into(),
    );
    let name = "http_request_duration_seconds";
    target.observe(name, BOUNDS, &labels(version, "")[..3], 0.3, requests);
}

/// How many requests of that revision any server can know of by now: the bad ones, and all.
fn known(target: &Target, version: &str) -> (u64, u64) {
    let of = |code| target.known(&sample("http_requests_total", &labels(version, code))) as u64;
    let counts = CODES.map(of);
    (counts[1] + counts[2], counts.iter().sum())
}

fn metrics() -> Vec<MetricQuery> {
    let quantile = |share| codedance_core::metrics::Quantile::new(share).unwrap();
    vec![
        MetricQuery::new("errors", Signal::ErrorRate),
        MetricQuery::new("p99", Signal::Latency(quantile(0.99))),
    ]
}

/// The bad requests and all of them, of both metrics together, which must agree.
fn counts(readings: &[Reading], side: impl Fn(&Reading) -> &Sample) -> (u64, u64) {
    let (bad, total) = match side(&readings[0]) {
        Sample::Counts { bad, total } => (*bad, *total),
        Sample::NoData => (0, 0),
        other => panic!("{other:?}"),
    };
    let timed = match side(&readings[1]) {
        Sample::Histogram(histogram) => histogram.total(),
        Sample::NoData => 0,
        other => panic!("{other:?}"),
    };
    assert_eq!(timed, total, "as many times as requests");
    (bad, total)
}

async fn read(source: &Prometheus, window: Window) -> [(u64, u64); 2] {
    let question = question(metrics(), window);
    let readings = source.measure(&question).await.unwrap();
    [
        counts(&readings, |reading| &reading.stable),
        counts(&readings, |reading| &reading.canary),
    ]
}

/// The sum over windows of that length, from one end to the other.
async fn read_piecewise(
    source: &Prometheus,
    (from, to): (Timestamp, Timestamp),
    length: Duration,
) -> [(u64, u64); 2] {
    let mut sums = [(0, 0); 2];
    let mut begin = from;
    while begin < to {
        let end = (begin + length).min(to);
        let counts = read(source, Window::new(begin, end)).await;
        for (sum, (bad, total)) in sums.iter_mut().zip(counts) {
            *sum = (sum.0 + bad, sum.1 + total);
        }
        begin = end;
    }
    sums
}

async fn nothing_is_lost_or_counted_twice(kind: Kind) {
    let (old, new) = (Target::start().await, Target::start().await);
    let jobs = [
        Job::new("old").with_target(&old, &[]),
        Job::new("new").with_target(&new, &[]),
    ];
    let mut server = Server::start(kind, &jobs).await;
    let source = source(&client(&server, kind).await, "shop/web");
    // Stable has run for long; the canary has just begun.
    serve(&old, "v1", "200", 1_000_000);
    serve(&old, "v1", "500", 1_000);
    serve(&new, "v2", "200", 0);
    server.scraped(&old, 2).await;
    server.scraped(&new, 2).await;
    let from = next_second();
    let before = [known(&old, "v1"), known(&new, "v2")];
    tokio::time::sleep(from.since(crate::conformance::now()) + Duration::from_millis(50)).await;

    for step in 1..=12 {
        serve(&old, "v1", "200", 90);
        serve(&old, "v1", "500", 1);
        serve(&new, "v2", "200", 10);
        match step {
            // The first errors of the canary: a series that is born late.
            3 => serve(&new, "v2", "500", 7),
            // It restarts, and its errors are gone, until there are more than before.
            5 => {
                new.restart();
                serve(&new, "v2", "200", 4);
            }
            6 => serve(&new, "v2", "500", 11),
            // It cannot be scraped for a while, but serves.
            7 => {
                new.fail(Failure::Unavailable);
                new.missed(2).await;
                serve(&new, "v2", "200", 20);
                serve(&new, "v2", "503", 2);
                new.recover();
            }
            // It restarts where nobody sees it.
            8 => {
                new.fail(Failure::Unavailable);
                new.missed(1).await;
                new.restart();
                serve(&new, "v2", "200", 3);
                new.recover();
            }
            10 => server.restart().await,
            _ => {}
        }
        server.scraped(&new, 1).await;
        server.scraped(&old, 1).await;
    }
    let to = next_second();
    let after = [known(&old, "v1"), known(&new, "v2")];
    let expected = [0, 1].map(|side: usize| {
        let ((bad_before, all_before), (bad, all)) = (before[side], after[side]);
        (bad - bad_before, all - all_before)
    });
    assert!(expected[1].0 >= 7 + 11 + 2, "{expected:?}");

    let whole = read(&source, Window::new(from, to)).await;
    println!("{kind:?}: expected {expected:?}, read {whole:?}");
    assert_eq!(whole, expected, "in one window");
    for millis in [1_000, 2_000, 3_300] {
        let length = Duration::from_millis(millis);
        let pieces = read_piecewise(&source, (from, to), length).await;
        assert_eq!(pieces, expected, "in windows of {millis} ms");
    }

    // As a backtest reads it.
    let (stable, canary) = (revision("v1"), revision("v2"));
    let step = Duration::from_secs(1);
    let (metrics, revisions) = (metrics(), (&stable, &canary));
    let looks = source.range(&metrics, revisions, (from, to), step);
    let looks = looks.await.unwrap();
    let mut sum = (0, 0);
    for (window, readings) in &looks {
        assert_eq!(window.length(), step);
        let (bad, total) = counts(readings, |reading| &reading.canary);
        sum = (sum.0 + bad, sum.1 + total);
    }
    assert_eq!(sum, expected[1], "over a range");
}

#[tokio::test]
async fn on_prometheus_2() {
    nothing_is_lost_or_counted_twice(Kind::Prometheus2).await;
}

#[tokio::test]
async fn on_prometheus_3() {
    nothing_is_lost_or_counted_twice(Kind::Prometheus3).await;
}

#[tokio::test]
async fn on_victoria_metrics() {
    nothing_is_lost_or_counted_twice(Kind::VictoriaMetrics).await;
}

/// A server that was down for longer than anything is remembered knows counters only from then on: what
/// they had counted before belongs to no window.
#[tokio::test]
async fn what_was_counted_before_anybody_looked_is_of_no_window() {
    let target = Target::start().await;
    serve(&target, "v1", "200", 50_000);
    serve(&target, "v2", "500", 50_000);
    let from = next_second();
    let server = Server::start(
        Kind::Prometheus3,
        &[Job::new("web").with_target(&target, &[])],
    )
    .await;
    let source = source(&client(&server, Kind::Prometheus3).await, "shop/web");
    server.scraped(&target, 2).await;
    let to = next_second();
    let found = read(&source, Window::new(from, to)).await;
    assert_eq!(found, [(0, 0); 2], "nobody knows when they were");

    serve(&target, "v1", "200", 5);
    server.scraped(&target, 1).await;
    let end = next_second();
    let found = read(&source, Window::new(to, end)).await;
    assert_eq!(found, [(0, 5), (0, 0)], "from then on they are");
}
