//! How the protobuf format shows metrics: the parts of `io.prometheus.client` that are needed here.

use prost::Message;

use super::exposition::{self, Exposition, Layout, Series};

pub(super) const CONTENT_TYPE: &str = "application/vnd.google.protobuf; \
    proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// What the zero bucket of a native histogram holds, as most client libraries have it. It also tells an
/// empty native histogram from a classic one.
const ZERO_THRESHOLD: f64 = 2.938_735_877_055_719e-39;

#[derive(Message)]
struct MetricFamily {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(enumeration = "MetricType", tag = "3")]
    kind: i32,
    #[prost(message, repeated, tag = "4")]
    metric: Vec<Metric>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
enum MetricType {
    Counter = 0,
    Gauge = 1,
    Histogram = 4,
}

#[derive(Message)]
struct Metric {
    #[prost(message, repeated, tag = "1")]
    label: Vec<LabelPair>,
    #[prost(message, optional, tag = "2")]
    gauge: Option<Number>,
    #[prost(message, optional, tag = "3")]
    counter: Option<Number>,
    #[prost(message, optional, tag = "7")]
    histogram: Option<Histogram>,
}

#[derive(Message)]
struct LabelPair {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// A counter or a gauge, which look the same.
#[derive(Clone, Copy, Message)]
struct Number {
    #[prost(double, tag = "1")]
    value: f64,
}

#[derive(Message)]
struct Histogram {
    #[prost(uint64, tag = "1")]
    sample_count: u64,
    #[prost(double, tag = "2")]
    sample_sum: f64,
    #[prost(message, repeated, tag = "3")]
    bucket: Vec<Bucket>,
    #[prost(sint32, tag = "5")]
    schema: i32,
    #[prost(double, tag = "6")]
    zero_threshold: f64,
    #[prost(message, repeated, tag = "12")]
    positive_span: Vec<BucketSpan>,
    /// The count of each bucket, less that of the one before.
    #[prost(sint64, repeated, tag = "13")]
    positive_delta: Vec<i64>,
}

#[derive(Clone, Copy, Message)]
struct Bucket {
    #[prost(uint64, tag = "1")]
    cumulative_count: u64,
    #[prost(double, tag = "2")]
    upper_bound: f64,
}

/// Buckets that follow each other.
#[derive(Clone, Copy, Message)]
struct BucketSpan {
    /// The index of the first, or how many are left out since the span before.
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

impl Exposition {
    pub(super) fn protobuf(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for (name, family) in &self.0 {
            let (kind, metric) = match family {
                exposition::Family::Counter(series) => {
                    let counter = |metric: &mut Metric, value: &f64| {
                        metric.counter = Some(Number { value: *value });
                    };
                    (MetricType::Counter, metrics(series, counter))
                }
                exposition::Family::Gauge(series) => {
                    let gauge = |metric: &mut Metric, value: &f64| {
                        metric.gauge = Some(Number { value: *value });
                    };
                    (MetricType::Gauge, metrics(series, gauge))
                }
                exposition::Family::Histogram(layout, series) => {
                    let histogram = |metric: &mut Metric, observed: &exposition::Histogram| {
                        metric.histogram = Some(Histogram::of(*layout, observed));
                    };
                    (MetricType::Histogram, metrics(series, histogram))
                }
            };
            let family = MetricFamily {
                name: name.clone(),
                kind: kind.into(),
                metric,
            };
            let written = family.encode_length_delimited(&mut body);
            written.expect("a Vec takes any length");
        }
        body
    }
}

fn metrics<T>(series: &Series<T>, fill: impl Fn(&mut Metric, &T)) -> Vec<Metric> {
    let metric = |(labels, value): (&Vec<(String, String)>, &T)| {
        let label = labels.iter().cloned();
        let mut metric = Metric {
            label: label
                .map(|(name, value)| LabelPair { name, value })
                .collect(),
            ..Metric::default()
        };
        fill(&mut metric, value);
        metric
    };
    series.iter().map(metric).collect()
}

impl Histogram {
    fn of(layout: Layout, observed: &exposition::Histogram) -> Self {
        let mut histogram = Self {
            sample_count: observed.count,
            sample_sum: observed.sum,
            ..Self::default()
        };
        match layout {
            Layout::Classic(_) => {
                let buckets = observed.cumulative(layout);
                let bucket = |(upper_bound, cumulative_count)| Bucket {
                    cumulative_count,
                    upper_bound,
                };
                histogram.bucket = buckets.map(bucket).collect();
            }
            Layout::Native(schema) => {
                histogram.schema = schema;
                histogram.zero_threshold = ZERO_THRESHOLD;
                histogram.fill(observed);
            }
        }
        histogram
    }

    /// Every bucket is a span of its own: that is longer than it need be, and as right.
    fn fill(&mut self, observed: &exposition::Histogram) {
        let (mut next, mut before) = (0, 0);
        for (index, count) in &observed.buckets {
            self.positive_span.push(BucketSpan {
                offset: index - next,
                length: 1,
            });
            let count = i64::try_from(*count).expect("a test counts no further");
            self.positive_delta.push(count - before);
            (next, before) = (index + 1, count);
        }
    }
}
