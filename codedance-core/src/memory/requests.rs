//! Requests that are written down one by one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use super::open;
use crate::error::{Error, ErrorKind, Result};
use crate::metrics::{
    MetricQuery, MetricsSource, Quantile, Question, Reading, Sample, Signal, Window,
};
use crate::time::Timestamp;
use crate::workload::Revision;

/// A [`MetricsSource`] over requests that a test recorded, exact to the request. Clones share the
/// record.
///
/// Its query language has one word, `requests`: how many requests a second a revision got.
#[derive(Clone, Debug, Default)]
pub struct MemoryRequests {
    world: Arc<Mutex<BTreeMap<Revision, Vec<Request>>>>,
}

#[derive(Clone, Copy, Debug)]
struct Request {
    at: Timestamp,
    ok: bool,
    took: Duration,
}

impl MemoryRequests {
    /// No requests yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// At `at`, `revision` answered a request, well or badly, within `took`.
    pub fn record(&self, revision: &Revision, at: Timestamp, ok: bool, took: Duration) {
        let mut world = open(&self.world);
        world
            .entry(revision.clone())
            .or_default()
            .push(Request { at, ok, took });
    }

    fn within(&self, revision: &Revision, window: Window) -> Vec<Request> {
        let world = open(&self.world);
        let all = world.get(revision).into_iter().flatten();
        all.filter(|request| window.from <= request.at && request.at < window.to)
            .copied()
            .collect()
    }
}

#[async_trait]
impl MetricsSource for MemoryRequests {
    async fn measure(&self, question: &Question) -> Result<Vec<Reading>> {
        let canary = self.within(&question.canary, question.window);
        let stable = self.within(&question.stable, question.window);
        let read = |query: &MetricQuery| {
            let side = |requests| sample(query, requests, question.window.length());
            Ok(Reading::new(&query.name, side(&canary)?, side(&stable)?))
        };
        question.metrics.iter().map(read).collect()
    }
}

fn sample(query: &MetricQuery, requests: &[Request], length: Duration) -> Result<Sample> {
    if let Signal::Query(text) = &query.signal
        && text != "requests"
    {
        let operation = format!("read the metric `{}`", query.name);
        let source = format!("`{text}` is no query here; `requests` is the only one");
        return Err(Error::new(ErrorKind::Invalid, operation).with_source(source));
    }
    if requests.is_empty() {
        return Ok(Sample::NoData);
    }
    Ok(match &query.signal {
        Signal::ErrorRate | Signal::SuccessRate => {
            let bad = requests.iter().filter(|request| !request.ok).count();
            Sample::Counts {
                bad: bad as u64,
                total: requests.len() as u64,
            }
        }
        Signal::Latency(quantile) => slowest_of(requests, *quantile),
        Signal::Query(_) => Sample::Gauge(requests.len() as f64 / length.as_secs_f64()),
    })
}

/// The nearest-rank quantile. There is at least one request.
fn slowest_of(requests: &[Request], quantile: Quantile) -> Sample {
    let mut took = requests
        .iter()
        .map(|request| request.took)
        .collect::<Vec<_>>();
    took.sort_unstable();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a length between 0 and that length"
    )]
    let rank = (quantile.share() * took.len() as f64).ceil() as usize;
    let value = took
        .get(rank.saturating_sub(1))
        .map_or(0.0, Duration::as_secs_f64);
    Sample::Quantile {
        value,
        count: took.len() as u64,
    }
}
