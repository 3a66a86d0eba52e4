//! Requests that are written down one by one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use super::open;
use crate::error::{Error, ErrorKind, Result};
use crate::metrics::{
    Histogram, HistogramError, MetricQuery, MetricsSource, Question, Reading, Sample, Signal,
    Window,
};
use crate::time::Timestamp;
use crate::workload::Revision;

/// The bounds of latencies unless told otherwise, in seconds: those of the Prometheus clients.
const BOUNDS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// A [`MetricsSource`] over requests that a test recorded, exact to the request. Clones share the
/// record.
///
/// Latencies are read as histograms, by the bounds .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5 and 10
/// seconds or [others](Self::with_bounds).
///
/// Its query language has one word, `requests`: how many requests a second a revision got.
#[derive(Clone, Debug)]
pub struct MemoryRequests {
    world: Arc<Mutex<BTreeMap<Revision, Vec<Request>>>>,
    bounds: Arc<[f64]>,
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
        Self {
            world: Arc::default(),
            bounds: BOUNDS.into(),
        }
    }

    /// The same with latencies by these upper bounds, in seconds.
    ///
    /// # Errors
    /// Unless the bounds are those of a [`Histogram`].
    pub fn with_bounds(self, bounds: impl Into<Arc<[f64]>>) -> Result<Self, HistogramError> {
        let bounds = bounds.into();
        let counts = vec![0; bounds.len() + 1];
        Histogram::new(Arc::clone(&bounds), counts)?;
        Ok(Self { bounds, ..self })
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

impl Default for MemoryRequests {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl MetricsSource for MemoryRequests {
    async fn measure(&self, question: &Question) -> Result<Vec<Reading>> {
        let window = question.window;
        let (canary, stable) = (
            self.within(&question.canary, window),
            self.within(&question.stable, window),
        );
        let past: Vec<_> = question
            .past()
            .map(|interval| (self.within(&question.stable, interval), interval))
            .collect();
        let read = |query: &MetricQuery| {
            let sample = |requests, window| self.sample(query, requests, window);
            let past = past
                .iter()
                .map(|(requests, interval)| sample(requests, *interval));
            let reading = Reading::new(
                &query.name,
                sample(&canary, window)?,
                sample(&stable, window)?,
            );
            Ok(reading.with_history(past.collect::<Result<_>>()?))
        };
        question.metrics.iter().map(read).collect()
    }
}

impl MemoryRequests {
    fn sample(&self, query: &MetricQuery, requests: &[Request], window: Window) -> Result<Sample> {
        if let Signal::Query(text) = &query.signal
            && text != "requests"
        {
            let source = format!("`{text}` is no query here; `requests` is the only one");
            return Err(failed(ErrorKind::Invalid, query).with_source(source));
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
            Signal::Latency(_) => Sample::Histogram(
                self.histogram(requests)
                    .map_err(|error| failed(ErrorKind::Internal, query).with_source(error))?,
            ),
            Signal::Query(_) => {
                Sample::Gauge(requests.len() as f64 / window.length().as_secs_f64())
            }
        })
    }

    fn histogram(&self, requests: &[Request]) -> Result<Histogram, HistogramError> {
        let mut counts = vec![0; self.bounds.len() + 1];
        for request in requests {
            let took = request.took.as_secs_f64();
            counts[self.bounds.partition_point(|bound| *bound < took)] += 1;
        }
        Histogram::new(Arc::clone(&self.bounds), counts)
    }
}

fn failed(kind: ErrorKind, query: &MetricQuery) -> Error {
    Error::new(kind, format!("read the metric `{}`", query.name))
}
