//! The counters as text, in the format that Prometheus reads.

mod endpoints;
mod mirrors;

use std::fmt::{self, Display, Write};
use std::sync::Arc;
use std::time::Duration;

use crate::access_log::Queue;
use crate::config::Config;
use crate::route::Route;
use crate::routing::Routing;
use crate::stats::Totals;
use crate::tls::Acceptor;

/// The value of `Content-Type` that goes with the text.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Everything that the proxy counts, of all revisions, in the order of their names.
pub(crate) fn render(routing: &Routing, config: &Config) -> String {
    let split = routing.split();
    let revisions: Vec<_> = routing
        .routes()
        .into_values()
        .map(|route| (route.revision.counters.totals(), route))
        .collect();
    let mut text = String::with_capacity(2_048 * (revisions.len() + 1));
    // Writing to a string cannot fail.
    let _ = page(
        &mut text,
        &revisions,
        |route| f64::from(split.share_of(&route.revision.name).basis_points()) / 10_000.0,
        &config.latency_bounds,
    )
    .and_then(|()| endpoints::page(&mut text, &revisions, config))
    .and_then(|()| mirrors::page(&mut text, &revisions, &config.latency_bounds));
    text
}

/// What is counted of the access log.
pub(crate) fn render_log(log: &Queue) -> String {
    let mut text = String::new();
    let name = "codedance_proxy_access_log_dropped_total";
    let help = "Lines of the access log that were lost.";
    // Writing to a string cannot fail.
    let _ = head(&mut text, name, "counter", help);
    let _ = writeln!(text, "{name} {}", log.dropped());
    text
}

/// What is counted of TLS with clients.
pub(crate) fn render_tls(tls: &Acceptor) -> String {
    let mut text = String::new();
    for (name, kind, help, value) in [
        (
            "codedance_proxy_failed_handshakes_total",
            "counter",
            "Clients with which no TLS was agreed.",
            tls.failed(),
        ),
        (
            "codedance_proxy_outdated_certificates",
            "gauge",
            "Certificates in use whose files can no longer be used.",
            tls.outdated_certificates() as u64,
        ),
    ] {
        // Writing to a string cannot fail.
        let _ = head(&mut text, name, kind, help);
        let _ = writeln!(text, "{name} {value}");
    }
    text
}

fn page(
    text: &mut String,
    revisions: &[(Totals, Arc<Route>)],
    weight: impl Fn(&Route) -> f64,
    bounds: &[f64],
) -> fmt::Result {
    let name = "codedance_proxy_requests_total";
    head(
        text,
        name,
        "counter",
        "Requests by the class of their answer's status; `none` had no answer.",
    )?;
    for (totals, route) in revisions {
        let classes = CLASSES.into_iter().zip(totals.answers);
        for (class, count) in classes.chain([("none", totals.no_answer)]) {
            let revision = Label(route.revision.name.as_str());
            writeln!(
                text,
                "{name}{{revision={revision},class=\"{class}\"}} {count}"
            )?;
        }
    }
    let mut single = |name, kind, help, value: &dyn Fn(&Totals, &Route) -> f64| {
        head(text, name, kind, help)?;
        revisions.iter().try_for_each(|(totals, route)| {
            let revision = Label(route.revision.name.as_str());
            writeln!(
                text,
                "{name}{{revision={revision}}} {}",
                value(totals, route)
            )
        })
    };
    single(
        "codedance_proxy_no_answer_total",
        "counter",
        "Requests that never got an answer from the revision.",
        &|totals, _| totals.no_answer as f64,
    )?;
    single(
        "codedance_proxy_cut_short_total",
        "counter",
        "Answers that broke off on the revision's side.",
        &|totals, _| totals.cut_short as f64,
    )?;
    single(
        "codedance_proxy_client_aborts_total",
        "counter",
        "Requests whose client went away before it had the whole answer.",
        &|totals, _| totals.client_aborts as f64,
    )?;
    single(
        "codedance_proxy_resent_total",
        "counter",
        "Requests sent again because a kept connection was closed.",
        &|totals, _| totals.resent as f64,
    )?;
    single(
        "codedance_proxy_retried_total",
        "counter",
        "Times that a request went on to another endpoint.",
        &|totals, _| totals.retried as f64,
    )?;
    single(
        "codedance_proxy_retries_denied_total",
        "counter",
        "Requests that were not repeated since the budget was spent.",
        &|totals, _| totals.retries_denied as f64,
    )?;
    single(
        "codedance_proxy_refused_connections_total",
        "counter",
        "Connections that an endpoint did not accept.",
        &|totals, _| totals.refused_connections as f64,
    )?;
    single(
        "codedance_proxy_failed_endpoint_handshakes_total",
        "counter",
        "Connections to endpoints on which no TLS was agreed.",
        &|totals, _| totals.failed_handshakes as f64,
    )?;
    single(
        "codedance_proxy_in_flight",
        "gauge",
        "Requests being answered now, bodies included.",
        &|_, route| route.revision.in_flight() as f64,
    )?;
    single(
        "codedance_proxy_endpoints",
        "gauge",
        "Endpoints in rotation.",
        &|_, route| route.endpoints.len() as f64,
    )?;
    single(
        "codedance_proxy_weight_ratio",
        "gauge",
        "The share of the traffic that the revision is to get, 0 to 1.",
        &|_, route| weight(route),
    )?;

    let name = "codedance_proxy_request_duration_seconds";
    head(
        text,
        name,
        "histogram",
        "Time from a request's head to its answer's head.",
    )?;
    for (totals, route) in revisions {
        let revision = Label(route.revision.name.as_str());
        let (buckets, sum) = (&totals.latency_buckets, totals.latency_sum);
        histogram(text, name, &revision, bounds, buckets, sum)?;
    }
    Ok(())
}

