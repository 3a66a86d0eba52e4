//! Native histograms and summaries.

use codedance_core::metrics::{
    MetricQuery, MetricsSource, Quantile, Reading, Sample, Signal, Window,
};
use codedance_prom::{LatencyKind, Prometheus, Template, TimeUnit};

use crate::conformance::{client, next_second, source};
use crate::servers::{Job, Kind, Server};
use crate::target::{Layout, Target};
use crate::templates::{begin, question};

const STABLE: &[(&str, &str)] = &[("app", "web"), ("version", "v1")];
const CANARY: &[(&str, &str)] = &[("app", "web"), ("version", "v2")];

fn template(select: &str, kind: LatencyKind, unit: TimeUnit) -> Template {
    Template::new("version").with_latency(select, kind, unit)
}

fn latency(share: f64) -> MetricQuery {
    let quantile = Quantile::new(share).unwrap();
    MetricQuery::new(format!("p{}", share * 100.0), Signal::Latency(quantile))
}

async fn read(source: &Prometheus, shares: &[f64], window: Window) -> Vec<Reading> {
    let queries = shares.iter().copied().map(latency).collect();
    let readings = source.measure(&question(queries, window)).await;
    readings.unwrap_or_else(|error| panic!("{error:#?}"))
}

/// Each bucket's upper bound in seconds with its count, of those that are not empty.
fn filled(sample: &Sample) -> Vec<(f64, u64)> {
    let Sample::Histogram(histogram) = sample else {
        panic!("{sample:?}");
    };
    let bounds = histogram.bounds().iter().copied().chain([f64::INFINITY]);
    let filled = bounds.zip(histogram.counts().iter().copied());
    filled.filter(|(_, count)| *count > 0).collect()
}

/// The bounds of schema 1 are the powers of √2; 6 ms to 8 ms, for example.
#[track_caller]
fn assert_filled(sample: &Sample, expected: &[(i32, f64, u64)]) {
    let found = filled(sample);
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for ((bound, count), (half_power, unit, expected)) in found.iter().zip(expected) {
        let upper = 2_f64.powf(f64::from(*half_power) / 2.0) * unit;
        assert!((bound - upper).abs() < 1e-9 * upper, "{found:?}");
        assert_eq!(count, expected, "{found:?}");
    }
}

/// Native histograms of schema 3, read in `unit`, of two replicas of which one starts anew.
async fn reads_native_histograms(unit: TimeUnit) {
    let scale = match unit {
        TimeUnit::Milliseconds => 1e-3,
        _ => 1.0,
    };
    let targets = [Target::start().await, Target::start().await];
    let observe = |target: &Target, labels, seconds: f64, times| {
        target.observe("request", Layout::Native(3), labels, seconds / scale, times);
    };
    for target in &targets {
        observe(target, STABLE, 0.3, 5);
        observe(target, STABLE, 2.0, 1);
        // It has seen nothing yet.
        observe(target, CANARY, 0.3, 0);
    }
    let job = Job::new("web").with_target(&targets[0], &[]);
    let job = job.with_target(&targets[1], &[]);
    let server = Server::start(Kind::Prometheus3, &[job]).await;
    for target in &targets {
        server.scraped(target, 1).await;
    }
    let client = client(&server, Kind::Prometheus3).await;
    let by = template("request{app=\"web\"}", LatencyKind::Native, unit);
    let source = source(&client, "shop/web").with_template("http", by);

    let from = begin().await;
    for target in &targets {
        observe(target, STABLE, 0.3, 7);
        observe(target, STABLE, 0.007, 2);
        observe(target, CANARY, 0.02, 4);
        observe(target, CANARY, 1.3, 3);
    }
    for target in &targets {
        server.scraped(target, 2).await;
    }
    let window = Window::new(from, next_second());
    let readings = read(&source, &[0.5, 0.99], window).await;
    // The upper bounds: 7.8 ms or 8 ms, 22 or 31 ms, 354 or 362 ms, 1.4 s.
    let at = |seconds: i32, millis: i32| match unit {
        TimeUnit::Milliseconds => millis,
        _ => seconds,
    };
    for reading in &readings {
        let stable = [(at(-14, 6), scale, 4), (at(-3, 17), scale, 14)];
        assert_filled(&reading.stable, &stable);
        let canary = [(at(-11, 9), scale, 8), (at(1, 21), scale, 6)];
        assert_filled(&reading.canary, &canary);
    }

    // One starts anew, and the other's scrapes fail for a while.
    targets[0].restart();
    observe(&targets[0], STABLE, 0.3, 3);
    targets[1].fail(crate::target::Failure::Unavailable);
    targets[1].missed(2).await;
    observe(&targets[1], STABLE, 0.3, 11);
    targets[1].recover();
    for target in &targets {
        server.scraped(target, 2).await;
    }
    let after = Window::new(window.to, next_second());
    let readings = read(&source, &[0.5], after).await;
    assert_filled(&readings[0].stable, &[(at(-3, 17), scale, 14)]);
    assert_eq!(readings[0].canary, Sample::NoData);
}

#[tokio::test]
async fn native_histograms_in_seconds() {
    reads_native_histograms(TimeUnit::Seconds).await;
}

#[tokio::test]
async fn native_histograms_in_milliseconds() {
    reads_native_histograms(TimeUnit::Milliseconds).await;
}

async fn reads_summaries(kind: Kind) {
    let targets = [Target::start().await, Target::start().await];
    let show = |target: &Target, labels: &[(&str, &str)], [p50, p99]: [f64; 2], count: u32| {
        for (quantile, value) in [("0.5", p50), ("0.99", p99)] {
            let labels: Vec<_> = labels
                .iter()
                .copied()
                .chain([("quantile", quantile)])
                .collect();
            target.gauge("request_seconds", &labels, value);
        }
        target.count("request_seconds_count", labels, f64::from(count));
    };
    for target in &targets {
        show(target, STABLE, [0.1, 0.9], 50);
    }
    // A replica without requests.
    show(&targets[0], CANARY, [f64::NAN; 2], 0);
    show(&targets[1], CANARY, [0.1, 0.9], 50);
    let job = Job::new("web").with_target(&targets[0], &[]);
    let job = job.with_target(&targets[1], &[]);
    let server = Server::start(kind, &[job]).await;
    for target in &targets {
        server.scraped(target, 1).await;
    }
    let client = client(&server, kind).await;
    let by = template("request_seconds", LatencyKind::Summary, TimeUnit::Seconds);
    let source = source(&client, "shop/web").with_template("http", by);

    let from = begin().await;
    show(&targets[0], STABLE, [0.25, 1.0], 30);
    show(&targets[1], STABLE, [0.75, 2.0], 10);
    show(&targets[1], CANARY, [0.5, 4.0], 20);
    for target in &targets {
        server.scraped(target, 1).await;
    }
    let window = Window::new(from, next_second());
    let readings = read(&source, &[0.5, 0.99, 0.9], window).await;
    let sample = |value, count| Sample::Quantile { value, count };
    for (reading, stable, canary) in [
        (&readings[0], sample(0.5, 40), sample(0.5, 20)),
        (&readings[1], sample(1.5, 40), sample(4.0, 20)),
        // Nobody keeps that one.
        (&readings[2], Sample::NoData, Sample::NoData),
    ] {
        assert_eq!((&reading.stable, &reading.canary), (&stable, &canary));
    }
}

#[tokio::test]
async fn summaries_on_prometheus_3() {
    reads_summaries(Kind::Prometheus3).await;
}

#[tokio::test]
async fn summaries_on_victoria_metrics() {
    reads_summaries(Kind::VictoriaMetrics).await;
}
