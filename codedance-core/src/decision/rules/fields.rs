//! What an expression may speak of.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cel::objects::{Key, Map};
use cel::{Context, Env, Value};

use crate::decision::Evidence;
use crate::decision::metric::Watch;
use crate::decision::sample::{self, Seen};
use crate::metrics::{Quantile, Signal};
use crate::workload::GroupStatus;

/// One of both revisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Canary,
    Stable,
}

impl Side {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "canary" => Some(Self::Canary),
            "stable" => Some(Self::Stable),
            _ => None,
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Canary => 0,
            Self::Stable => 1,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Canary => "canary",
            Self::Stable => "stable",
        })
    }
}

/// Variables beside `canary` and `stable`.
pub(super) const VARIABLES: [&str; 2] = ["weight", "baked"];

/// The fields of either side.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    fields: Arc<[Field]>,
    watches: Arc<[Watch]>,
    oldest: Duration,
}

#[derive(Debug)]
struct Field {
    name: Arc<String>,
    source: Source,
}

/// Where a field's value comes from; the number is a metric's index.
#[derive(Clone, Copy, Debug)]
enum Source {
    Requests(usize),
    Errors(usize),
    Value(usize),
    Replicas(fn(GroupStatus) -> u32),
}

/// The values of one side, in the order of the fields; `None` has no data.
pub(super) type Row = Vec<Option<Value>>;

impl Fields {
    pub(super) fn new(watches: Arc<[Watch]>, interval: Duration) -> Self {
        let mut fields: Vec<Field> = Vec::new();
        let mut add = |name: String, source| {
            if fields.iter().all(|field| *field.name != name) {
                fields.push(Field {
                    name: Arc::new(name),
                    source,
                });
            }
        };
        let first = |fits: fn(&Signal) -> bool| watches.iter().position(|w| fits(&w.signal));
        let errors = first(|signal| matches!(signal, Signal::ErrorRate));
        let success = first(|signal| matches!(signal, Signal::SuccessRate));
        if let Some(index) = errors.or(success) {
            add("requests".to_owned(), Source::Requests(index));
            add("errors".to_owned(), Source::Errors(index));
        }
        if let Some(index) = errors {
            add("error_rate".to_owned(), Source::Value(index));
        }
        if let Some(index) = success {
            add("success_rate".to_owned(), Source::Value(index));
        }
        add("ready".to_owned(), Source::Replicas(|status| status.ready));
        add(
            "desired".to_owned(),
            Source::Replicas(|status| status.desired),
        );
        add(
            "failed".to_owned(),
            Source::Replicas(|status| status.failed),
        );
        add(
            "restarts".to_owned(),
            Source::Replicas(|status| status.restarts),
        );
        for (index, watch) in watches.iter().enumerate() {
            if let Signal::Latency(quantile) = &watch.signal {
                add(latency(*quantile), Source::Value(index));
            }
        }
        for (index, watch) in watches.iter().enumerate() {
            add(watch.name.clone(), Source::Value(index));
        }
        Self {
            fields: fields.into(),
            watches,
            oldest: sample::oldest(interval),
        }
    }

    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| *field.name == name)
    }

    pub(super) fn name(&self, field: usize) -> &str {
        &self.fields[field].name
    }

    /// All names, for an error message.
    pub(super) fn names(&self) -> String {
        let names: Vec<&str> = self
            .fields
            .iter()
            .map(|field| field.name.as_str())
            .collect();
        names.join(", ")
    }

    pub(super) fn has(&self, rows: &[Row; 2], side: Side, field: usize) -> bool {
        rows[side.index()][field].is_some()
    }

    /// What the evidence shows of one side.
    pub(super) fn read(&self, evidence: &Evidence<'_>, side: Side) -> Row {
        let replicas = match side {
            Side::Canary => evidence.canary,
            Side::Stable => evidence.stable,
        };
        let seen: Vec<Option<Seen>> = self
            .watches
            .iter()
            .enumerate()
            .map(|(index, watch)| {
                let reading = sample::reading(evidence, index, watch)?;
                let fresh = sample::age(evidence, reading) <= self.oldest;
                let side = match side {
                    Side::Canary => &reading.canary,
                    Side::Stable => &reading.stable,
                };
                sample::seen(&watch.signal, side).ok().filter(|_| fresh)
            })
            .collect();
        let value = |field: &Field| match field.source {
            Source::Requests(index) => match seen[index]? {
                Seen::Rate { total, .. } => Some(count(total)),
                Seen::Latency { .. } | Seen::Gauge(_) => None,
            },
            Source::Errors(index) => match seen[index]? {
                Seen::Rate { bad, .. } => Some(count(bad)),
                Seen::Latency { .. } | Seen::Gauge(_) => None,
            },
            Source::Value(index) => Some(Value::Float(
                seen[index]?.value(&self.watches[index].signal),
            )),
            Source::Replicas(of) => Some(count(of(replicas).into())),
        };
        self.fields.iter().map(value).collect()
    }

    /// Everything by name, for a program to run on.
    pub(super) fn context(
        &self,
        env: &Arc<Env>,
        evidence: &Evidence<'_>,
        rows: &[Row; 2],
    ) -> Context<'static, 'static> {
        let weight = f64::from(evidence.weight.basis_points()) / 100.0;
        self.fill(env, weight, evidence.baked.as_secs_f64(), rows)
    }

    /// Plausible numbers, different for either side, on which an expression is tried.
    pub(super) fn example(&self, env: &Arc<Env>) -> Context<'static, 'static> {
        let row = |factor: u32| -> Row {
            let value = |field: &Field| match field.source {
                Source::Requests(_) => Value::Int(1_000 * i64::from(factor)),
                Source::Errors(_) | Source::Replicas(_) => Value::Int(3 * i64::from(factor)),
                Source::Value(_) => Value::Float(0.003 * f64::from(factor)),
            };
            self.fields.iter().map(|field| Some(value(field))).collect()
        };
        self.fill(env, 10.0, 300.0, &[row(1), row(7)])
    }

    fn fill(
        &self,
        env: &Arc<Env>,
        weight: f64,
        baked: f64,
        rows: &[Row; 2],
    ) -> Context<'static, 'static> {
        let mut context = Context::with_env(Arc::clone(env));
        for side in [Side::Canary, Side::Stable] {
            let known = self.fields.iter().zip(&rows[side.index()]);
            let entries = known.filter_map(|(field, value)| {
                Some((Key::from(Arc::clone(&field.name)), value.clone()?))
            });
            let map = Map {
                map: Arc::new(entries.collect()),
            };
            context.add_variable_from_value(side.to_string(), Value::Map(map));
        }
        context.add_variable_from_value(VARIABLES[0], Value::Float(weight));
        context.add_variable_from_value(VARIABLES[1], Value::Float(baked));
        context
    }
}

/// CEL's integers are signed; more than they hold is as much as they hold.
fn count(count: u64) -> Value {
    Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

/// `latency_p99` for 0.99, `latency_p99_9` for 0.999.
fn latency(quantile: Quantile) -> String {
    let percent = (quantile.share() * 1e8).round() / 1e6;
    format!("latency_p{percent}").replace('.', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_named_by_their_percent() {
        for (share, name) in [
            (0.5, "latency_p50"),
            (0.99, "latency_p99"),
            (0.999, "latency_p99_9"),
            (0.07, "latency_p7"),
        ] {
            assert_eq!(latency(Quantile::new(share).unwrap()), name);
        }
    }
}
