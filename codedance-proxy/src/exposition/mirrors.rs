//! What is counted of copies.

use std::fmt::{self, Write};
use std::sync::Arc;

use super::{CLASSES, Label, head, histogram};
use crate::route::Route;
use crate::stats::Totals;

/// The series of every revision for which a request has been copied, or was to be.
pub(super) fn page(
    text: &mut String,
    revisions: &[(Totals, Arc<Route>)],
    bounds: &[f64],
) -> fmt::Result {
    let mirrored: Vec<_> = revisions
        .iter()
        .map(|(_, route)| {
            let revision = Label(route.revision.name.as_str());
            (revision, route.revision.mirrored.totals())
        })
        .filter(|(_, totals)| !totals.is_nothing())
        .collect();
    if mirrored.is_empty() {
        return Ok(());
    }
    let name = "codedance_proxy_mirrored_requests_total";
    let help = "Answers to copies by the class of their status.";
    head(text, name, "counter", help)?;
    for (revision, totals) in &mirrored {
        for (class, count) in CLASSES.iter().zip(totals.answers) {
            writeln!(
                text,
                "{name}{{revision={revision},class=\"{class}\"}} {count}"
            )?;
        }
    }
    let name = "codedance_proxy_mirrored_no_answer_total";
    let help = "Copies that never got an answer.";
    head(text, name, "counter", help)?;
    for (revision, totals) in &mirrored {
        writeln!(text, "{name}{{revision={revision}}} {}", totals.no_answer)?;
    }
    let name = "codedance_proxy_mirror_skipped_total";
    let help = "Requests that were to be copied and were not, by the reason.";
    head(text, name, "counter", help)?;
    for (revision, totals) in &mirrored {
        for (reason, count) in [
            ("dropped", totals.dropped),
            ("too_large", totals.too_large),
            ("abandoned", totals.abandoned),
        ] {
            writeln!(
                text,
                "{name}{{revision={revision},reason=\"{reason}\"}} {count}"
            )?;
        }
    }
    let name = "codedance_proxy_mirrored_request_duration_seconds";
    let help = "Time from sending a copy to its answer's head.";
    head(text, name, "histogram", help)?;
    for (revision, totals) in &mirrored {
        let (buckets, sum) = (&totals.latency_buckets, totals.latency_sum);
        histogram(text, name, revision, bounds, buckets, sum)?;
    }
    Ok(())
}
