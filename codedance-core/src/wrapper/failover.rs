//! A source of metrics behind another.

use async_trait::async_trait;

use crate::error::{Error, Failure, Result};
use crate::metrics::{MetricsSource, Question, Reading};

/// Several sources of the same metrics, asked in turn until one answers.
///
/// [`NoData`](crate::metrics::Sample::NoData) is an answer: only an error sends a question to the next
/// source. One question is answered by one source as a whole, so that the two sides are never compared
/// across sources.
///
/// When all fail the error names each, and says that trying again may help if that is so for any.
///
/// ```
/// use codedance_core::memory::MemoryMetrics;
/// use codedance_core::wrapper::Failover;
///
/// let (first, second) = (MemoryMetrics::healthy(), MemoryMetrics::healthy());
/// let either = Failover::new("prometheus", first).or("victoria-metrics", second);
/// # drop(either);
/// ```
#[derive(Debug)]
pub struct Failover<M> {
    sources: Vec<(String, M)>,
}

impl<M> Failover<M> {
    /// The source that is asked first, by a name for errors and logs.
    pub fn new(name: impl Into<String>, source: M) -> Self {
        Self {
            sources: Vec::new(),
        }
        .or(name, source)
    }

    /// The same with a source that is asked when all before it failed.
    #[must_use]
    pub fn or(mut self, name: impl Into<String>, source: M) -> Self {
        self.sources.push((name.into(), source));
        self
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<M: MetricsSource> MetricsSource for Failover<M> {
    async fn measure(&self, question: &Question) -> Result<Vec<Reading>> {
        let mut failures = Vec::new();
        for (name, source) in &self.sources {
            match source.measure(question).await {
                Ok(readings) => return Ok(readings),
                Err(error) => {
                    tracing::warn!(source = %name, %error, "a metrics source failed");
                    failures.push((name.as_str(), error));
                }
            }
        }
        Err(combined(&failures))
    }
}

fn combined(failures: &[(&str, Error)]) -> Error {
    let hopeful = failures.iter().find(|(_, error)| error.is_retryable());
    let best = hopeful.or_else(|| failures.first()).map(|(_, error)| error);
    let kind = best.map_or(crate::ErrorKind::Unsupported, Error::kind);
    let error = Error::new(kind, "read the metrics from any source").with_source(told(failures));
    match failures
        .iter()
        .filter_map(|(_, error)| error.retry_after())
        .min()
    {
        Some(wait) => error.with_retry_after(wait),
        None => error,
    }
}

/// Every failure with its whole chain of causes, by name.
pub(super) fn told(failures: &[(&str, Error)]) -> String {
    let told = failures
        .iter()
        .map(|(name, error)| format!("{name}: {}", Failure::from(error)));
    told.collect::<Vec<_>>().join("; ")
}
