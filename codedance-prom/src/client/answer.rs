//! What servers answer, read from JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use codedance_core::Timestamp;
use serde::de::{self, DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tracing::debug;

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

/// What a series is at one point in time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// May be infinite or not a number.
    Float(f64),
    Native(NativeBuckets),
}

/// A native histogram.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct NativeBuckets {
    #[serde(deserialize_with = "number")]
    pub(crate) count: f64,
    #[serde(deserialize_with = "number")]
    pub(crate) sum: f64,
    /// Those that are not empty, as the server sorts them: ascending.
    #[serde(default)]
    pub(crate) buckets: Vec<NativeBucket>,
}

/// How many observations lie between two bounds.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(from = "(Boundaries, Number, Number, Number)")]
pub(crate) struct NativeBucket {
    pub(crate) lower: f64,
    pub(crate) upper: f64,
    pub(crate) count: f64,
}

/// Which of its two bounds a bucket contains: a matter of one point, which no count depends on.
#[derive(Deserialize)]
struct Boundaries(#[expect(dead_code, reason = "read to be passed over")] u8);

impl From<(Boundaries, Number, Number, Number)> for NativeBucket {
    fn from((_, lower, upper, count): (Boundaries, Number, Number, Number)) -> Self {
        Self {
            lower: lower.0,
            upper: upper.0,
            count: count.0,
        }
    }
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
                return Err(Fault::Foreign(de::Error::custom(message)));
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

/// A time in decimal seconds.
struct Seconds(Timestamp);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        // A conversion from floating point keeps within the bounds of the integer.
        Ok(Self(Timestamp::from_millis(
            (seconds * 1_000.0).round() as i64
        )))
    }
}

/// A number in a text, such as `"0.25"`, `"+Inf"` or `"NaN"`.
struct Number(f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number(deserializer).map(Self)
    }
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    deserializer.deserialize_str(NumberVisitor)
}

struct NumberVisitor;

