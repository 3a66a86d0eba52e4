//! The answers of Prometheus to range queries.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use codedance_core::Timestamp;
use codedance_core::metrics::Sample;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::counter::{Counter, increases};
use super::csv::from_unix;
use super::fields::Field;
use super::{History, Measurement, Side};
use crate::error::HistoryError;

/// By which label a series says which side it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SideLabel {
    name: String,
    canary: String,
    stable: String,
}

impl SideLabel {
    /// The label `name` holds `canary` or `stable`; series with another value, such as those of
    /// revisions long gone, are passed over.
    pub fn new(
        name: impl Into<String>,
        canary: impl Into<String>,
        stable: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            canary: canary.into(),
            stable: stable.into(),
        }
    }

    fn side(&self, value: &str) -> Option<Side> {
        match value {
            value if value == self.canary => Some(Side::Canary),
            value if value == self.stable => Some(Side::Stable),
            _ => None,
        }
    }
}

/// `side="canary"` and `side="stable"`.
impl Default for SideLabel {
    fn default() -> Self {
        Self::new("side", Side::Canary.name(), Side::Stable.name())
    }
}

/// What range queries (`/api/v1/query_range` of Prometheus, VictoriaMetrics and others) answered, one
/// answer for each field of each metric.
///
/// | fields | what is queried | the metric is read as |
/// |---|---|---|
/// | [`Bad`](Field::Bad) and [`Total`](Field::Total) | the **counters** of bad requests and of all requests | counts |
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

#[derive(Clone, Debug)]
struct Series {
    field: Field,
    side: Side,
    values: Counter,
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
    fn measure(
        &self,
        metric: &str,
        measurements: &mut Vec<Measurement>,
    ) -> Result<(), HistoryError> {
        let fields: Vec<Field> = self.files.keys().copied().collect();
        let sample: fn(&Row) -> Sample = match fields.as_slice() {
            [Field::Bad, Field::Total] => Row::counts,
            [Field::Value] => Row::gauge,
            [Field::Value, Field::Count] => Row::quantile,
            found => {
                let found: Vec<_> = found.iter().map(|field| format!("`{field}`")).collect();
                let message = format!(
                    "has the queries {}; give `bad` and `total`, or `value` alone, or `value` and \
                     `count`",
                    found.join(", ")
                );
                return Err(HistoryError::new(metric, message));
            }
        };
        let times = self.times(|_| true);
        let step = step(&times);
        let columns = |side| {
            let counted = |field| {
                let scraped = self.times(|series| series.field != Field::Value);
                increases(&self.of(field, side), &scraped, step)
            };
            Columns {
                bad: counted(Field::Bad),
                total: counted(Field::Total),
                count: counted(Field::Count),
                value: self.of(Field::Value, side).first().copied().cloned(),
            }
        };
        for side in [Side::Canary, Side::Stable] {
            let columns = columns(side);
            // Before the first point counters have counted nothing that is known.
            let known = usize::from(!matches!(fields.as_slice(), [Field::Value]));
            measurements.extend(times.iter().skip(known).map(|at| Measurement {
                metric: metric.to_owned(),
                at: *at,
                side,
                sample: sample(&columns.row(*at)),
            }));
        }
        Ok(())
    }

    fn of(&self, field: Field, side: Side) -> Vec<&Counter> {
        let wanted = |series: &&Series| series.field == field && series.side == side;
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
}

/// One side of one metric in one interval.
struct Row {
    bad: Option<f64>,
    total: Option<f64>,
    count: Option<f64>,
    value: Option<f64>,
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
        }
    }
}

impl Row {
    fn counts(&self) -> Sample {
        self.total.map_or(Sample::NoData, |total| {
            let total = total.round() as u64;
            // Two queries are evaluated one after the other; a request in between is bad and not counted.
            let bad = (self.bad.unwrap_or(0.0).round() as u64).min(total);
            Sample::Counts { bad, total }
        })
    }

    fn gauge(&self) -> Sample {
        self.value.map_or(Sample::NoData, Sample::Gauge)
    }

    fn quantile(&self) -> Sample {
        match (self.value, self.count) {
            (Some(value), Some(count)) => Sample::Quantile {
                value,
                count: count.round() as u64,
            },
            (Some(_), None) | (None, _) => Sample::NoData,
        }
    }
}

