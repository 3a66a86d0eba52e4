//! How one metric is compared.

use serde::{Deserialize, Serialize};

use crate::decision::builder::PolicyError;

/// How one metric is compared.
///
/// Whether it is critical is said by the policy's own [`Metric`](crate::decision::Metric).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct KayentaMetric {
    /// Which way is bad. Default: either, so that a canary with *fewer* errors fails.
    pub direction: Direction,
    /// What becomes of looks without a value (Kayenta's `nanStrategy`). Default: they are removed.
    pub missing: Missing,
    /// How far from the quartiles, in distances between them, a point may lie (Kayenta's `outlierFactor`,
    /// of which 3 is usual). Above 0; default: all points are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outlier_factor: Option<f64>,
    /// Whether it counts as failed when it has no data; otherwise it does not count. Default false.
    pub must_have_data: bool,
    /// The groups that it belongs to, as in [`KayentaConfig::groups`](super::KayentaConfig::groups). Metrics without a group form one of
    /// their own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// How large a shift has to be to matter.
    pub effect: Effect,
}

/// Which way is bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Both.
    #[default]
    Either,
    /// Up.
    Increase,
    /// Down.
    Decrease,
}

/// What becomes of looks without a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// They are left out.
    #[default]
    Remove,
    /// They count as 0.
    Replace,
}

/// How large a shift has to be to matter (Kayenta's `effectSize`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Effect {
    /// In what it is measured.
    pub measure: Measure,
    /// The effect from which on a rise counts: 1.1 for a mean higher by a tenth. Above 0; default 1 for
    /// the ratio of means, 0.5 for CLES: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_increase: Option<f64>,
    /// The effect down to which a fall counts: 0.9 for a mean lower by a tenth. Likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_decrease: Option<f64>,
    /// The effect from which on the rise of a critical metric makes the whole score 0. Likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub critical_increase: Option<f64>,
    /// The effect down to which the fall of a critical metric makes the whole score 0. Likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub critical_decrease: Option<f64>,
}

/// In what an effect is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Measure {
    /// The canary's mean divided by the stable one's.
    #[default]
    MeanRatio,
    /// The share of pairs in which the canary's point is the higher one (the common language effect
    /// size), from 0 to 1.
    Cles,
}

impl KayentaMetric {
    /// Sets [which way](KayentaMetric::direction) is bad.
    pub fn with_direction(mut self, direction: Direction) -> Self {
        self.direction = direction;
        self
    }

    /// Sets what becomes of [looks without a value](KayentaMetric::missing).
    pub fn with_missing(mut self, missing: Missing) -> Self {
        self.missing = missing;
        self
    }

    /// Sets from where on points are [outliers](KayentaMetric::outlier_factor), which are removed.
    pub fn with_outlier_factor(mut self, factor: f64) -> Self {
        self.outlier_factor = Some(factor);
        self
    }

    /// Makes it count as failed [when it has no data](KayentaMetric::must_have_data).
    pub fn with_must_have_data(mut self) -> Self {
        self.must_have_data = true;
        self
    }

    /// Puts it into one [group](KayentaMetric::groups) more.
    pub fn with_group(mut self, name: impl Into<String>) -> Self {
        self.groups.push(name.into());
        self
    }

    /// Sets [how large a shift](KayentaMetric::effect) has to be.
    pub fn with_effect(mut self, effect: Effect) -> Self {
        self.effect = effect;
        self
    }

    /// The groups that it names.
    pub(super) fn named(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().map(String::as_str)
    }

    pub(super) fn check(&self) -> Result<(), PolicyError> {
        if let Some(factor) = self.outlier_factor
            && !(factor > 0.0 && factor <= 1e6)
        {
            let problem = format!("`{factor}` is no factor; write a number above 0, such as 3");
            return Err(PolicyError::new("outlier_factor", problem));
        }
        let effect = &self.effect;
        for (key, size) in [
            ("allowed_increase", effect.allowed_increase),
            ("allowed_decrease", effect.allowed_decrease),
            ("critical_increase", effect.critical_increase),
            ("critical_decrease", effect.critical_decrease),
        ] {
            let (most, example) = match effect.measure {
                Measure::MeanRatio => (1e6, "a ratio above 0, such as 1.1"),
                Measure::Cles => (1.0, "a share above 0 and at most 1, such as 0.7"),
            };
            if let Some(size) = size
                && !(size > 0.0 && size <= most)
            {
                let problem = format!("`{size}` is out of range; write {example}");
                return Err(PolicyError::new(format!("effect.{key}"), problem));
            }
        }
        Ok(())
    }
}

impl Effect {
    /// Measures it in this.
    pub fn of_measure(measure: Measure) -> Self {
        Self {
            measure,
            ..Self::default()
        }
    }

    /// Sets from where on a rise, and down to where a fall, [counts](Effect::allowed_increase).
    pub fn with_allowed(mut self, increase: f64, decrease: f64) -> Self {
        self.allowed_increase = Some(increase);
        self.allowed_decrease = Some(decrease);
        self
    }

    /// Sets from where on the rise, and down to where the fall, of a critical metric makes the
    /// [whole score 0](Effect::critical_increase).
    pub fn with_critical(mut self, increase: f64, decrease: f64) -> Self {
        self.critical_increase = Some(increase);
        self.critical_decrease = Some(decrease);
        self
    }

    /// The effect that means: no effect.
    const fn none(&self) -> f64 {
        match self.measure {
            Measure::MeanRatio => 1.0,
            Measure::Cles => 0.5,
        }
    }

    pub(super) fn least_increase(&self) -> f64 {
        self.allowed_increase.unwrap_or_else(|| self.none())
    }

    pub(super) fn least_decrease(&self) -> f64 {
        self.allowed_decrease.unwrap_or_else(|| self.none())
    }

    /// Whether a shift of this size is one that a critical metric may not have.
    pub(super) fn is_critical(&self, rises: bool, size: Option<f64>) -> bool {
        size.is_none_or(|size| {
            if rises {
                size >= self.critical_increase.unwrap_or_else(|| self.none())
            } else {
                size <= self.critical_decrease.unwrap_or_else(|| self.none())
            }
        })
    }
}
