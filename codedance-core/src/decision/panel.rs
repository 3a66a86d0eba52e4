//! Several judges as one.

use std::sync::Arc;

use super::{
    Assessment, Evidence, Judge, Memory, MetricAssessment, Onlooker, Reason, Score, ScoreRange,
    Verdict,
};

/// All the judges that a policy appoints; the worst verdict counts.
///
/// Its score is the lowest of theirs, end by end. Its reasons are those of every judge that does not
/// advance, the worst verdict's first. Of a metric that several have judged, the worst outcome
/// counts. Its memory is a list of theirs, those of the onlookers last. Without any judge there is
/// nothing to object to: it advances, with the best score.
#[derive(Clone, Debug)]
pub(super) struct Panel {
    judges: Vec<Arc<dyn Judge>>,
    onlookers: Vec<Arc<dyn Judge>>,
}

impl Panel {
    pub(super) const fn new(judges: Vec<Arc<dyn Judge>>, onlookers: Vec<Arc<dyn Judge>>) -> Self {
        Self { judges, onlookers }
    }
}

impl Judge for Panel {
    fn name(&self) -> &str {
        "panel"
    }

    fn assess(&self, evidence: &Evidence<'_>) -> Assessment {
        let everybody = self.judges.iter().chain(&self.onlookers);
        let mut memories = Vec::with_capacity(self.judges.len() + self.onlookers.len());
        let mut assessments: Vec<Assessment> = everybody
            .enumerate()
            .map(|(index, judge)| {
                let memory = evidence.memory.part(index);
                let mut evidence = *evidence;
                evidence.memory = &memory;
                let mut assessment = judge.assess(&evidence);
                memories.push(std::mem::take(&mut assessment.memory));
                assessment
            })
            .collect();
        let looked_on = assessments.split_off(self.judges.len());
        // The sort is stable: judges of the same verdict stay in the policy's order.
        assessments.sort_by_key(|assessment| std::cmp::Reverse(assessment.verdict));
        let mut all = Assessment::new(Verdict::Advance, Vec::new())
            .with_score(ScoreRange::exactly(Score::BEST));
        for assessment in assessments {
            all.verdict = all.verdict.max(assessment.verdict);
            all.score.low = all.score.low.min(assessment.score.low);
            all.score.high = all.score.high.min(assessment.score.high);
            all.reasons.extend(assessment.reasons);
            for metric in assessment.metrics {
                merge(&mut all.metrics, metric);
            }
        }
        let named = self.onlookers.iter().zip(looked_on);
        all.onlookers = named
            .map(|(judge, assessment)| Onlooker {
                judge: judge.name().to_owned(),
                verdict: assessment.verdict,
                score: assessment.score,
                reasons: assessment.reasons,
            })
            .collect();
        all.with_memory(Memory::join(memories))
    }
}

fn merge(metrics: &mut Vec<MetricAssessment>, metric: MetricAssessment) {
    match metrics.iter_mut().find(|known| known.name == metric.name) {
        Some(known) if known.outcome < metric.outcome => *known = metric,
        Some(_) => {}
        None => metrics.push(metric),
    }
}

/// Holds the place of a judge of the user's own that this process does not have.
#[derive(Clone, Debug)]
pub(super) struct Absent {
    name: String,
}

impl Absent {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
        }
    }
}

impl Judge for Absent {
    fn name(&self) -> &str {
        &self.name
    }

    /// Holds. What it would have remembered is kept for when it is back.
    fn assess(&self, evidence: &Evidence<'_>) -> Assessment {
        let reason = Reason::UnknownJudge {
            name: self.name.clone(),
        };
        Assessment::new(Verdict::Hold, vec![reason]).with_memory(evidence.memory.clone())
    }
}
