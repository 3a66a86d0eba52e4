//! The proxy as a source of metrics: what it counted itself, without a detour over Prometheus.

use std::sync::Arc;

use async_trait::async_trait;
use codedance_core::metrics::{
    Histogram, MetricQuery, MetricsSource, Question, Reading, Sample, Signal, Window,
};
use codedance_core::workload::Revision;
use codedance_core::{Error, ErrorKind, Result};

use crate::server::Proxy;
use crate::stats::Totals;

/// Reads error and success rates and the histogram of latencies of any window within
/// [`Config::history`](crate::Config::history), to the precision of
/// [`Config::sampling`](crate::Config::sampling), and remembers the past as far. Queries in text are
/// refused as unsupported.
///
/// Bad for the error rate are answers of the class 5xx, answers that broke off, and requests without
/// an answer. The histogram's bounds are [`Config::latency_bounds`](crate::Config::latency_bounds).
#[async_trait]
impl MetricsSource for Proxy {
    async fn measure(&self, question: &Question) -> Result<Vec<Reading>> {
        let routing = self.routing();
        let counted = |revision: &Revision, window: Window| {
            let route = routing.route(revision)?;
            route.revision.history.within(window)
        };
        let of = |revision, window| counted(revision, window).unwrap_or_default();
        let canary = of(&question.canary, question.window);
        let stable = of(&question.stable, question.window);
        let past = question
            .past()
            .map(|interval| of(&question.stable, interval));
        let past: Vec<Totals> = past.collect();
        let bounds: Arc<[f64]> = self.config().latency_bounds.as_slice().into();
        let read = |query: &MetricQuery| {
            let sample = |totals| sample(query, totals, &bounds);
            let past = past.iter().map(sample).collect::<Result<_>>()?;
            Ok(Reading::new(&query.name, sample(&canary)?, sample(&stable)?).with_history(past))
        };
        question.metrics.iter().map(read).collect()
    }
}

/// What the counts say about the metric.
fn sample(query: &MetricQuery, totals: &Totals, bounds: &Arc<[f64]>) -> Result<Sample> {
    let total = totals.requests();
    let [_, ok, redirects, _, errors] = totals.answers;
    let counts = |bad: u64| match total {
        0 => Sample::NoData,
        // An answer may begin in one window and break off in the next.
        _ => Sample::Counts {
            bad: bad.min(total),
            total,
        },
    };
    match &query.signal {
        Signal::ErrorRate => Ok(counts(errors + totals.no_answer + totals.cut_short)),
        Signal::SuccessRate => Ok(counts(total - ok - redirects + totals.cut_short)),
        Signal::Latency(_) if totals.latency_buckets.iter().all(|count| *count == 0) => {
            Ok(Sample::NoData)
        }
        Signal::Latency(_) => {
            let histogram = Histogram::new(Arc::clone(bounds), &*totals.latency_buckets);
            histogram.map(Sample::Histogram).map_err(|error| {
                let operation = format!("read the metric `{}`", query.name);
                Error::new(ErrorKind::Internal, operation).with_source(error)
            })
        }
        _ => Err(Error::unsupported(format_args!(
            "metric `{}`: the proxy counts requests, it answers no queries",
            query.name
        ))),
    }
}

#[cfg(test)]
mod tests {
    use codedance_core::metrics::Quantile;

    use super::*;

    fn read(signal: Signal, totals: &Totals) -> Sample {
        sample(&MetricQuery::new("it", signal), totals, &[1.0, 2.0].into()).unwrap()
    }

    #[test]
    fn latencies_are_read_as_a_histogram_of_all_answers() {
        let latency = Signal::Latency(Quantile::new(0.99).unwrap());
        let totals = |latency_buckets| Totals {
            latency_buckets,
            ..Totals::default()
        };
        let histogram = Histogram::new([1.0, 2.0], [6, 0, 3]).unwrap();
        let read = |buckets| read(latency.clone(), &totals(buckets));
        assert_eq!(read(vec![6, 0, 3]), Sample::Histogram(histogram));
        assert_eq!(read(vec![0, 0, 0]), Sample::NoData);
        // Of a revision of which nothing was ever noted.
        assert_eq!(read(Vec::new()), Sample::NoData);
    }

    #[test]
    fn bad_requests_are_never_more_than_all() {
        let totals = Totals {
            answers: [0, 6, 1, 2, 1],
            no_answer: 2,
            ..Totals::default()
        };
        let counts = |bad, total| Sample::Counts { bad, total };
        assert_eq!(read(Signal::ErrorRate, &totals), counts(3, 12));
        assert_eq!(read(Signal::SuccessRate, &totals), counts(5, 12));
        let late = Totals {
            answers: [0, 1, 0, 0, 0],
            cut_short: 3,
            ..Totals::default()
        };
        assert_eq!(read(Signal::ErrorRate, &late), counts(1, 1));
        let nothing = read(Signal::ErrorRate, &Totals::default());
        assert_eq!(nothing, Sample::NoData);
    }
}
