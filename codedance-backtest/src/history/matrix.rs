//! The answers of Prometheus to range queries.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use codedance_core::Timestamp;
use codedance_core::metrics::Sample;

use super::answer::{Series, SideLabel, read};
use super::counter::{Counter, increases};
use super::fields::{Field, histogram, whole};
use super::{History, Recorded, Side};
use crate::error::HistoryError;

/// What range queries (`/api/v1/query_range` of Prometheus, VictoriaMetrics and others) answered, one
/// answer for each field of each metric.
///
/// | fields | what is queried | the metric is read as |
/// |---|---|---|
/// | [`Bad`](Field::Bad) and [`Total`](Field::Total) | the **counters** of bad requests and of all requests | counts |
/// | [`Le`](Field::Le) | the **counters** of a classic histogram's buckets, with their label `le` | a histogram |
/// | [`Value`](Field::Value) and [`Count`](Field::Count) | a quantile in seconds, and the **counter** of its requests | a quantile |
/// | [`Value`](Field::Value) | a gauge | a gauge |
///
/// Query the counters themselves, such as `http_requests_total{code=~"5.."}`, not their `rate` or
/// `increase`, and without `sum`: they are differenced here, series by series, and those of a side are then
/// added up.
///
/// - A counter that drops has started again from 0: the value after the drop counts.
/// - A series that is born late, in an interval before which others of the metric were scraped, counts from
///   its birth with its first value: the series of a status code begins with its first request.
/// - After a gap, a series counts from its second value on.
/// - `NaN` (Prometheus's mark for a series that ended among them) and what is not finite is no data.
/// - Where all requests were counted and no bad ones, none was bad: before the first error there is no
///   series of them. So the two queries must be of the same range and step.
///
/// ```
/// use codedance_backtest::{Field, RangeQueries, SideLabel};
///
/// let total = r#"{"status":"success","data":{"resultType":"matrix","result":[
///     {"metric":{"revision":"web:1.42"},"values":[[1795255200,"10"],[1795255230,"70"],[1795255260,"99"]]}]}}"#;
/// let bad = r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;
///
/// let mut queries = RangeQueries::new(SideLabel::new("revision", "web:1.42", "web:1.41"));
/// queries.add("errors", Field::Total, "total.json", total)?;
/// queries.add("errors", Field::Bad, "bad.json", bad)?;
/// let history = queries.history()?;
/// assert_eq!(history.step().as_secs(), 30);
/// # Ok::<(), codedance_backtest::HistoryError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct RangeQueries {
    sides: SideLabel,
    metrics: BTreeMap<String, Answers>,
}

/// All that was answered for one metric.
#[derive(Clone, Debug, Default)]
struct Answers {
    /// The answered fields, each with its file.
    files: BTreeMap<Field, String>,
    series: Vec<Series>,
}

impl RangeQueries {
    /// None answered yet; series say by this label which side they are of.
    #[must_use]
    pub fn new(sides: SideLabel) -> Self {
        Self {
            sides,
            metrics: BTreeMap::new(),
        }
    }

    /// Takes in the answer to the query for one field of a metric, as the server sent it. `name` is what
    /// errors call it.
    ///
    /// # Errors
    /// When it is not the answer to a range query, or when its series do not say which side they are of;
    /// nothing is taken in then.
    pub fn add(
        &mut self,
        metric: &str,
        field: Field,
        name: &str,
        json: &str,
    ) -> Result<(), HistoryError> {
        let answers = self.metrics.entry(metric.to_owned()).or_default();
        if let Some(other) = answers.files.get(&field) {
            let message =
                format!("`{metric}.{field}` was read from {other} already; give one file");
            return Err(HistoryError::new("", message).in_file(name));
        }
        let series = read(json, field, &self.sides).map_err(|error| error.in_file(name))?;
        answers.series.extend(series);
        answers.files.insert(field, name.to_owned());
        Ok(())
    }

    /// What they say together.
    ///
    /// # Errors
    /// When a metric lacks a field that another of its fields needs, or when there are fewer than two
    /// points in time.
    pub fn history(self) -> Result<History, HistoryError> {
        let mut measurements = Vec::new();
        for (metric, answers) in &self.metrics {
            answers.measure(metric, &mut measurements)?;
        }
        History::new(measurements)
    }
}

