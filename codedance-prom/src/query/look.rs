//! All the metrics of a look in one query.

use std::collections::BTreeMap;
use std::time::Duration;

use codedance_core::metrics::{MetricQuery, Reading, Sample, Signal};
use codedance_core::{Error, ErrorKind, Result, Timestamp};
use regex::Regex;

use super::group::{Found, Group, Own};
use super::increase::Grid;
use super::rows::{Rows, TAG};
use super::selector::Selector;
use super::sides::{Both, Sides};
use crate::client::{Row, Track};
use crate::template::{LatencyKind, Template, Values, fill, fill_pattern};

/// The longest query, in bytes, that VictoriaMetrics takes is 16,384 (`-search.maxQueryLen`).
const LONGEST: usize = 16_000;

const OR: &str = "\nor ";

/// All the metrics of a look, and what is asked for them.
#[derive(Debug)]
pub(crate) struct Look {
    groups: Vec<Group>,
    metrics: Vec<Asked>,
}

/// A metric, and how it is read from its group.
#[derive(Debug)]
struct Asked {
    name: String,
    group: usize,
    /// For requests: which statuses count, and whether as bad ones.
    statuses: Option<(Regex, bool)>,
}

/// A metric that cannot be asked for, in words.
fn invalid(metric: &MetricQuery, why: impl std::fmt::Display) -> Error {
    let operation = format!("make the query of the metric `{}`", metric.name);
    Error::new(ErrorKind::Invalid, operation).with_source(why.to_string())
}

impl Look {
    /// What these metrics ask for, by these templates, with these values for the placeholders.
    ///
    /// # Errors
    /// The metric that cannot be asked for, and why.
    pub(crate) fn new(
        metrics: &[MetricQuery],
        templates: &BTreeMap<String, Template>,
        default: &str,
        values: &Values,
    ) -> Result<Self> {
        let mut look = Self {
            groups: Vec::new(),
            metrics: Vec::with_capacity(metrics.len()),
        };
        for metric in metrics {
            let name = metric.template.as_deref().unwrap_or(default);
            let template = || {
                templates.get(name).ok_or_else(|| {
                    let known: Vec<_> = templates.keys().map(String::as_str).collect();
                    let known = known.join("`, `");
                    invalid(
                        metric,
                        format!("there is no template `{name}`; there are `{known}`"),
                    )
                })
            };
            let (group, statuses) = match &metric.signal {
                Signal::ErrorRate => requests(metric, name, template()?, values, true)?,
                Signal::SuccessRate => requests(metric, name, template()?, values, false)?,
                Signal::Latency(quantile) => (
                    latency(metric, name, template()?, values, quantile.share())?,
                    None,
                ),
                Signal::Query(text) => (own(metric, text, values)?, None),
                _ => {
                    let operation = format!("make the query of the metric `{}`", metric.name);
                    return Err(Error::new(ErrorKind::Unsupported, operation));
                }
            };
            let known = look.groups.iter().position(|known| *known == group);
            let place = known.unwrap_or_else(|| {
                look.groups.push(group);
                look.groups.len() - 1
            });
            look.metrics.push(Asked {
                name: metric.name.clone(),
                group: place,
                statuses,
            });
        }
        Ok(look)
    }

    /// Whether nothing is asked.
    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// How many groups there are.
    pub(crate) fn groups(&self) -> usize {
        self.groups.len()
    }

    /// The first metric that is read from the group.
    pub(crate) fn metric_of(&self, group: usize) -> &str {
        let asked = self.metrics.iter().find(|asked| asked.group == group);
        asked.map_or("", |asked| &asked.name)
    }

    /// One query for all groups, or as few as are short enough for every server.
    pub(crate) fn texts(&self, grid: &Grid) -> Vec<String> {
        let mut texts: Vec<String> = Vec::new();
        for group in 0..self.groups.len() {
            let text = self.text_of(group, grid);
            match texts.last_mut() {
                Some(last) if last.len() + OR.len() + text.len() <= LONGEST => {
                    last.push_str(OR);
                    last.push_str(&text);
                }
                _ => texts.push(text),
            }
        }
        texts
    }

