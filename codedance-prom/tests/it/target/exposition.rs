//! Metrics, and how the text format shows them.

use std::collections::BTreeMap;
use std::fmt::Write;

/// Names and values, in any order.
pub(crate) type Labels<'a> = &'a [(&'a str, &'a str)];

pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Which buckets a histogram has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Layout {
    /// Ends with these upper bounds, which ascend, and with infinity.
    Classic(&'static [f64]),
    /// Native, with 2ⁿ buckets from one power of two to the next. Whoever scrapes text gets nothing of it but
    /// its count and its sum.
    Native(i32),
}

/// All series, by the name of the metric.
#[derive(Default)]
pub(super) struct Exposition(pub(super) BTreeMap<String, Family>);

/// The series of one metric, by their labels.
pub(super) enum Family {
    Counter(Series<f64>),
    Gauge(Series<f64>),
    Histogram(Layout, Series<Histogram>),
}

pub(super) type Series<T> = BTreeMap<Vec<(String, String)>, T>;

/// What was observed.
#[derive(Default)]
pub(super) struct Histogram {
    pub(super) count: u64,
    pub(super) sum: f64,
    /// How many are in each bucket: by its place among the bounds, or by its native index.
    pub(super) buckets: BTreeMap<i32, u64>,
}

impl Layout {
    /// The bucket that a value above 0 is in. That of native index i ends with 2^(i/2ⁿ).
    fn bucket(self, value: f64) -> i32 {
        match self {
            Self::Classic(bounds) => bounds.partition_point(|bound| *bound < value) as i32,
            Self::Native(schema) => (value.log2() * f64::from(schema).exp2()).ceil() as i32,
        }
    }

    /// The upper bounds that the text shows, infinity included.
    fn bounds(self) -> impl Iterator<Item = f64> {
        let bounds = match self {
            Self::Classic(bounds) => bounds,
            Self::Native(_) => &[],
        };
        bounds.iter().copied().chain([f64::INFINITY])
    }
}

/// How the text format names a series; [`super::Target::counted`] and [`super::Target::known`] ask by it.
pub(crate) fn sample(name: &str, labels: Labels<'_>) -> String {
    named(name, &owned(labels), None)
}

/// By how much an observation raises the samples of its histogram.
pub(super) fn samples_of_observation(
    name: &str,
    layout: Layout,
    labels: Labels<'_>,
    value: f64,
    times: u32,
) -> Vec<(String, f64)> {
    let mut histogram = Histogram::default();
    histogram.observe(layout, value, times);
    histogram.samples(name, layout, &owned(labels))
}

impl Exposition {
    pub(super) fn count(&mut self, name: &str, labels: Labels<'_>, by: f64) {
        let new = || Family::Counter(Series::new());
        let family = self.0.entry(name.into()).or_insert_with(new);
        let Family::Counter(series) = family else {
            panic!("{name} is no counter");
        };
        *series.entry(owned(labels)).or_default() += by;
    }

    pub(super) fn gauge(&mut self, name: &str, labels: Labels<'_>, value: f64) {
        let new = || Family::Gauge(Series::new());
        let family = self.0.entry(name.into()).or_insert_with(new);
        let Family::Gauge(series) = family else {
            panic!("{name} is no gauge");
        };
        series.insert(owned(labels), value);
    }

    pub(super) fn observe(
        &mut self,
        name: &str,
        layout: Layout,
        labels: Labels<'_>,
        value: f64,
        times: u32,
    ) {
        let new = || Family::Histogram(layout, Series::new());
        match self.0.entry(name.into()).or_insert_with(new) {
            Family::Histogram(known, series) if *known == layout => {
                let histogram = series.entry(owned(labels)).or_default();
                histogram.observe(layout, value, times);
            }
            _ => panic!("{name} is no histogram with {layout:?}"),
        }
    }

    /// Whether the series was there.
    pub(super) fn remove(&mut self, name: &str, labels: Labels<'_>) -> bool {
        let labels = owned(labels);
        match self.0.get_mut(name) {
            Some(Family::Counter(series) | Family::Gauge(series)) => {
                series.remove(&labels).is_some()
            }
            Some(Family::Histogram(_, series)) => series.remove(&labels).is_some(),
            None => false,
        }
    }

    /// Every sample that only ever rises while the process lives.
    pub(super) fn samples(&self) -> Vec<(String, f64)> {
        let rising = self.0.iter();
        rising
            .filter(|(_, family)| !matches!(family, Family::Gauge(_)))
            .flat_map(|(name, family)| family.samples(name))
            .collect()
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (name, family) in &self.0 {
            let kind = match family {
                Family::Counter(_) => "counter",
                Family::Gauge(_) => "gauge",
                Family::Histogram(..) => "histogram",
            };
            writeln!(text, "# TYPE {name} {kind}").unwrap();
            for (sample, value) in family.samples(name) {
                writeln!(text, "{sample} {}", number(value)).unwrap();
            }
        }
        text
    }
}

impl Family {
    fn samples(&self, name: &str) -> Vec<(String, f64)> {
        match self {
            Self::Counter(series) | Self::Gauge(series) => {
                let sample = |(labels, value): (&Vec<_>, &f64)| (named(name, labels, None), *value);
                series.iter().map(sample).collect()
            }
            Self::Histogram(layout, series) => series
                .iter()
                .flat_map(|(labels, histogram)| histogram.samples(name, *layout, labels))
                .collect(),
        }
    }
}

impl Histogram {
    fn observe(&mut self, layout: Layout, value: f64, times: u32) {
        assert!(value > 0.0, "only values above 0 are observed, not {value}");
        if times == 0 {
            return;
        }
        let times = u64::from(times);
        self.count += times;
        self.sum += value * times as f64;
        *self.buckets.entry(layout.bucket(value)).or_default() += times;
    }

    /// How many are in this bucket of a classic histogram or below it, for each of its bounds.
    pub(super) fn cumulative(&self, layout: Layout) -> impl Iterator<Item = (f64, u64)> {
        let bounds = layout.bounds().enumerate();
        bounds.map(|(place, bound)| {
            let below = self.buckets.iter().filter(move |(bucket, _)| {
                bound == f64::INFINITY || usize::try_from(**bucket).is_ok_and(|b| b <= place)
            });
            (bound, below.map(|(_, count)| count).sum())
        })
    }

    fn samples(
        &self,
        name: &str,
        layout: Layout,
        labels: &[(String, String)],
    ) -> Vec<(String, f64)> {
        let bucket = |(bound, count)| {
            let key = named(&format!("{name}_bucket"), labels, Some(bound));
            (key, count as f64)
        };
        let mut samples: Vec<_> = self.cumulative(layout).map(bucket).collect();
        samples.push((named(&format!("{name}_sum"), labels, None), self.sum));
        let count = named(&format!("{name}_count"), labels, None);
        samples.push((count, self.count as f64));
        samples
    }
}

/// Sorted, so that two orders are the same series.
fn owned(labels: Labels<'_>) -> Vec<(String, String)> {
    let pairs = labels.iter();
    let mut owned: Vec<_> = pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    owned.sort();
    owned
}

/// The name and labels of a sample, and the bucket's bound last.
fn named(name: &str, labels: &[(String, String)], bound: Option<f64>) -> String {
    let escaped = |value: &str| {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        value.replace('\n', "\\n")
    };
    let mut pairs: Vec<_> = labels
        .iter()
        .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
        .collect();
    pairs.extend(bound.map(|bound| format!("le=\"{}\"", number(bound))));
    if pairs.is_empty() {
        return name.to_owned();
    }
    format!("{name}{{{}}}", pairs.join(","))
}

fn number(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.into();
    }
    value.to_string()
}
