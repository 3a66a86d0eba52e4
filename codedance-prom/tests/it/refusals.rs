//! What cannot be asked or read is refused by the metric's name.

use std::error::Error as _;
use std::time::Duration;

use codedance_core::decision::{Limits, Metric, Policy};
use codedance_core::metrics::{MetricQuery, MetricsSource, Quantile, Sample, Signal, Window};
use codedance_core::{Error, ErrorKind, Percent};
use codedance_prom::{Prometheus, Template};

use crate::conformance::{client, next_second, now, source};
use crate::servers::{Job, Kind, Server};
use crate::target::Target;
use crate::templates::{begin, question, revision};

/// What it says, with all its causes.
fn words(error: &Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words
}

async fn serving(kind: Kind, target: &Target) -> (Server, Prometheus) {
    let job = Job::new("web").with_target(target, &[]);
    let server = Server::start(kind, &[job]).await;
    server.scraped(target, 1).await;
    let source = source(&client(&server, kind).await, "shop/web");
    (server, source)
}

async fn refused(source: &Prometheus, query: MetricQuery) -> Error {
    let begin = now();
    let window = Window::new(begin, begin + Duration::from_secs(1));
    let other = MetricQuery::new("other", Signal::Query("vector(1)".to_owned()));
    let queries = vec![other, query];
    source
        .measure(&question(queries, window))
        .await
        .unwrap_err()
}

fn own(text: &str) -> Signal {
    Signal::Query(text.to_owned())
}

/// With what the server says of `a=b`.
async fn names_what_is_wrong(kind: Kind, matcher: &str) {
    let target = Target::start().await;
    for version in ["v1", "v2"] {
        for pod in ["a", "b"] {
            target.gauge("queue", &[("version", version), ("pod", pod)], 3.0);
        }
    }
    let (_server, source) = serving(kind, &target).await;
    let requests = |select: &str| Template::new("version").with_requests(select, "code");
    let mut bad = requests("http_requests_total");
    bad.requests.as_mut().unwrap().bad = "5(".to_owned();
    let source = source
        .with_template("no_latency", requests("http_requests_total"))
        .with_template("bad_pattern", bad)
        .with_template("bad_side", requests("m").with_sides("v(", "v2"))
        .with_template("bad_label", Template::new("a-b").with_requests("m", "code"))
        .with_template(
            "bad_status",
            Template::new("version").with_requests("m", "a b"),
        )
        .with_template("function", requests("rate(http_requests_total[5m])"))
        .with_template("bad_matcher", requests("http_requests_total{app=web}"))
        .with_template("unknown", requests("m{a=\"{{tenant}}\"}"));
    let p99 = || Signal::Latency(Quantile::new(0.99).unwrap());
    for (template, signal, says) in [
        (
            "nowhere",
            Signal::ErrorRate,
            "there is no template `nowhere`; there are `bad_label`",
        ),
        (
            "no_latency",
            p99(),
            "the template `no_latency` has no `latency`",
        ),
        (
            "bad_pattern",
            Signal::ErrorRate,
            "requests.bad: regex parse error",
        ),
        ("bad_side", Signal::ErrorRate, "stable: regex parse error"),
        (
            "bad_label",
            Signal::ErrorRate,
            "by: `a-b` is not a label's name",
        ),
        (
            "bad_status",
            Signal::ErrorRate,
            "requests.status: `a b` is not a label's name",
        ),
        (
            "function",
            Signal::ErrorRate,
            "requests.select: `rate(http_requests_total[5m])` is not",
        ),
        ("bad_matcher", Signal::ErrorRate, matcher),
        (
            "unknown",
            Signal::ErrorRate,
            "requests.select: `{{tenant}}` is not known; known are",
        ),
        ("http", own("sum(queue"), "parse"),
        ("http", own("queue"), "4 series where one was expected"),
        (
            "http",
            own("queue{version=\"{{revision}}\"}"),
            "2 series where one was expected",
        ),
        ("http", own("sum({{tenant}})"), "`{{tenant}}` is not known"),
    ] {
        let query = MetricQuery::new("mine", signal).with_template(template);
        let error = refused(&source, query).await;
        let said = words(&error);
        assert_eq!(error.kind(), ErrorKind::Invalid, "{template}: {said}");
        assert!(
            said.contains("`mine`") && said.contains(says),
            "{template}: {said}"
        );
    }
}