/// The shortest distance of two neighbours: range queries are evaluated on a grid.
fn step(times: &[Timestamp]) -> Duration {
    let pairs = times.iter().zip(times.iter().skip(1));
    let distances = pairs.map(|(earlier, later)| later.since(*earlier));
    distances.min().unwrap_or_default()
}

/// The beginning of an answer, which says what the rest is.
#[derive(Deserialize)]
struct Head {
    status: String,
    #[serde(default)]
    error: String,
    data: Option<HeadData>,
}

#[derive(Deserialize)]
struct HeadData {
    #[serde(rename = "resultType")]
    result_type: String,
}

#[derive(Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(f64, String)>,
    #[serde(default)]
    histograms: Vec<IgnoredAny>,
}

fn read(json: &str, field: Field, sides: &SideLabel) -> Result<Vec<Series>, HistoryError> {
    let head: Head = serde_json::from_str(json).map_err(|error| of_json(&error))?;
    if head.status != "success" {
        let message = format!(
            "is `{}`, and the server says: {}; mend the query and ask again",
            head.status, head.error
        );
        return Err(HistoryError::new("status", message));
    }
    match head.data {
        Some(data) if data.result_type == "matrix" => {}
        data => {
            let found = data.map_or_else(|| "missing".to_owned(), |data| data.result_type);
            let message = format!(
                "is {found}, and has to be matrix; ask /api/v1/query_range with start, end and step"
            );
            return Err(HistoryError::new("data.resultType", message));
        }
    }
    let answer: Answer = serde_json::from_str(json).map_err(|error| of_json(&error))?;
    series(answer.data.result, field, sides)
}

fn series(lines: Vec<Line>, field: Field, sides: &SideLabel) -> Result<Vec<Series>, HistoryError> {
    let mut all: Vec<Series> = Vec::new();
    let mut passed_over = BTreeSet::new();
    for (index, line) in lines.into_iter().enumerate() {
        let at = |key: &str| format!("data.result[{index}].{key}");
        let Some(value) = line.metric.get(&sides.name) else {
            let labels: Vec<_> = line
                .metric
                .keys()
                .map(|label| format!("`{label}`"))
                .collect();
            let message = format!(
                "has no label `{}` that says which side it is of; its labels are {}",
                sides.name,
                if labels.is_empty() {
                    "none".to_owned()
                } else {
                    labels.join(", ")
                }
            );
            return Err(HistoryError::new(at("metric"), message));
        };
        let Some(side) = sides.side(value) else {
            passed_over.insert(value.clone());
            continue;
        };
        if !line.histograms.is_empty() {
            return Err(HistoryError::new(
                at("histograms"),
                "native histograms are not read; query a quantile of them by `histogram_quantile`",
            ));
        }
        if field == Field::Value && all.iter().any(|other| other.side == side) {
            let message = format!(
                "is the second series of {value}; put them together in the query, such as by \
                 `max by ({})`",
                sides.name
            );
            return Err(HistoryError::new(at("metric"), message));
        }
        let mut values = Counter::new();
        for (place, (seconds, text)) in line.values.iter().enumerate() {
            let key = || at(&format!("values[{place}]"));
            let time = from_unix(*seconds)
                .ok_or_else(|| HistoryError::new(key(), format!("`{seconds}` is no Unix time")))?;
            let value: f64 = text
                .parse()
                .map_err(|_| HistoryError::new(key(), format!("`{text}` is no number")))?;
            if value.is_finite() {
                values.insert(time, value);
            }
        }
        all.push(Series {
            field,
            side,
            values,
        });
    }
    if all.is_empty() && !passed_over.is_empty() {
        let found: Vec<_> = passed_over
            .iter()
            .map(|value| format!("`{value}`"))
            .collect();
        let message = format!(
            "no series is of either side: the label `{}` is {}, and never `{}` or `{}`",
            sides.name,
            found.join(", "),
            sides.canary,
            sides.stable
        );
        return Err(HistoryError::new("data.result", message));
    }
    Ok(all)
}

fn of_json(error: &serde_json::Error) -> HistoryError {
    let message = format!(
        "is not the answer to a range query: {error}; save what /api/v1/query_range sends, unchanged"
    );
    HistoryError::new("", message)
}