    /// The query for one group alone.
    pub(crate) fn text_of(&self, group: usize, grid: &Grid) -> String {
        let parts = self.groups[group].parts(grid).into_iter();
        let tagged = parts.map(|(letter, expression)| {
            format!("label_replace({expression}, \"{TAG}\", \"{group}{letter}\", \"\", \"\")")
        });
        tagged.collect::<Vec<_>>().join(OR)
    }

    /// The readings at `to`.
    pub(crate) fn readings(
        &self,
        rows: &[Row],
        to: Timestamp,
        stale_after: Duration,
    ) -> Result<Vec<Reading>> {
        Ok(self.named(self.samples(rows, to, stale_after)?))
    }

    /// The samples of one point in time as readings.
    pub(crate) fn named(&self, samples: Vec<Both<Sample>>) -> Vec<Reading> {
        let readings = self.metrics.iter().zip(samples);
        let reading = |(asked, both): (&Asked, Both<Sample>)| {
            Reading::new(&asked.name, both.canary, both.stable)
        };
        readings.map(reading).collect()
    }

    /// The samples of each metric at each of these times.
    pub(crate) fn over_time(
        &self,
        tracks: &[Track],
        times: impl IntoIterator<Item = Timestamp>,
        stale_after: Duration,
    ) -> Result<Vec<Vec<Both<Sample>>>> {
        let rows = Rows::over_time(tracks);
        let nothing = Rows::default();
        let times = times.into_iter();
        times
            .map(|at| self.samples_of(rows.get(&at).unwrap_or(&nothing), at, stale_after))
            .collect()
    }

    /// What each metric is at `to`.
    pub(crate) fn samples(
        &self,
        rows: &[Row],
        to: Timestamp,
        stale_after: Duration,
    ) -> Result<Vec<Both<Sample>>> {
        self.samples_of(&Rows::of(rows), to, stale_after)
    }

    fn samples_of(
        &self,
        rows: &Rows<'_>,
        to: Timestamp,
        stale_after: Duration,
    ) -> Result<Vec<Both<Sample>>> {
        let mut found = Vec::with_capacity(self.groups.len());
        for (index, group) in self.groups.iter().enumerate() {
            let read = group.read(index, rows, to, stale_after);
            found.push(read.map_err(|too_many| {
                let operation = format!("read the metric `{}`", self.metric_of(index));
                Error::new(ErrorKind::Invalid, operation).with_source(too_many)
            })?);
        }
        let samples =
            self.metrics
                .iter()
                .map(|asked| match (&found[asked.group], &asked.statuses) {
                    (Found::Samples(both), _) => both.clone(),
                    (Found::Statuses(both), Some(statuses)) => Both {
                        stable: counts(both.stable.as_ref(), statuses),
                        canary: counts(both.canary.as_ref(), statuses),
                    },
                    (Found::Statuses(_), None) => Both::default(),
                });
        Ok(samples.collect())
    }
}

fn counts(found: Option<&BTreeMap<String, u64>>, (pattern, are_bad): &(Regex, bool)) -> Sample {
    let Some(found) = found else {
        return Sample::NoData;
    };
    let total = found.values().sum();
    if total == 0 {
        return Sample::NoData;
    }
    let matching = found.iter().filter(|(status, _)| pattern.is_match(status));
    let matching: u64 = matching.map(|(_, count)| count).sum();
    let bad = if *are_bad { matching } else { total - matching };
    Sample::Counts { bad, total }
}

fn requests(
    metric: &MetricQuery,
    name: &str,
    template: &Template,
    values: &Values,
    bad: bool,
) -> Result<(Group, Option<(Regex, bool)>)> {
    let requests = template
        .requests
        .as_ref()
        .ok_or_else(|| invalid(metric, format!("the template `{name}` has no `requests`")))?;
    let sides = sides(metric, template, values)?;
    let (selector, sides) = select(metric, "requests.select", &requests.select, sides, values)?;
    let (key, pattern) = if bad {
        ("requests.bad", &requests.bad)
    } else {
        ("requests.good", &requests.good)
    };
    let statuses = whole_pattern(metric, key, pattern)?;
    let group = Group::Requests {
        sides,
        selector,
        status: label(metric, "requests.status", &requests.status)?,
    };
    Ok((group, Some((statuses, bad))))
}

