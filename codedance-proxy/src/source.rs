//! The proxy as a source of metrics: what it counted itself, without a detour over Prometheus.

use async_trait::async_trait;
use codedance_core::metrics::{
    MetricQuery, MetricsSource, Quantile, Question, Reading, Sample, Signal,
};
use codedance_core::workload::Revision;
use codedance_core::{Error, Result};

use crate::server::Proxy;
use crate::stats::Totals;

/// Reads error and success rates and latency quantiles of any window within
/// [`Config::history`](crate::Config::history), to the precision of
/// [`Config::sampling`](crate::Config::sampling). Queries in text are refused as unsupported.
///
/// Bad for the error rate are answers of the class 5xx, answers that broke off, and requests without
/// an answer. Quantiles are interpolated within the histogram's buckets, as Prometheus does it: they
/// are as good as the buckets are narrow, and never above the last bound.
#[async_trait]
impl MetricsSource for Proxy {
    async fn measure(&self, question: &Question) -> Result<Vec<Reading>> {
        let counted = |revision: &Revision| {
            let route = self.routing().route(revision)?;
            route.revision.history.within(question.window)
        };
        let (canary, stable) = (counted(&question.canary), counted(&question.stable));
        let bounds = &self.config().latency_bounds;
        let read = |query: &MetricQuery| {
            let side = |totals: &Option<Totals>| match totals {
                Some(totals) => sample(&query.signal, totals, bounds),
                None => sample(&query.signal, &Totals::default(), bounds),
            };
            match (side(&canary), side(&stable)) {
                (Some(canary), Some(stable)) => Ok(Reading::new(&query.name, canary, stable)),
                _ => Err(Error::unsupported(format_args!(
                    "metric `{}`: the proxy counts requests, it answers no queries",
                    query.name
                ))),
            }
        };
        question.metrics.iter().map(read).collect()
    }
}

/// What the counts say about the signal; `None` for a signal that they cannot say anything about.
fn sample(signal: &Signal, totals: &Totals, bounds: &[f64]) -> Option<Sample> {
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
    match signal {
        Signal::ErrorRate => Some(counts(errors + totals.no_answer + totals.cut_short)),
        Signal::SuccessRate => Some(counts(total - ok - redirects + totals.cut_short)),
        Signal::Latency(quantile) => Some(latency(*quantile, &totals.latency_buckets, bounds)),
        _ => None,
    }
}

/// The quantile, as `histogram_quantile` of Prometheus estimates it.
fn latency(quantile: Quantile, buckets: &[u64], bounds: &[f64]) -> Sample {
    let count: u64 = buckets.iter().sum();
    if count == 0 {
        return Sample::NoData;
    }
    let rank = quantile.share() * count as f64;
    let mut below = 0.0;
    let mut lower = 0.0;
    for (bound, inside) in bounds.iter().zip(buckets) {
        let inside = *inside as f64;
        if inside > 0.0 && below + inside >= rank {
            let value = lower + (bound - lower) * ((rank - below) / inside);
            return Sample::Quantile { value, count };
        }
        below += inside;
        lower = *bound;
    }
    // Above the last bound nothing is known but that.
    Sample::Quantile {
        value: lower,
        count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantile(share: f64, buckets: &[u64]) -> Sample {
        latency(Quantile::new(share).unwrap(), buckets, &[1.0, 2.0, 4.0])
    }

    #[test]
    fn quantiles_are_interpolated_within_their_bucket() {
        let value = |value, count| Sample::Quantile { value, count };
        assert_eq!(quantile(0.5, &[10, 0, 0, 0]), value(0.5, 10));
        assert_eq!(quantile(0.75, &[2, 0, 2, 0]), value(3.0, 4));
        assert_eq!(quantile(0.99, &[0, 0, 0, 7]), value(4.0, 7));
        assert_eq!(quantile(0.5, &[0, 0, 0, 0]), Sample::NoData);
    }

    #[test]
    fn bad_requests_are_never_more_than_all() {
        let totals = Totals {
            answers: [0, 6, 1, 2, 1],
            no_answer: 2,
            ..Totals::default()
        };
        let counts = |bad, total| Some(Sample::Counts { bad, total });
        assert_eq!(sample(&Signal::ErrorRate, &totals, &[]), counts(3, 12));
        assert_eq!(sample(&Signal::SuccessRate, &totals, &[]), counts(5, 12));
        let late = Totals {
            answers: [0, 1, 0, 0, 0],
            cut_short: 3,
            ..Totals::default()
        };
        assert_eq!(sample(&Signal::ErrorRate, &late, &[]), counts(1, 1));
        let nothing = sample(&Signal::ErrorRate, &Totals::default(), &[]);
        assert_eq!(nothing, Some(Sample::NoData));
    }
}
