//! A metric: what is measured, what is good enough, and how much it counts.

use serde::{Deserialize, Serialize};

use super::builder::PolicyError;
use super::curve::Curves;
use super::limits::Limits;
use crate::metrics::{MetricQuery, Signal};

/// One metric: what it measures and what is good enough.
///
/// Freely made; the [`Policy`](super::Policy) that it goes into checks it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use]
pub struct Metric {
    name: String,
    signal: Signal,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    template: Option<String>,
    limits: Limits,
    #[serde(default = "one", skip_serializing_if = "is_one")]
    weight: f64,
    #[serde(default, skip_serializing_if = "is_no")]
    critical: bool,
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    required: bool,
}

impl Metric {
    /// A required metric of weight 1 that is not critical.
    ///
    /// The name is unique in a policy: 1 to 100 ASCII letters, digits, `_`, `-`, `.` or `:`, of which
    /// the first is a letter.
    pub fn new(name: impl Into<String>, signal: Signal, limits: Limits) -> Self {
        Self {
            name: name.into(),
            signal,
            template: None,
            limits,
            weight: one(),
            critical: false,
            required: true,
        }
    }

    /// The same, looked for by the source's template of that name, such as `istio`, instead of the
    /// [policy's](super::Policy::template).
    pub fn with_template(mut self, template: impl Into<String>) -> Self {
        self.template = Some(template.into());
        self
    }

    /// The same with a weight: how much it counts in the score, relative to the others. Above 0, at
    /// most a million; 1 if not given.
    pub fn with_weight(mut self, weight: f64) -> Self {
        self.weight = weight;
        self
    }

    /// The same, so that its failure alone makes the whole score bad.
    pub fn critical(mut self) -> Self {
        self.critical = true;
        self
    }

    /// The same, so that a stage may end without it.
    pub fn optional(mut self) -> Self {
        self.required = false;
        self
    }

    /// Its name, unique in its policy.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it measures.
    #[must_use]
    pub const fn signal(&self) -> &Signal {
        &self.signal
    }

    /// By which of the source's templates it is looked for, if not by the policy's.
    #[must_use]
    pub fn template(&self) -> Option<&str> {
        self.template.as_deref()
    }

    /// What is good enough, as written.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How much it counts in the score, relative to the others.
    #[must_use]
    pub const fn weight(&self) -> f64 {
        self.weight
    }

    /// Whether its failure alone makes the whole score bad.
    #[must_use]
    pub const fn is_critical(&self) -> bool {
        self.critical
    }

    /// Whether a stage may not end without it.
    #[must_use]
    pub const fn is_required(&self) -> bool {
        self.required
    }

    /// The question to a source, by the template of the policy if it has none of its own.
    pub(super) fn query(&self, template: Option<&str>) -> MetricQuery {
        let query = MetricQuery::new(&self.name, self.signal.clone());
        match self.template().or(template) {
            Some(template) => query.with_template(template),
            None => query,
        }
    }

    /// Checks it; the errors name keys relative to the metric.
    pub(super) fn watch(&self) -> Result<Watch, PolicyError> {
        let letters = |c: char| c.is_ascii_alphanumeric() || "_-.:".contains(c);
        let begins = self.name.starts_with(|c: char| c.is_ascii_alphabetic());
        if !begins || self.name.len() > 100 || !self.name.chars().all(letters) {
            return Err(PolicyError::new(
                "name",
                format!(
                    "`{}` is not a metric's name; write a letter, then letters, digits, `_`, `-`, \
                     `.` or `:`, at most 100 in all",
                    self.name.chars().take(100).collect::<String>()
                ),
            ));
        }
        if matches!(&self.signal, Signal::Query(text) if text.trim().is_empty()) {
            return Err(PolicyError::new(
                "signal.query",
                "is empty; write a query in the metrics source's own language",
            ));
        }
        if !(self.weight > 0.0 && self.weight <= 1e6) {
            return Err(PolicyError::new(
                "weight",
                format!(
                    "`{}` is no weight; write a number above 0, at most a million",
                    self.weight
                ),
            ));
        }
        Ok(Watch {
            name: self.name.clone(),
            signal: self.signal.clone(),
            curves: self
                .limits
                .curves(&self.signal)
                .map_err(|error| error.under("limits"))?,
            share: self.weight,
            critical: self.critical,
            required: self.required,
        })
    }
}

/// A metric that has been checked, in the form that judges work with.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    pub(super) name: String,
    pub(super) signal: Signal,
    pub(super) curves: Curves,
    /// Its share of the score; all of a policy's shares make 1.
    pub(super) share: f64,
    pub(super) critical: bool,
    pub(super) required: bool,
}

const fn one() -> f64 {
    1.0
}

const fn yes() -> bool {
    true
}

fn is_one(weight: &f64) -> bool {
    *weight == 1.0
}

const fn is_yes(flag: &bool) -> bool {
    *flag
}

const fn is_no(flag: &bool) -> bool {
    !*flag
}
