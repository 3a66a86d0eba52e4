//! What a user sets of Kayenta's judge.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::metric::KayentaMetric;
use super::series::LONGEST;
use crate::decision::builder::PolicyError;
use crate::decision::metric::Watch;
use crate::decision::rivals::named_in;

/// How [`Kayenta`](super::Kayenta) judges. The names are Kayenta's, where it has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct KayentaConfig {
    /// It judges at every so many-th look of a stage. At least 1, default 5.
    pub interval: u32,
    /// How many looks back it compares. From 1 to 240; default: all since the rollout began, of which
    /// the latest 240 are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lookback: Option<u32>,
    /// The score from which on it advances. Above `marginal`, at most 100, default 95.
    pub pass: f64,
    /// The score up to which it rolls back. From 0 on, default 75.
    pub marginal: f64,
    /// How much the groups of metrics count, in percent. Groups without a weight share what is left of
    /// 100.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, f64>,
    /// How single metrics are compared, by their names in the policy. Those not named here have the
    /// defaults.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, KayentaMetric>,
}

impl Default for KayentaConfig {
    fn default() -> Self {
        Self {
            interval: 5,
            lookback: None,
            pass: 95.0,
            marginal: 75.0,
            groups: BTreeMap::new(),
            metrics: BTreeMap::new(),
        }
    }
}

impl KayentaConfig {
    /// Sets [how often](KayentaConfig::interval) it judges.
    pub fn with_interval(mut self, looks: u32) -> Self {
        self.interval = looks;
        self
    }

    /// Sets [how far back](KayentaConfig::lookback) it compares.
    pub fn with_lookback(mut self, looks: u32) -> Self {
        self.lookback = Some(looks);
        self
    }

    /// Sets the scores from which on it [advances](KayentaConfig::pass) and up to which it
    /// [rolls back](KayentaConfig::marginal).
    pub fn with_scores(mut self, pass: f64, marginal: f64) -> Self {
        (self.pass, self.marginal) = (pass, marginal);
        self
    }

    /// Sets how much a [group](KayentaConfig::groups) counts, in percent.
    pub fn with_group(mut self, name: impl Into<String>, percent: f64) -> Self {
        self.groups.insert(name.into(), percent);
        self
    }

    /// Sets how the policy's [metric](KayentaConfig::metrics) of that name is compared.
    pub fn with_metric(mut self, name: impl Into<String>, metric: KayentaMetric) -> Self {
        self.metrics.insert(name.into(), metric);
        self
    }

    pub(super) fn check(&self, watches: &[Watch]) -> Result<(), PolicyError> {
        let wrong = |key: &str, problem: &str| Err(PolicyError::new(key, problem));
        if self.interval == 0 {
            return wrong("interval", "is 0; write 1 or more looks");
        }
        if self
            .lookback
            .is_some_and(|looks| looks == 0 || looks as usize > LONGEST)
        {
            let problem = format!("is out of range; write 1 to {LONGEST} looks");
            return wrong("lookback", &problem);
        }
        for (key, score) in [("pass", self.pass), ("marginal", self.marginal)] {
            if !(0.0..=100.0).contains(&score) {
                let problem = format!("`{score}` is not a score; write a number from 0 to 100");
                return wrong(key, &problem);
            }
        }
        if self.marginal >= self.pass {
            return wrong(
                "marginal",
                "does not lie below `pass`; write marginal < pass",
            );
        }
        named_in(self.metrics.keys(), watches)?;
        for (name, metric) in &self.metrics {
            metric
                .check()
                .map_err(|error| error.under(&format!("metrics.{name}")))?;
        }
        self.check_groups(watches)
    }

    fn check_groups(&self, watches: &[Watch]) -> Result<(), PolicyError> {
        let used: Vec<&str> = self
            .metrics
            .values()
            .flat_map(KayentaMetric::named)
            .collect();
        for (name, weight) in &self.groups {
            let key = format!("groups.{name}");
            if !(0.0..=100.0).contains(weight) {
                let problem = format!("`{weight}` is no weight; write a number from 0 to 100");
                return Err(PolicyError::new(key, problem));
            }
            if !used.contains(&name.as_str()) {
                let problem = "no metric belongs to this group; add it to one's `groups`, or leave \
                               it out";
                return Err(PolicyError::new(key, problem));
            }
        }
        let sum: f64 = self.groups.values().sum();
        let all_weighted = used.iter().all(|name| self.groups.contains_key(*name))
            && watches.iter().all(|watch| {
                let metric = self.metrics.get(&watch.name);
                metric.is_some_and(|metric| !metric.groups.is_empty())
            });
        let fits = if all_weighted {
            (sum - 100.0).abs() < 1e-6
        } else {
            sum < 100.0
        };
        if fits {
            return Ok(());
        }
        let wanted = if all_weighted {
            "make them 100, since every metric is in one"
        } else {
            "leave room below 100 for the metrics of other groups"
        };
        Err(PolicyError::new(
            "groups",
            format!("the weights sum up to {sum}; {wanted}"),
        ))
    }
}