fn latency(
    metric: &MetricQuery,
    name: &str,
    template: &Template,
    values: &Values,
    quantile: f64,
) -> Result<Group> {
    let latency = template
        .latency
        .as_ref()
        .ok_or_else(|| invalid(metric, format!("the template `{name}` has no `latency`")))?;
    let sides = sides(metric, template, values)?;
    let (selector, sides) = select(metric, "latency.select", &latency.select, sides, values)?;
    let unit = latency.unit.seconds();
    Ok(match latency.kind {
        LatencyKind::Classic => Group::Buckets {
            sides,
            selector,
            unit,
        },
        LatencyKind::Native => Group::Native {
            sides,
            selector,
            unit,
        },
        LatencyKind::Summary => Group::Summary {
            sides,
            selector,
            quantile,
            unit,
        },
    })
}

/// For each side by itself if the query names the revision, otherwise as it is.
fn own(metric: &MetricQuery, text: &str, values: &Values) -> Result<Group> {
    let filled = |revision: &str| {
        let mut values = values.clone();
        if let Some(revision) = values.get(revision).cloned() {
            values.insert("revision".to_owned(), revision);
        }
        fill(text, &values).map_err(|error| invalid(metric, error))
    };
    let (stable, canary) = (filled("stable")?, filled("canary")?);
    Ok(Group::Own(if stable == canary {
        Own::Whole(canary)
    } else {
        Own::Each(Both { stable, canary })
    }))
}

/// The label and the patterns of the two sides, the latter filled in.
struct Patterns {
    label: String,
    stable: String,
    canary: String,
}

fn sides(metric: &MetricQuery, template: &Template, values: &Values) -> Result<Patterns> {
    let pattern = |key: &str, pattern: &str| {
        fill_pattern(pattern, values).map_err(|error| invalid(metric, format!("{key}: {error}")))
    };
    Ok(Patterns {
        label: label(metric, "by", &template.by)?,
        stable: pattern("stable", &template.stable)?,
        canary: pattern("canary", &template.canary)?,
    })
}

/// The selector of both sides, and how they are told apart.
fn select(
    metric: &MetricQuery,
    key: &str,
    text: &str,
    patterns: Patterns,
    values: &Values,
) -> Result<(Selector, Sides)> {
    let problem = |error: &dyn std::fmt::Display| invalid(metric, format!("{key}: {error}"));
    let text = fill(text, values).map_err(|error| problem(&error))?;
    let selector = Selector::parse(&text).map_err(|error| problem(&error))?;
    let Patterns {
        label,
        stable,
        canary,
    } = patterns;
    let sides = Sides {
        stable: whole_pattern(metric, "stable", &stable)?,
        canary: whole_pattern(metric, "canary", &canary)?,
        label,
    };
    // By `|.+`, VictoriaMetrics finds nothing: where the label may be missing, all series are read.
    if sides.stable.is_match("") || sides.canary.is_match("") {
        return Ok((selector, sides));
    }
    let either = format!("{stable}|{canary}");
    Ok((selector.matching(&sides.label, &either), sides))
}

/// A regular expression for the whole of a value, as PromQL takes it.
fn whole_pattern(metric: &MetricQuery, key: &str, pattern: &str) -> Result<Regex> {
    Regex::new(&format!("^(?s:{pattern})$"))
        .map_err(|error| invalid(metric, format!("{key}: {error}")))
}

fn label(metric: &MetricQuery, key: &str, label: &str) -> Result<String> {
    let letters = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let begins = label.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if begins && label.chars().all(letters) {
        Ok(label.to_owned())
    } else {
        let why = format!(
            "{key}: `{label}` is not a label's name; write letters, digits and `_`, the first no digit"
        );
        Err(invalid(metric, why))
    }
}
