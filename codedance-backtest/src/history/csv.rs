//! Tables: one line for each sample, or one line for each time.

use std::io::Read;

use codedance_core::Timestamp;
use csv::{ErrorKind, Position, ReaderBuilder, StringRecord, Trim};

use super::columns::Columns;
use super::{History, Recorded, Side};
use crate::error::HistoryError;

/// What a line begins with that is none of the table.
const COMMENT: u8 = b'#';

impl History {
    /// Reads a table in one of two forms; `name` is what errors call it.
    ///
    /// **Long**: one line for each sample, with the columns `time`, `metric`, `side` (`canary` or
    /// `stable`) and what was read:
    ///
    /// | columns | what the metric is | read as |
    /// |---|---|---|
    /// | `bad`, `total` | an error rate or a success rate | counts within the interval; `bad` are those that are not a success |
    /// | `le:0.1`, `le:0.25` …, `le:+Inf` | a latency | a histogram: how many requests took at most so many seconds, cumulative as Prometheus's buckets are |
    /// | `value`, `count` | a latency | a quantile in seconds, over so many requests |
    /// | `value` | a query | a gauge |
    ///
    /// ```text
    /// time,metric,side,bad,total,value,count
    /// 2026-11-21T10:00:30Z,errors,canary,1,600,,
    /// 2026-11-21T10:00:30Z,errors,stable,11,5400,,
    /// 2026-11-21T10:00:30Z,p95,canary,,,0.183,600
    /// ```
    ///
    /// **Wide**: one line for each time; the columns beside `time` are named `METRIC.SIDE.FIELD`:
    ///
    /// ```text
    /// time,errors.canary.bad,errors.canary.total,errors.stable.bad,errors.stable.total
    /// 1795255230,1,600,11,5400
    /// ```
    ///
    /// A time is the **end** of the interval, in RFC 3339 or in Unix seconds. A cell that is empty, `NaN` or
    /// infinite is no data, and so is a line that is missing. Requests are rounded to whole ones, because
    /// Prometheus's `increase()` extrapolates to fractions. Lines may come in any order; those that begin
    /// with `#` are comments.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line and its column.
    pub fn from_csv(name: &str, table: impl Read) -> Result<Self, HistoryError> {
        read(table)
            .and_then(Self::new)
            .map_err(|error| error.in_file(name))
    }
}

fn read(mut table: impl Read) -> Result<Vec<Recorded>, HistoryError> {
    let mut bytes = Vec::new();
    table
        .read_to_end(&mut bytes)
        .map_err(|error| HistoryError::new("", format!("cannot be read: {error}")))?;
    let placed = |error: HistoryError, position: Option<&Position>| match position {
        Some(position) => error.in_line(line_of(&bytes, position.byte())),
        None => error,
    };
    let of_csv = |error: csv::Error| placed(refused(&error), error.position());
    let mut reader = ReaderBuilder::new()
        .trim(Trim::All)
        .comment(Some(COMMENT))
        .from_reader(bytes.as_slice());
    let header = reader.headers().map_err(of_csv)?;
    let form = Form::of(header).map_err(|error| placed(error, header.position()))?;
    let mut measurements = Vec::new();
    for record in reader.records() {
        let record = record.map_err(of_csv)?;
        form.line(&record, &mut measurements)
            .map_err(|error| placed(error, record.position()))?;
    }
    Ok(measurements)
}

/// The line of the record that begins at this byte. The reader gives the end of the record before, which
/// comments and empty lines may follow.
fn line_of(table: &[u8], byte: u64) -> u64 {
    let (before, rest) = table.split_at(table.len().min(byte as usize));
    let passed_over = rest
        .split_inclusive(|byte| *byte == b'\n')
        .take_while(|line| line.starts_with(&[COMMENT]) || matches!(*line, b"\n" | b"\r\n"));
    let ended = before.iter().filter(|byte| **byte == b'\n').count();
    (1 + ended + passed_over.count()) as u64
}

/// Which columns there are, by their places.
struct Form {
    time: usize,
    kind: Kind,
}

enum Kind {
    Long {
        metric: usize,
        side: usize,
        columns: Columns,
    },
    Wide(Vec<WideSample>),
}

/// One side of one metric.
struct WideSample {
    metric: String,
    side: Side,
    columns: Columns,
}

impl Form {
    fn of(header: &StringRecord) -> Result<Self, HistoryError> {
        let mut seen = std::collections::BTreeSet::new();
        if let Some(twice) = header.iter().find(|name| !seen.insert(*name)) {
            return Err(HistoryError::new(
                twice,
                "is the name of two columns; rename one or leave it out",
            ));
        }
        let place = |wanted: &str| header.iter().position(|name| name == wanted);
        let time = place("time").ok_or_else(|| {
            HistoryError::new(
                "time",
                "there is no such column; write the end of each interval there, such as \
                 `2026-11-21T10:00:30Z`",
            )
        })?;
        let kind = match (place("metric"), place("side")) {
            (Some(metric), Some(side)) => Kind::long(header, [time, metric, side])?,
            (None, None) => Kind::wide(header, time)?,
            (Some(_), None) => {
                return Err(HistoryError::new(
                    "side",
                    "there is no such column beside `metric`; write `canary` or `stable` there",
                ));
            }
            (None, Some(_)) => {
                return Err(HistoryError::new(
                    "metric",
                    "there is no such column beside `side`; write the metric's name in the policy \
                     there",
                ));
            }
        };
        Ok(Self { time, kind })
    }

