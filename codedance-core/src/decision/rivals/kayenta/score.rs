//! From the metrics' classes to the one score of Kayenta's judge.

use std::collections::BTreeMap;

use super::config::KayentaConfig;
use crate::decision::metric::Watch;

/// The share of metrics without data, in percent, from which on the score is 0.
const TOO_MANY: usize = 50;

/// What one metric brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Pass,
    /// High or low.
    Fail,
    /// The same, of a critical metric, by as much as is critical.
    Critical,
    /// No data, and it does not count.
    NoData,
    /// No data, of a metric that must have some.
    NoDataFails,
    /// No data, of a critical metric.
    NoDataCritical,
}

/// Which metrics count together, and how much.
#[derive(Clone, Debug)]
pub(super) struct Groups(Vec<Group>);

#[derive(Clone, Debug)]
struct Group {
    /// The indices of its metrics.
    members: Vec<usize>,
    /// In percent.
    weight: f64,
}

impl Groups {
    pub(super) fn new(config: &KayentaConfig, watches: &[Watch]) -> Self {
        let mut members: BTreeMap<Option<&str>, Vec<usize>> = BTreeMap::new();
        for (index, watch) in watches.iter().enumerate() {
            let metric = config.metrics.get(&watch.name);
            let named: Vec<&str> = metric.map_or_else(Vec::new, |metric| metric.named().collect());
            if named.is_empty() {
                members.entry(None).or_default().push(index);
            }
            for name in named {
                members.entry(Some(name)).or_default().push(index);
            }
        }
        let weight = |name: Option<&str>| config.groups.get(name?).copied();
        let given: f64 = members.keys().filter_map(|name| weight(*name)).sum();
        let others = members.keys().filter(|name| weight(**name).is_none());
        let left = (100.0 - given) / others.count() as f64;
        let group = |(name, members): (Option<&str>, Vec<usize>)| Group {
            members,
            weight: weight(name).unwrap_or(left),
        };
        Self(members.into_iter().map(group).collect())
    }

    /// From 0 to 100, with two decimals.
    pub(super) fn score(&self, marks: &[Mark]) -> f64 {
        let critical = |mark: &Mark| matches!(mark, Mark::Critical | Mark::NoDataCritical);
        if marks.iter().any(critical) || too_many_without_data(marks) {
            return 0.0;
        }
        let sum: f64 = self.0.iter().map(|group| group.points(marks)).sum();
        (sum * 100.0).round() / 100.0
    }
}

impl Group {
    /// Its part of the score. Where no metric has data, all of it.
    fn points(&self, marks: &[Mark]) -> f64 {
        let counted = || {
            let marks = self.members.iter().map(|index| marks[*index]);
            marks.filter(|mark| *mark != Mark::NoData)
        };
        let passed = counted().filter(|mark| *mark == Mark::Pass).count();
        match counted().count() {
            0 => self.weight,
            counted => self.weight * passed as f64 / counted as f64,
        }
    }
}

/// Whether so many have no data that nothing can be said; those that must have data are failures
/// instead.
pub(super) fn too_many_without_data(marks: &[Mark]) -> bool {
    let without = |mark: &&Mark| matches!(mark, Mark::NoData | Mark::NoDataCritical);
    marks.iter().filter(without).count() * 100 >= TOO_MANY * marks.len().max(1)
}
