//! Readings made up.

use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::open;
use crate::error::{Error, ErrorKind, Result};
use crate::metrics::{MetricQuery, MetricsSource, Question, Reading, Sample, Signal, Window};

/// Requests a second on either side under fixed rates.
const REQUESTS_PER_SECOND: u64 = 100;
/// How long every request takes under fixed rates, in seconds.
const LATENCY_SECONDS: f64 = 0.05;

type Script = dyn Fn(&Question) -> Vec<Reading> + Send + Sync;

/// A [`MetricsSource`] that reads what it is told to read. Clones share the script.
///
/// Under fixed rates ([`error_rate`](Self::error_rate), [`healthy`](Self::healthy)) either side gets 100
/// requests a second of 50 ms each, and has since the epoch, so that counts follow from the window's length
/// alone; queries in a language of a source's own are [`Unsupported`](ErrorKind::Unsupported).
#[derive(Clone)]
pub struct MemoryMetrics {
    world: Arc<Mutex<Answers>>,
}

#[derive(Clone)]
enum Answers {
    Script(Arc<Script>),
    Rates { canary: f64, stable: f64 },
}

impl MemoryMetrics {
    /// Answers each question by the function.
    pub fn new(script: impl Fn(&Question) -> Vec<Reading> + Send + Sync + 'static) -> Self {
        Self::of(Answers::Script(Arc::new(script)))
    }

    /// This share of the requests of either side ends badly: 0.05 is 5 %. Shares are clamped to 0 and 1.
    #[must_use]
    pub fn error_rate(canary: f64, stable: f64) -> Self {
        Self::of(Answers::Rates { canary, stable })
    }

    /// No request ends badly.
    #[must_use]
    pub fn healthy() -> Self {
        Self::error_rate(0.0, 0.0)
    }

    /// There is nothing to read, ever.
    #[must_use]
    pub fn no_data() -> Self {
        Self::new(|question| {
            let nothing = |q: &MetricQuery| Reading::new(&q.name, Sample::NoData, Sample::NoData);
            question.metrics.iter().map(nothing).collect()
        })
    }

    /// From now on all clones read what `other` reads, as when a canary turns bad.
    pub fn change_to(&self, other: &Self) {
        let answers = open(&other.world).clone();
        *open(&self.world) = answers;
    }

    fn of(answers: Answers) -> Self {
        Self {
            world: Arc::new(Mutex::new(answers)),
        }
    }
}

impl fmt::Debug for MemoryMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*open(&self.world) {
            Answers::Script(_) => f.debug_struct("MemoryMetrics").finish_non_exhaustive(),
            Answers::Rates { canary, stable } => f
                .debug_struct("MemoryMetrics")
                .field("canary", canary)
                .field("stable", stable)
                .finish(),
        }
    }
}

#[async_trait]
impl MetricsSource for MemoryMetrics {
    async fn measure(&self, question: &Question) -> Result<Vec<Reading>> {
        let answers = open(&self.world).clone();
        let (canary, stable) = match answers {
            Answers::Script(script) => return Ok(script(question)),
            Answers::Rates { canary, stable } => (canary, stable),
        };
        let total = |window: Window| window.length().as_secs() * REQUESTS_PER_SECOND;
        let read = |query: &MetricQuery| {
            let of = |window, rate| sample(query, total(window), rate);
            let window = question.window;
            let past = question.past().map(|interval| of(interval, stable));
            let reading = Reading::new(&query.name, of(window, canary)?, of(window, stable)?);
            Ok(reading.with_history(past.collect::<Result<_>>()?))
        };
        question.metrics.iter().map(read).collect()
    }
}

fn sample(query: &MetricQuery, total: u64, error_rate: f64) -> Result<Sample> {
    Ok(match &query.signal {
        Signal::Query(_) => {
            let operation = format!("read the metric `{}`", query.name);
            return Err(Error::new(ErrorKind::Unsupported, operation)
                .with_source("there is no query language in memory"));
        }
        _ if total == 0 => Sample::NoData,
        Signal::ErrorRate | Signal::SuccessRate => {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "the share is clamped to 0 and 1, and a window's requests fit an f64"
            )]
            let bad = (total as f64 * error_rate.clamp(0.0, 1.0)).round() as u64;
            Sample::Counts { bad, total }
        }
        Signal::Latency(_) => Sample::Quantile {
            value: LATENCY_SECONDS,
            count: total,
        },
    })
}
