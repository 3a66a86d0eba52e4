//! One answer of Prometheus to a range query.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Side;
use super::counter::Counter;
use super::csv::from_unix;
use super::fields::Field;
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

/// The values of one series.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) field: Field,
    pub(super) side: Side,
    /// The bound of a bucket.
    pub(super) le: Option<f64>,
    pub(super) values: Counter,
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

/// The series of an answer to a range query that are of either side.
pub(super) fn read(
    json: &str,
    field: Field,
    sides: &SideLabel,
) -> Result<Vec<Series>, HistoryError> {
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
        let le = match field {
            Field::Le => Some(bound(&line.metric).map_err(|problem| {
                let mend = "query the buckets of a classic histogram, with their label `le`";
                HistoryError::new(at("metric"), format!("{problem}; {mend}"))
            })?),
            _ => None,
        };
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
            le,
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

/// The bound of a bucket.
fn bound(labels: &BTreeMap<String, String>) -> Result<f64, String> {
    let le = labels.get("le").ok_or("has no label `le`")?;
    let bound: Option<f64> = le.parse().ok();
    let bound = bound.filter(|bound| *bound > 0.0);
    bound.ok_or_else(|| format!("has the label `le` of `{le}`, which is no bound above 0"))
}

fn of_json(error: &serde_json::Error) -> HistoryError {
    let message = format!(
        "is not the answer to a range query: {error}; save what /api/v1/query_range sends, unchanged"
    );
    HistoryError::new("", message)
}