    fn line(
        &self,
        record: &StringRecord,
        measurements: &mut Vec<Recorded>,
    ) -> Result<(), HistoryError> {
        let cell = |place: usize| record.get(place).unwrap_or_default();
        let at = time(cell(self.time))?;
        match &self.kind {
            Kind::Long {
                metric,
                side,
                columns,
            } => {
                let metric = cell(*metric);
                if metric.is_empty() {
                    return Err(HistoryError::new(
                        "metric",
                        "is empty; write the metric's name in the policy",
                    ));
                }
                let sample = columns.sample(&cell)?;
                measurements.push(Recorded {
                    metric: metric.to_owned(),
                    at,
                    side: side_of(cell(*side))?,
                    sample,
                });
            }
            Kind::Wide(samples) => {
                for WideSample {
                    metric,
                    side,
                    columns,
                } in samples
                {
                    let sample = columns
                        .sample(&cell)
                        .map_err(|error| in_wide_column(error, metric, *side))?;
                    measurements.push(Recorded {
                        metric: metric.clone(),
                        at,
                        side: *side,
                        sample,
                    });
                }
            }
        }
        Ok(())
    }
}

impl Kind {
    fn long(header: &StringRecord, taken: [usize; 3]) -> Result<Self, HistoryError> {
        let mut columns = Columns::default();
        for (place, name) in header.iter().enumerate() {
            if !taken.contains(&place) && !columns.take(place, name)? {
                return Err(HistoryError::new(
                    name,
                    "is no column of a long table; it has `time`, `metric`, `side`, and of `bad`, \
                     `total`, `value`, `count` and `le:…` what was read",
                ));
            }
        }
        let [_, metric, side] = taken;
        Ok(Self::Long {
            metric,
            side,
            columns: columns.checked()?,
        })
    }

    fn wide(header: &StringRecord, time: usize) -> Result<Self, HistoryError> {
        let mut samples: Vec<WideSample> = Vec::new();
        for (place, name) in header.iter().enumerate() {
            if place == time {
                continue;
            }
            let refused = || {
                HistoryError::new(
                    name,
                    "is no column of a table; write `metric` and `side` beside `time`, or columns \
                     such as `errors.canary.bad`",
                )
            };
            let (metric, side, field) = wide_column(name).ok_or_else(refused)?;
            let known = samples
                .iter()
                .position(|sample| sample.metric == metric && sample.side == side);
            let known = known.unwrap_or_else(|| {
                samples.push(WideSample {
                    metric: metric.to_owned(),
                    side,
                    columns: Columns::default(),
                });
                samples.len() - 1
            });
            let taken = samples[known].columns.take(place, field);
            if !taken.map_err(|error| in_wide_column(error, metric, side))? {
                return Err(refused());
            }
        }
        for sample in &mut samples {
            let checked = std::mem::take(&mut sample.columns).checked();
            sample.columns =
                checked.map_err(|error| in_wide_column(error, &sample.metric, sample.side))?;
        }
        Ok(Self::Wide(samples))
    }
}

/// The error with the column's whole name.
fn in_wide_column(error: HistoryError, metric: &str, side: Side) -> HistoryError {
    let sample = format!("{metric}.{}", side.name());
    let key = match error.key.as_str() {
        "" => sample,
        field => format!("{sample}.{field}"),
    };
    HistoryError { key, ..error }
}

/// `errors.canary.bad` in its three parts; a metric's name may hold points of its own, and so does
/// `le:0.25`.
fn wide_column(name: &str) -> Option<(&str, Side, &str)> {
    let split = |side: Side| {
        let (metric, field) = name.rsplit_once(&format!(".{}.", side.name()))?;
        Some((metric, side, field))
    };
    split(Side::Canary).or_else(|| split(Side::Stable))
}

fn side_of(text: &str) -> Result<Side, HistoryError> {
    [Side::Canary, Side::Stable]
        .into_iter()
        .find(|side| side.name() == text)
        .ok_or_else(|| {
            let message = format!("`{text}` is no side; write `canary` or `stable`");
            HistoryError::new("side", message)
        })
}

fn time(text: &str) -> Result<Timestamp, HistoryError> {
    let refused = |mend: &str| HistoryError::new("time", format!("`{text}` is no time; {mend}"));
    let Ok(seconds) = text.parse::<f64>() else {
        return text.parse().map_err(|_| {
            refused("write RFC 3339, such as `2026-11-21T10:00:30Z`, or Unix seconds")
        });
    };
    from_unix(seconds).ok_or_else(|| {
        refused(
            "write Unix seconds, of which there are fewer than 100,000,000,000 (not milliseconds)",
        )
    })
}

/// A point in time by its Unix seconds, to the millisecond; `None` outside of the years 1970 to 5138, where
/// somebody wrote milliseconds.
pub(super) fn from_unix(seconds: f64) -> Option<Timestamp> {
    (0.0..1e11)
        .contains(&seconds)
        .then(|| Timestamp::from_millis((seconds * 1e3).round() as i64))
}

fn refused(error: &csv::Error) -> HistoryError {
    let message = match error.kind() {
        ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => format!(
            "has {len} cells, and the first line {expected_len}; write as many commas in each line"
        ),
        ErrorKind::Utf8 { .. } => "is not UTF-8; save the table as UTF-8".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    HistoryError::new("", message)
}