impl Visitor<'_> for NumberVisitor {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number in a text, such as \"0.25\" or \"+Inf\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<f64, E> {
        text.parse()
            .map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(kind: &str, result: &str) -> String {
        format!(r#"{{"status":"success","data":{{"resultType":"{kind}","result":{result}}}}}"#)
    }

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn vector(result: &str) -> Vec<Row> {
        rows(answer("vector", result).as_bytes()).unwrap()
    }

    #[test]
    fn a_vector_is_read_value_by_value() {
        let json = r#"[
            {"metric":{"__name__":"up","job":"a \"b\""},"value":[1795304790.497,"0.25"]},
            {"metric":{},"value":[1795304790,"-1e3"]}]"#;
        let expected = [
            Row {
                labels: labels(&[("__name__", "up"), ("job", "a \"b\"")]),
                at: at(1_795_304_790_497),
                value: Value::Float(0.25),
            },
            Row {
                labels: labels(&[]),
                at: at(1_795_304_790_000),
                value: Value::Float(-1_000.0),
            },
        ];
        assert_eq!(vector(json), expected);
        assert_eq!(vector("[]"), []);
    }

    #[test]
    fn values_that_are_no_finite_numbers_are_read_as_they_are() {
        let value =
            |text: &str| match &vector(&format!(r#"[{{"metric":{{}},"value":[1,"{text}"]}}]"#))[..]
            {
                [
                    Row {
                        value: Value::Float(value),
                        ..
                    },
                ] => *value,
                other => panic!("{other:?}"),
            };
        assert!(value("NaN").is_nan());
        assert_eq!(value("+Inf"), f64::INFINITY);
        assert_eq!(value("-Inf"), f64::NEG_INFINITY);
        // As text, a number keeps its precision.
        assert_eq!(value("0.1"), 0.1);
        assert_eq!(value("9007199254740993"), 9_007_199_254_740_992.0);
    }

    #[test]
    fn a_scalar_is_a_row_without_labels() {
        let scalar = rows(answer("scalar", r#"[1795304790.497,"1"]"#).as_bytes()).unwrap();
        let row = Row {
            labels: labels(&[]),
            at: at(1_795_304_790_497),
            value: Value::Float(1.0),
        };
        assert_eq!(scalar, [row]);
    }

    #[test]
    fn native_histograms_keep_their_buckets() {
        let json = r#"[{"metric":{},"histogram":[1.5,
            {"count":"4","sum":"+Inf","buckets":[[0,"0.5","1","3"],[3,"-0.001","0.001","1"]]}]},
            {"metric":{},"histogram":[1.5,{"count":"0","sum":"0"}]}]"#;
        let bucket = |lower, upper, count| NativeBucket {
            lower,
            upper,
            count,
        };
        let rows = vector(json);
        assert_eq!(
            rows[0].value,
            Value::Native(NativeBuckets {
                count: 4.0,
                sum: f64::INFINITY,
                buckets: vec![bucket(0.5, 1.0, 3.0), bucket(-0.001, 0.001, 1.0)],
            })
        );
        let empty = NativeBuckets {
            count: 0.0,
            sum: 0.0,
            buckets: Vec::new(),
        };
        assert_eq!(rows[1].value, Value::Native(empty));
    }

    #[test]
    fn a_matrix_is_read_in_the_order_of_time() {
        let json = r#"[{"metric":{"le":"+Inf"},"values":[[10,"1"],[30.5,"3"]],
            "histograms":[[20,{"count":"2","sum":"1","buckets":[]}]]},{"metric":{}}]"#;
        let tracks = tracks(answer("matrix", json).as_bytes()).unwrap();
        assert_eq!(tracks[0].labels, labels(&[("le", "+Inf")]));
        let times: Vec<_> = tracks[0]
            .points
            .iter()
            .map(|(at, _)| at.as_millis())
            .collect();
        assert_eq!(times, [10_000, 20_000, 30_500]);
        assert_eq!(tracks[0].points[2].1, Value::Float(3.0));
        assert_eq!(tracks[1].points, []);
    }

    #[test]
    fn the_order_of_keys_and_unknown_keys_do_not_matter() {
        let json = r#"{"isPartial":false,"warnings":null,"infos":["PromQL info: x"],"stats":{"a":[1]},
            "data":{"result":[{"value":[1,"2"],"group":3,"metric":{}}],"resultType":"vector","x":{}},
            "status":"success","warnings2":[]}"#;
        assert_eq!(rows(json.as_bytes()).unwrap()[0].value, Value::Float(2.0));
    }

    #[test]
    fn remarks_among_the_warnings_are_no_warnings() {
        let json = |warning: &str| {
            let vector = answer("vector", "[]");
            format!(
                r#"{},"warnings":["{warning}"]}}"#,
                &vector[..vector.len() - 1]
            )
        };
        let remark = json("PromQL info: metric might not be a counter");
        assert!(rows(remark.as_bytes()).unwrap().is_empty());
        let warning = rows(json("PromQL warning: bucket label is missing").as_bytes());
        let warning = warning.unwrap_err();
        assert!(
            warning
                .to_string()
                .ends_with("not the whole: PromQL warning: bucket label is missing")
        );
    }

    #[test]
    fn a_part_is_never_taken_for_the_whole() {
        let partial =
            r#"{"status":"success","isPartial":true,"data":{"resultType":"vector","result":[]}}"#;
        let warned = r#"{"status":"success","warnings":["store-1 is down","store-2 is down"],
            "data":{"resultType":"matrix","result":[]}}"#;
        let partial = rows(partial.as_bytes()).unwrap_err();
        assert!(partial.to_string().contains("`isPartial`"), "{partial}");
        let warned = tracks(warned.as_bytes()).unwrap_err();
        assert!(
            warned
                .to_string()
                .contains("store-1 is down; store-2 is down"),
            "{warned}"
        );
        for fault in [partial, warned] {
            assert_eq!(fault.kind(), codedance_core::ErrorKind::Unavailable);
        }
    }

    #[test]
    fn what_cannot_be_compared_is_refused_with_the_mend() {
        for (kind, result, expected) in [
            (
                "string",
                r#"[1,"a"]"#,
                "the query gives a text; write one that gives one value",
            ),
            (
                "matrix",
                "[]",
                "the query gives values over time; write one that gives one value",
            ),
            ("streams", "[]", "the unknown type `streams`"),
        ] {
            let refused = rows(answer(kind, result).as_bytes()).unwrap_err();
            assert!(refused.to_string().contains(expected), "{refused}");
        }
        let refused = tracks(answer("vector", "[]").as_bytes()).unwrap_err();
        assert!(
            refused
                .to_string()
                .contains("gives one value for each series"),
            "{refused}"
        );
    }

    #[test]
    fn a_text_that_ends_early_broke_off_and_another_one_is_foreign() {
        let whole = answer("vector", r#"[{"metric":{"a":"b"},"value":[1.5,"2"]}]"#);
        for end in 0..whole.len() {
            let cut = rows(&whole.as_bytes()[..end]).unwrap_err();
            assert!(matches!(cut, Fault::Cut(_)), "{end}: {cut:?}");
        }
        for result in [
            r#"[{"metric":{}}]"#,
            r#"[{"metric":{},"value":[1,2]}]"#,
            r#"[{"metric":{},"value":[1,"two"]}]"#,
            r#"[{"metric":{},"value":[1,"2",3]}]"#,
            r#"[{"metric":{},"value":["1","2"]}]"#,
            r#"[{"metric":{"a":1},"value":[1,"2"]}]"#,
            r#"[{"value":[1,"2"]}]"#,
            r#"[{"metric":{},"value":[1,"2"],"histogram":[1,{"count":"1","sum":"1"}]}]"#,
            r#"[{"metric":{},"histogram":[1,{"count":"1","sum":"1","buckets":[[0,"1","2"]]}]}]"#,
            "{}",
        ] {
            let foreign = rows(answer("vector", result).as_bytes()).unwrap_err();
            assert!(
                matches!(foreign, Fault::Foreign(_)),
                "{result}: {foreign:?}"
            );
        }
        for json in [r#"{"status":"success"}"#, r#"{"data":{}}"#] {
            let foreign = rows(json.as_bytes()).unwrap_err();
            assert!(matches!(foreign, Fault::Foreign(_)), "{json}: {foreign:?}");
        }
    }
}