#[tokio::test]
async fn on_prometheus_3() {
    names_what_is_wrong(Kind::Prometheus3, "unexpected identifier \"web\"").await;
}

#[tokio::test]
async fn on_victoria_metrics() {
    names_what_is_wrong(Kind::VictoriaMetrics, "missing \"web\" value").await;
}

#[tokio::test]
async fn a_value_is_nothing_but_a_value() {
    // What would end a string and a selector, and match more than itself.
    const NASTY: &str = r#"x"} or {job=~".+|a\"#;
    let target = Target::start().await;
    let labels = |tenant, version, code| [("tenant", tenant), ("version", version), ("code", code)];
    let count =
        |tenant, version, code, by| target.count("calls", &labels(tenant, version, code), by);
    for tenant in [NASTY, "x", "a"] {
        count(tenant, "v1", "ok", 10.0);
    }
    let (server, source) = serving(Kind::Prometheus3, &target).await;
    let yaml = r#"
        by: version
        stable: "{{stable}}"
        canary: "{{canary}}(-hotfix)?"
        requests:
          select: calls{tenant="{{tenant}}"}
          status: code
          bad: refused|lost
          good: ok
    "#;
    let template: Template = codedance_core::config::from_yaml(yaml).unwrap();
    let source = source
        .with_template("calls", template)
        .with_default("calls");
    let nasty = source.clone().with_variable("tenant", NASTY);

    let from = begin().await;
    for (version, code, by) in [
        ("v1", "ok", 5.0),
        ("v1", "lost", 2.0),
        ("v2", "ok", 3.0),
        ("v2-hotfix", "refused", 4.0),
        ("v2-rc1", "refused", 64.0),
    ] {
        count(NASTY, version, code, by);
        count("x", version, code, 1_000.0);
        count("a", version, code, 1_000.0);
    }
    server.scraped(&target, 1).await;
    let window = Window::new(from, next_second());
    let queries = || {
        let sum = "sum(calls{tenant=\"{{tenant}}\",version=~\"{{revision}}\"})";
        vec![
            MetricQuery::new("errors", Signal::ErrorRate),
            MetricQuery::new("success", Signal::SuccessRate),
            MetricQuery::new("sum", own(sum)),
        ]
    };
    let readings = nasty.measure(&question(queries(), window)).await.unwrap();
    let counts = |bad, total| Sample::Counts { bad, total };
    for (reading, stable, canary) in [
        (&readings[0], counts(2, 7), counts(4, 7)),
        (&readings[1], counts(2, 7), counts(4, 7)),
        (&readings[2], Sample::Gauge(17.0), Sample::Gauge(3.0)),
    ] {
        assert_eq!((&reading.stable, &reading.canary), (&stable, &canary));
    }
    // A revision is as little a pattern as any other value.
    let mut question = question(queries(), window);
    question.canary = revision(".*");
    let readings = nasty.measure(&question).await.unwrap();
    assert!(
        readings
            .iter()
            .all(|reading| reading.canary == Sample::NoData),
        "{readings:?}"
    );
}