/// The series of one revision.
fn histogram(
    text: &mut String,
    name: &str,
    revision: &Label<'_>,
    bounds: &[f64],
    buckets: &[u64],
    sum: Duration,
) -> fmt::Result {
    let mut below = 0;
    let bounds = bounds.iter().map(ToString::to_string);
    let bounds = bounds.chain(["+Inf".to_owned()]);
    for (bound, count) in bounds.zip(buckets) {
        below += count;
        writeln!(
            text,
            "{name}_bucket{{revision={revision},le=\"{bound}\"}} {below}"
        )?;
    }
    let sum = sum.as_secs_f64();
    writeln!(text, "{name}_sum{{revision={revision}}} {sum}")?;
    writeln!(text, "{name}_count{{revision={revision}}} {below}")
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

/// A label's value in its quotes, with what would end it early escaped.
struct Label<'a>(&'a str);

impl Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use codedance_core::Percent;
    use codedance_core::traffic::Split;
    use codedance_core::workload::Revision;
    use http::StatusCode;

    use crate::dial::Dialer;

    use super::*;

    #[test]
    fn the_page_holds_every_series_with_escaped_labels() {
        let odd = Revision::new("a\"b\\c").unwrap();
        let config =
            Config::new(([127, 0, 0, 1], 0).into(), odd.clone()).with_latency_bounds([0.5, 1.0]);
        let routing = Routing::new(config.clone(), Dialer::default());
        let weight = Percent::from_basis_points(25).unwrap();
        routing
            .apply(&Split::new(
                odd.clone(),
                Revision::new("v2").unwrap(),
                weight,
            ))
            .unwrap();
        let counters = &routing.route(&odd).unwrap().revision.counters;
        for millis in [250, 500, 750, 2_500] {
            counters.answered(StatusCode::OK, Duration::from_millis(millis));
        }

        let page = render(&routing, &config);
        let label = r#"revision="a\"b\\c""#;
        for line in [
            format!("codedance_proxy_requests_total{{{label},class=\"2xx\"}} 4"),
            format!("codedance_proxy_request_duration_seconds_bucket{{{label},le=\"0.5\"}} 2"),
            format!("codedance_proxy_request_duration_seconds_bucket{{{label},le=\"1\"}} 3"),
            format!("codedance_proxy_request_duration_seconds_bucket{{{label},le=\"+Inf\"}} 4"),
            format!("codedance_proxy_request_duration_seconds_sum{{{label}}} 4"),
            format!("codedance_proxy_request_duration_seconds_count{{{label}}} 4"),
            format!("codedance_proxy_weight_ratio{{{label}}} 0.9975"),
            "codedance_proxy_weight_ratio{revision=\"v2\"} 0.0025".to_owned(),
            "codedance_proxy_no_answer_total{revision=\"v2\"} 0".to_owned(),
        ] {
            assert!(page.lines().any(|found| found == line), "{line} in\n{page}");
        }
    }
}
