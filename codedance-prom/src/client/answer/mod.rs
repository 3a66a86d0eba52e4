//! What servers answer, read from JSON.

#[cfg(test)]
mod tests;
mod value;

use std::borrow::Cow;
use std::collections::BTreeMap;

use codedance_core::Timestamp;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Error};
use serde_json::value::RawValue;
use tracing::debug;
#[cfg(test)]
pub(crate) use value::NativeBucket;
pub(crate) use value::{NativeBuckets, Value};
use value::{Number, Seconds};

use super::fault::Fault;

/// One series at one point in time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) at: Timestamp,
    pub(crate) value: Value,
}

/// One series over time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Track {
    pub(crate) labels: BTreeMap<String, String>,
    /// In the order of time.
    pub(crate) points: Vec<(Timestamp, Value)>,
}

/// Around every answer.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: Data<'a>,
    /// VictoriaMetrics: not all of its storage has answered.
    #[serde(default, rename = "isPartial")]
    is_partial: bool,
    #[serde(default)]
    warnings: Option<Vec<String>>,
    #[serde(default)]
    infos: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(rename = "resultType", borrow)]
    result_type: Cow<'a, str>,
    /// Its type stands beside it, before or after.
    #[serde(borrow)]
    result: &'a RawValue,
}

#[derive(Deserialize)]
struct Instant {
    metric: BTreeMap<String, String>,
    value: Option<(Seconds, Number)>,
    histogram: Option<(Seconds, NativeBuckets)>,
}

#[derive(Deserialize)]
struct Range {
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(Seconds, Number)>,
    #[serde(default)]
    histograms: Vec<(Seconds, NativeBuckets)>,
}

/// The answer to `/api/v1/query`.
pub(super) fn rows(json: &[u8]) -> Result<Vec<Row>, Fault> {
    const WANTED: &str = "one value for each series, such as `rate(x[5m])` for a range `x[5m]`";
    let data = data(json)?;
    match &*data.result_type {
        "vector" => {
            let series: Vec<Instant> = read(data.result)?;
            series.into_iter().map(Instant::into_row).collect()
        }
        // Prometheus, where VictoriaMetrics answers with a vector.
        "scalar" => {
            let (at, value): (Seconds, Number) = read(data.result)?;
            Ok(vec![Row {
                labels: BTreeMap::new(),
                at: at.0,
                value: Value::Float(value.0),
            }])
        }
        found => Err(other_type(found, WANTED)),
    }
}

/// The answer to `/api/v1/query_range`.
pub(super) fn tracks(json: &[u8]) -> Result<Vec<Track>, Fault> {
    let data = data(json)?;
    match &*data.result_type {
        "matrix" => {
            let series: Vec<Range> = read(data.result)?;
            Ok(series.into_iter().map(Range::into_track).collect())
        }
        found => Err(other_type(found, "values over time")),
    }
}

fn data(json: &[u8]) -> Result<Data<'_>, Fault> {
    let envelope: Envelope<'_> =
        serde_json::from_slice(json).map_err(|error| broken(json, error))?;
    if envelope.is_partial {
        let text = "a part of the storage did not answer (`isPartial`)";
        return Err(Fault::Partial(text.to_owned()));
    }
    // Prometheus 2.48 to 2.53 had its remarks among the warnings.
    let warnings = envelope.warnings.unwrap_or_default();
    let (infos, warnings): (Vec<_>, Vec<_>) = warnings
        .into_iter()
        .partition(|text| text.starts_with("PromQL info:"));
    if !warnings.is_empty() {
        return Err(Fault::Partial(warnings.join("; ")));
    }
    for info in infos.iter().chain(envelope.infos.iter().flatten()) {
        debug!(info, "the server remarks on a query");
    }
    Ok(envelope.data)
}

fn read<T: DeserializeOwned>(result: &RawValue) -> Result<T, Fault> {
    serde_json::from_str(result.get()).map_err(Fault::Foreign)
}

fn broken(json: &[u8], error: serde_json::Error) -> Fault {
    // A number that ends early is not told from a wrong one.
    if error.is_eof() || !json.trim_ascii_end().ends_with(b"}") {
        Fault::Cut(error)
    } else {
        Fault::Foreign(error)
    }
}

fn other_type(found: &str, wanted: &'static str) -> Fault {
    let found = match found {
        "vector" => "one value for each series",
        "scalar" => "a number",
        "matrix" => "values over time",
        "string" => "a text",
        other => return Fault::UnknownType(other.chars().take(40).collect()),
    };
    Fault::Type { found, wanted }
}

impl Instant {
    fn into_row(self) -> Result<Row, Fault> {
        let (at, value) = match (self.value, self.histogram) {
            (Some((at, value)), None) => (at, Value::Float(value.0)),
            (None, Some((at, buckets))) => (at, Value::Native(buckets)),
            _ => {
                let message = "a series has either `value` or `histogram`";
                return Err(Fault::Foreign(Error::custom(message)));
            }
        };
        Ok(Row {
            labels: self.metric,
            at: at.0,
            value,
        })
    }
}

impl Range {
    fn into_track(self) -> Track {
        let floats = self.values.into_iter();
        let floats = floats.map(|(at, value)| (at.0, Value::Float(value.0)));
        let natives = self.histograms.into_iter();
        let mut points: Vec<_> = floats
            .chain(natives.map(|(at, buckets)| (at.0, Value::Native(buckets))))
            .collect();
        // A series that became a native histogram has both, each sorted.
        points.sort_by_key(|(at, _)| *at);
        Track {
            labels: self.metric,
            points,
        }
    }
}
