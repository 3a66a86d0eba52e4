//! What is known of single endpoints.

use std::fmt::{self, Write};
use std::sync::Arc;

use super::{Label, head};
use crate::config::Config;
use crate::endpoint::Endpoint;
use crate::health::Health;
use crate::route::Route;
use crate::stats::Totals;

/// The series of what is watched: nothing of health where nobody checks it.
pub(super) fn page(
    text: &mut String,
    revisions: &[(Totals, Arc<Route>)],
    config: &Config,
) -> fmt::Result {
    let mut series = |name, kind, help, write: &dyn Fn(&mut String, &str, &Endpoint) -> _| {
        head(text, name, kind, help)?;
        for (_, route) in revisions {
            for endpoint in &route.endpoints {
                let revision = Label(route.revision.name.as_str());
                let labels = format!("revision={revision},endpoint=\"{}\"", endpoint.address);
                write(text, &labels, endpoint)?;
            }
        }
        fmt::Result::Ok(())
    };
    if config.health_check.is_some() {
        let name = "codedance_proxy_endpoint_healthy";
        let help = "Whether the checks of the endpoint allow that it gets requests: 1 or 0.";
        series(name, "gauge", help, &|text, labels, endpoint| {
            let healthy = endpoint.standing.health() != Health::Unhealthy;
            writeln!(text, "{name}{{{labels}}} {}", u8::from(healthy))
        })?;
        let name = "codedance_proxy_health_checks_total";
        let help = "Checks of the endpoint by their result.";
        series(name, "counter", help, &|text, labels, endpoint| {
            let (passed, failed) = endpoint.standing.checks();
            writeln!(text, "{name}{{{labels},result=\"passed\"}} {passed}")?;
            writeln!(text, "{name}{{{labels},result=\"failed\"}} {failed}")
        })?;
    }
    if config.outlier_detection.is_some() {
        let name = "codedance_proxy_endpoint_ejected";
        let help = "Whether the endpoint is ejected for failing requests: 1 or 0.";
        series(name, "gauge", help, &|text, labels, endpoint| {
            let ejected = endpoint.standing.ejected_for().is_some();
            writeln!(text, "{name}{{{labels}}} {}", u8::from(ejected))
        })?;
        let name = "codedance_proxy_endpoint_ejections_total";
        let help = "How often the endpoint has been ejected.";
        series(name, "counter", help, &|text, labels, endpoint| {
            let ejections = endpoint.standing.ejections();
            writeln!(text, "{name}{{{labels}}} {ejections}")
        })?;
    }
    Ok(())
}