/// Longer than it takes to look at what has just been scraped.
const INTERVAL: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_policy_is_checked_before_a_rollout() {
    let target = Target::start().await;
    let requests = |code| {
        let app = [
            ("namespace", "shop"),
            ("app", "web"),
            ("version", "v1"),
            ("code", code),
        ];
        target.count("http_requests_total", &app, 5.0);
    };
    requests("200");
    let (server, source) = serving(Kind::Prometheus3, &target).await;
    // It was there before the interval that is looked at.
    server.scraped(&target, INTERVAL.as_secs() + 2).await;
    requests("200");
    // What is younger than the lag is not asked for.
    server.scraped(&target, 3).await;
    let rate = || Limits::fail(Percent::new(1).unwrap());
    let metric = |name, signal| Metric::new(name, signal, rate());
    let gauge = |name, text| Metric::new(name, own(text), Limits::fail(3.0));
    let policy = Policy::builder()
        .with_metric(metric("fine", Signal::ErrorRate))
        .with_metric(gauge("broken", "sum("))
        .with_metric(metric("elsewhere", Signal::ErrorRate).with_template("istio"))
        .with_metric(metric("nowhere", Signal::ErrorRate).with_template("itsio"))
        .with_metric(gauge("nothing", "sum(queue{version=\"{{revision}}\"})"))
        .with_metric(gauge("one", "vector(1)"))
        .with_interval(INTERVAL)
        .build()
        .unwrap();
    let (stable, canary) = (revision("v1"), revision("v2"));
    let checked = source.check(&policy, &stable, &canary).await.unwrap();
    let faults: Vec<_> = checked
        .faults
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(faults, ["broken", "nowhere"]);
    for (name, error) in &checked.faults {
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(
            words(error).contains(&format!("`{name}`")),
            "{}",
            words(error)
        );
    }
    assert_eq!(checked.silent, ["elsewhere", "nothing"]);
    // An hour ago nobody had been scraped: it looks where a look would.
    let late = source.with_lag(Duration::from_secs(3_600));
    let checked = late.check(&policy, &stable, &canary).await.unwrap();
    assert_eq!(checked.silent, ["fine", "elsewhere", "nothing"]);
}

/// A query of VictoriaMetrics may have 16 KB.
#[tokio::test]
async fn more_metrics_than_a_query_has_room_for_are_read() {
    let target = Target::start().await;
    let (_server, source) = serving(Kind::VictoriaMetrics, &target).await;
    let begin = now();
    let window = Window::new(begin, begin + Duration::from_secs(1));
    let queries = (0..60).map(|number| {
        let long = format!("vector({number}) # {}", "long ".repeat(200));
        MetricQuery::new(format!("metric{number}"), Signal::Query(long))
    });
    let readings = source.measure(&question(queries.collect(), window)).await;
    let read: Vec<_> = readings
        .unwrap()
        .into_iter()
        .map(|reading| (reading.name, reading.canary))
        .collect();
    let expected: Vec<_> = (0..60)
        .map(|number| (format!("metric{number}"), Sample::Gauge(number.into())))
        .collect();
    assert_eq!(read, expected);
}

/// Servers go on showing the last value for five minutes.
async fn what_is_too_old_is_no_data(kind: Kind) {
    let target = Target::start().await;
    for version in ["v1", "v2"] {
        target.gauge("queue", &[("version", version)], 3.0);
    }
    let (_server, source) = serving(kind, &target).await;
    let queue = r#"queue{version="{{revision}}"}"#;
    let metrics = [
        MetricQuery::new("plain", own(queue)),
        MetricQuery::new("made", own(&format!("sum({queue})"))),
    ];
    // As if nobody had scraped for so long.
    let step = Duration::from_secs(1);
    let read = async |later: u64| {
        let from = now() + Duration::from_secs(later);
        let (stable, canary) = (revision("v1"), revision("v2"));
        let looks = source.range(&metrics, (&stable, &canary), (from, from + step), step);
        let readings = looks.await.unwrap().remove(0).1;
        readings
            .into_iter()
            .map(|reading| reading.canary)
            .collect::<Vec<_>>()
    };
    let three = Sample::Gauge(3.0);
    assert_eq!(read(30).await, [three.clone(), three.clone()]);
    assert_eq!(read(90).await[0], Sample::NoData);
}

#[tokio::test]
async fn what_is_too_old_is_no_data_on_prometheus() {
    what_is_too_old_is_no_data(Kind::Prometheus3).await;
}