impl Answers {
    fn measure(&self, metric: &str, measurements: &mut Vec<Recorded>) -> Result<(), HistoryError> {
        let fields: Vec<Field> = self.files.keys().copied().collect();
        let bounds = self.bounds();
        let sample: fn(&Row, &Arc<[f64]>) -> Result<Sample, HistoryError> = match fields.as_slice()
        {
            [Field::Bad, Field::Total] => Row::counts,
            [Field::Value] => Row::gauge,
            [Field::Value, Field::Count] => Row::quantile,
            [Field::Le] => Row::histogram,
            found => {
                let found: Vec<_> = found.iter().map(|field| format!("`{field}`")).collect();
                let message = format!(
                    "has the queries {}; give `bad` and `total`, or `value` alone, or `value` and \
                     `count`, or `le`",
                    found.join(", ")
                );
                return Err(HistoryError::new(metric, message));
            }
        };
        let times = self.times(|_| true);
        let step = step(&times);
        let scraped = self.times(|series| series.field != Field::Value);
        for side in [Side::Canary, Side::Stable] {
            let counted = |field, le| increases(&self.of(field, side, le), &scraped, step);
            let columns = Columns {
                bad: counted(Field::Bad, None),
                total: counted(Field::Total, None),
                count: counted(Field::Count, None),
                value: self.of(Field::Value, side, None).first().copied().cloned(),
                buckets: bounds
                    .iter()
                    .map(|le| counted(Field::Le, Some(*le)))
                    .collect(),
                all: counted(Field::Le, Some(f64::INFINITY)),
            };
            // Before the first point counters have counted nothing that is known.
            let known = usize::from(!matches!(fields.as_slice(), [Field::Value]));
            for at in times.iter().skip(known) {
                measurements.push(Recorded {
                    metric: metric.to_owned(),
                    at: *at,
                    side,
                    sample: sample(&columns.row(*at), &bounds).map_err(|error| HistoryError {
                        key: metric.to_owned(),
                        ..error
                    })?,
                });
            }
        }
        Ok(())
    }

    /// The bounds of all buckets but the last, ascending.
    fn bounds(&self) -> Arc<[f64]> {
        let bounds = self.series.iter().filter_map(|series| series.le);
        let mut bounds: Vec<f64> = bounds.filter(|bound| bound.is_finite()).collect();
        bounds.sort_by(f64::total_cmp);
        bounds.dedup();
        bounds.into()
    }

    fn of(&self, field: Field, side: Side, le: Option<f64>) -> Vec<&Counter> {
        let wanted =
            |series: &&Series| series.field == field && series.side == side && series.le == le;
        let series = self.series.iter().filter(wanted);
        series.map(|series| &series.values).collect()
    }

    /// The points at which such a series has a value, in order.
    fn times(&self, wanted: impl Fn(&Series) -> bool) -> Vec<Timestamp> {
        let series = self.series.iter().filter(|series| wanted(series));
        let times: BTreeSet<_> = series
            .flat_map(|series| series.values.keys().copied())
            .collect();
        times.into_iter().collect()
    }
}

/// One side of one metric, by the ends of the intervals.
struct Columns {
    bad: BTreeMap<Timestamp, f64>,
    total: BTreeMap<Timestamp, f64>,
    count: BTreeMap<Timestamp, f64>,
    value: Option<Counter>,
    /// One for each bound.
    buckets: Vec<BTreeMap<Timestamp, f64>>,
    /// The bucket without a bound.
    all: BTreeMap<Timestamp, f64>,
}

/// One side of one metric in one interval.
struct Row {
    bad: Option<f64>,
    total: Option<f64>,
    count: Option<f64>,
    value: Option<f64>,
    buckets: Vec<f64>,
    all: Option<f64>,
}

impl Columns {
    fn row(&self, at: Timestamp) -> Row {
        Row {
            bad: self.bad.get(&at).copied(),
            total: self.total.get(&at).copied(),
            count: self.count.get(&at).copied(),
            value: self
                .value
                .as_ref()
                .and_then(|values| values.get(&at).copied()),
            // A bucket that has no series yet has counted nothing.
            buckets: self
                .buckets
                .iter()
                .map(|bucket| bucket.get(&at).copied().unwrap_or(0.0))
                .collect(),
            all: self.all.get(&at).copied(),
        }
    }
}

/// What a row says; the bounds are those of its buckets.
impl Row {
    fn counts(&self, _: &Arc<[f64]>) -> Result<Sample, HistoryError> {
        Ok(self.total.map_or(Sample::NoData, |total| {
            let total = whole(total);
            // Two queries are evaluated one after the other; a request in between is bad and not counted.
            let bad = whole(self.bad.unwrap_or(0.0)).min(total);
            Sample::Counts { bad, total }
        }))
    }

    fn gauge(&self, _: &Arc<[f64]>) -> Result<Sample, HistoryError> {
        Ok(self.value.map_or(Sample::NoData, Sample::Gauge))
    }

    fn quantile(&self, _: &Arc<[f64]>) -> Result<Sample, HistoryError> {
        Ok(match (self.value, self.count) {
            (Some(value), Some(count)) => Sample::Quantile {
                value,
                count: whole(count),
            },
            (Some(_), None) | (None, _) => Sample::NoData,
        })
    }

    fn histogram(&self, bounds: &Arc<[f64]>) -> Result<Sample, HistoryError> {
        let Some(all) = self.all else {
            return Ok(Sample::NoData);
        };
        let buckets = self.buckets.iter().chain([&all]);
        let cumulative: Vec<u64> = buckets.map(|upto| whole(*upto)).collect();
        histogram(bounds, &cumulative).map(Sample::Histogram)
    }
}

/// The shortest distance of two neighbours: range queries are evaluated on a grid.
fn step(times: &[Timestamp]) -> Duration {
    let pairs = times.iter().zip(times.iter().skip(1));
    let distances = pairs.map(|(earlier, later)| later.since(*earlier));
    distances.min().unwrap_or_default()
}
