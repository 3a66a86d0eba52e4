//! The port of the judges, and what they return.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Evidence, Memory, Reason, ScoreRange};

/// Decides from evidence alone.
///
/// # Contract
/// - **Pure.** The same evidence gives the same assessment: no clock, no I/O, no randomness.
/// - **Total.** Any evidence is judged without a panic: NaN, infinities, no readings, a memory of
///   another shape.
/// - **Absence decides nothing.** What is missing leads neither to [`Verdict::Advance`] nor, by itself,
///   to [`Verdict::Rollback`]. (Judges that decide as other tools do take it as those do; each says how.)
/// - **Explained.** Every verdict but `Advance` carries at least one [`Reason`].
pub trait Judge: fmt::Debug + Send + Sync {
    /// The name by which a policy appoints it.
    fn name(&self) -> &str;

    /// Judges the evidence.
    fn assess(&self, evidence: &Evidence<'_>) -> Assessment;
}

/// What should happen. Ordered: the worst of several is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The evidence suffices and is good: the stage may end when its bake time has passed.
    Advance,
    /// Wait and look again.
    Hold,
    /// Go back to the stable revision.
    Rollback,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Advance => "advance",
            Self::Hold => "hold",
            Self::Rollback => "roll back",
        })
    }
}

/// What a judge made of the evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Assessment {
    /// What should happen.
    pub verdict: Verdict,
    /// How healthy the canary looks.
    pub score: ScoreRange,
    /// Why, the most important first; at least one unless the verdict is `Advance`.
    pub reasons: Vec<Reason>,
    /// What each metric contributed, in the policy's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricAssessment>,
    /// What the policy's [onlookers](super::Policy::onlookers) would have decided, in its order. It counts
    /// for nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub onlookers: Vec<Onlooker>,
    /// What to show this judge at the next look. It is written into the journal beside the assessment,
    /// and nowhere else: whoever listens to events has no use for it.
    #[serde(skip)]
    pub memory: Memory,
}

/// An assessment together with what the judge wants to remember.
pub(crate) mod with_memory {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Assessment, Memory};

    #[derive(Serialize)]
    struct Written<'a> {
        assessment: &'a Assessment,
        #[serde(skip_serializing_if = "Memory::is_empty")]
        memory: &'a Memory,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Read {
        assessment: Box<Assessment>,
        #[serde(default)]
        memory: Memory,
    }

    pub(crate) fn serialize<S: Serializer>(
        assessment: &Option<Box<Assessment>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let written = assessment.as_ref().map(|assessment| Written {
            assessment,
            memory: &assessment.memory,
        });
        written.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Box<Assessment>>, D::Error> {
        let read = Option::<Read>::deserialize(deserializer)?;
        Ok(read.map(|read| {
            let mut assessment = read.assessment;
            assessment.memory = read.memory;
            assessment
        }))
    }
}

impl Assessment {
    /// A verdict with its reasons, without a score or a memory.
    #[must_use]
    pub fn new(verdict: Verdict, reasons: Vec<Reason>) -> Self {
        Self {
            verdict,
            score: ScoreRange::UNKNOWN,
            reasons,
            metrics: Vec::new(),
            onlookers: Vec::new(),
            memory: Memory::default(),
        }
    }

    /// The same with a score.
    #[must_use]
    pub fn with_score(mut self, score: ScoreRange) -> Self {
        self.score = score;
        self
    }

    /// The same with what each metric contributed.
    #[must_use]
    pub fn with_metrics(mut self, metrics: Vec<MetricAssessment>) -> Self {
        self.metrics = metrics;
        self
    }

    /// The same with something to remember.
    #[must_use]
    pub fn with_memory(mut self, memory: Memory) -> Self {
        self.memory = memory;
        self
    }
}

/// What a judge that only looks on would have decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Onlooker {
    /// The judge's name: `kayenta`, `flagger`, `argo`, `thresholds`, `classic`, `rules`, or that of a
    /// judge of the user's own.
    pub judge: String,
    /// Its verdict.
    pub verdict: Verdict,
    /// How healthy the canary looks to it.
    pub score: ScoreRange,
    /// Why, the most important first; at least one unless the verdict is `Advance`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
}

/// What one metric contributed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct MetricAssessment {
    /// The metric's name in the policy.
    pub name: String,
    /// Its own score.
    pub score: ScoreRange,
    /// Whether it passed.
    pub outcome: MetricOutcome,
    /// The canary's value in the metric's unit (a share for rates, seconds for latencies), if there
    /// was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<f64>,
    /// The stable side's value, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<f64>,
}

impl MetricAssessment {
    /// A metric's contribution, without values.
    pub fn new(name: impl Into<String>, outcome: MetricOutcome, score: ScoreRange) -> Self {
        Self {
            name: name.into(),
            score,
            outcome,
            canary: None,
            stable: None,
        }
    }

    /// The same with the values of both sides; what is not finite is left out.
    #[must_use]
    pub fn with_values(mut self, canary: Option<f64>, stable: Option<f64>) -> Self {
        self.canary = canary.filter(|value| value.is_finite());
        self.stable = stable.filter(|value| value.is_finite());
        self
    }
}

/// Whether a metric passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricOutcome {
    /// Within its limits, on enough samples.
    Pass,
    /// Not enough to tell.
    Inconclusive,
    /// Nothing to tell from.
    Missing,
    /// Beyond its limits, on enough samples.
    Fail,
}
