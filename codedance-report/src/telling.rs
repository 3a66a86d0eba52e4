//! One story as it is being told, event by event.

use codedance_core::decision::{Assessment, Metric, Policy, Quantity, Unit};
use codedance_core::metrics::{Reading, Sample, Signal, Window};
use codedance_core::rollout::{
    Action, Effect, Event, Happening, Input, Next, Outcome, Phase, Rejected, Report, Rollout,
};
use codedance_core::{Percent, Timestamp};

use crate::series::{MOST_POINTS, thin};
use crate::story::{
    Counts, Ending, Look, MetricLook, Point, ReplicaPoint, Series, Spoken, StageStory, Story,
    Tally, Told, Value, WeightPoint,
};

/// A story that is being told.
pub(crate) struct Telling {
    rollout: Rollout,
    story: Story,
    /// The metric whose counts are the requests.
    counted: Option<String>,
    /// The place of the stage that is looked at: on its way to the next stage the machine still looks at
    /// the one that was in force.
    in_force: usize,
    /// When the last thing happened.
    last: Timestamp,
}

/// What was read at a look.
#[derive(Default)]
struct Sight<'a> {
    window: Option<Window>,
    readings: &'a [Reading],
}

impl Telling {
    pub(crate) fn new(rollout: Rollout, at: Timestamp) -> Self {
        let plan = rollout.plan();
        let story = Story {
            workload: plan.workload().clone(),
            stable: plan.stable().clone(),
            canary: plan.canary().clone(),
            outcome: Ending::Unfinished,
            summary: String::new(),
            cause: None,
            began: at,
            ended: None,
            lasted: std::time::Duration::ZERO,
            promoting: None,
            rolling_back: None,
            planned: planned(&rollout),
            greatest_weight: Percent::ZERO,
            stages: Vec::new(),
            counts: None,
            metrics: Vec::new(),
            weight: Vec::new(),
            replicas: Vec::new(),
            events: Vec::new(),
        };
        let mut telling = Self {
            rollout,
            story,
            counted: None,
            in_force: 0,
            last: at,
        };
        telling.heed_policy();
        telling.note_weight(at, telling.rollout.weight());
        // A journal that was cut begins amid a stage.
        if telling.rollout.phase() != Phase::Pending
            && let Some(stage) = telling.rollout.stage()
        {
            telling.enter_stage(at, stage, telling.story.planned[stage]);
        }
        telling
    }

    /// Tells the machine, and notes what it makes of it.
    pub(crate) fn hear(
        &mut self,
        at: Timestamp,
        input: &Input,
        said: Option<&Assessment>,
        stories: &mut Vec<Story>,
    ) -> Result<(), Rejected> {
        let sight = match (input, self.rollout.next()) {
            (Input::Outcome(id, outcome), Next::Run(Effect { id: wanted, action }))
                if *id == wanted =>
            {
                Sight {
                    window: match action {
                        Action::Measure(measurement) => Some(measurement.window),
                        _ => None,
                    },
                    readings: match outcome {
                        Ok(Report::Measured { readings, .. }) => readings,
                        _ => &[],
                    },
                }
            }
            _ => Sight::default(),
        };
        let events = self.rollout.retell(at, input.clone(), said)?;
        let now = self.rollout.now();
        for event in events {
            if self.story.ended.is_some() {
                // The machine has gone on to the revision that superseded this one.
                let next = Self::new(self.rollout.clone(), event.at);
                stories.push(std::mem::replace(self, next).finish());
            }
            self.note(event, &sight);
        }
        if self.story.ended.is_none() {
            self.last = now;
            self.note_weight(now, self.rollout.weight());
        } else if !matches!(self.rollout.next(), Next::Finished(_)) {
            let next = Self::new(self.rollout.clone(), now);
            stories.push(std::mem::replace(self, next).finish());
        }
        Ok(())
    }

    fn note(&mut self, event: Event, sight: &Sight<'_>) {
        let at = event.at;
        self.last = at;
        let story = &mut self.story;
        match &event.what {
            Happening::StageEntered { stage, weight } => {
                self.enter_stage(at, *stage, *weight);
            }
            Happening::StageReached { .. } => {
                self.in_force = story.stages.len().saturating_sub(1);
                if let Some(stage) = story.stages.last_mut() {
                    stage.reached.get_or_insert(at);
                }
            }
            Happening::StageEarned { .. } => {
                if let Some(stage) = story.stages.last_mut() {
                    stage.earned.get_or_insert(at);
                }
                self.leave_stage(at);
            }
            Happening::FleetChanged(fleet) => story.replicas.push(ReplicaPoint {
                at,
                canary: fleet.of(&story.canary),
                stable: fleet.of(&story.stable),
            }),
            Happening::Routed { weight } => self.note_weight(at, *weight),
            Happening::Drifted { found, .. } => self.note_weight(at, *found),
            Happening::Assessed(assessment) => return self.note_look(at, assessment, sight),
            Happening::Amended { .. } => {
                story.planned = planned(&self.rollout);
                self.heed_policy();
            }
            Happening::PromotionStarted => story.promoting = Some(at),
            Happening::RollbackStarted(cause) => {
                story.cause = Some(Spoken::of(cause.clone()));
                story.rolling_back = Some(at);
                self.leave_stage(at);
            }
            Happening::Finished(outcome) => {
                story.outcome = match outcome {
                    Outcome::Completed => Ending::Completed,
                    Outcome::RolledBack(_) => Ending::RolledBack,
                    Outcome::Cancelled(_) => Ending::Cancelled,
                    // An end that a later core may add is none of the good ones known here.
                    _ => Ending::Failed,
                };
                story.summary = outcome.to_string();
                if let Outcome::RolledBack(cause) | Outcome::Cancelled(cause) = outcome {
                    story.cause = Some(Spoken::of(cause.clone()));
                }
                story.ended = Some(at);
                self.leave_stage(at);
            }
            _ => {}
        }
        self.story.events.push(Told {
            at,
            text: event.what.to_string(),
            data: event.what,
        });
    }

    fn enter_stage(&mut self, at: Timestamp, index: usize, weight: Percent) {
        self.leave_stage(at);
        self.story.stages.push(StageStory {
            index,
            weight,
            entered: at,
            reached: None,
            earned: None,
            left: None,
            looks: Vec::new(),
            counts: None,
        });
    }

    fn leave_stage(&mut self, at: Timestamp) {
        if let Some(stage) = self.story.stages.last_mut() {
            stage.left.get_or_insert(at);
        }
    }

    fn note_weight(&mut self, at: Timestamp, weight: Percent) {
        let story = &mut self.story;
        if story.weight.last().is_none_or(|last| last.weight != weight) {
            story.weight.push(WeightPoint { at, weight });
            story.greatest_weight = story.greatest_weight.max(weight);
        }
    }

    fn note_look(&mut self, at: Timestamp, assessment: &Assessment, sight: &Sight<'_>) {
        let seen_at = sight.window.map_or(at, |window| window.to);
        for series in &mut self.story.metrics {
            let reading = sight.readings.iter().find(|r| r.name == series.name);
            let metrics = self.rollout.policy().metrics();
            let signal = metrics.iter().find(|metric| metric.name() == series.name);
            let signal = signal.map(Metric::signal);
            let turned = series.unit == Unit::Share && series.floor.is_some();
            let value = |sample: fn(&Reading) -> &Sample| {
                reading.map_or_else(Value::default, |r| value(sample(r), signal, turned))
            };
            series.points.push(Point {
                at: seen_at,
                canary: value(|reading| &reading.canary),
                stable: value(|reading| &reading.stable),
            });
        }
        let metrics = self.story.metrics.iter().filter_map(|series| {
            let point = series.points.last()?;
            let judged = assessment.metrics.iter().find(|m| m.name == series.name);
            Some(MetricLook {
                name: series.name.clone(),
                outcome: judged.map(|judged| judged.outcome),
                score: judged.map(|judged| judged.score),
                canary: point.canary,
                stable: point.stable,
            })
        });
        let look = Look {
            at,
            window: sight.window,
            weight: self
                .story
                .weight
                .last()
                .map_or(Percent::ZERO, |last| last.weight),
            verdict: assessment.verdict,
            score: assessment.score,
            reasons: assessment.reasons.iter().cloned().map(Spoken::of).collect(),
            metrics: metrics.collect(),
        };
        let counted = sight
            .readings
            .iter()
            .find(|reading| self.counted.as_ref() == Some(&reading.name));
        if let Some(stage) = self.story.stages.get_mut(self.in_force) {
            stage.looks.push(look);
            if let Some(reading) = counted {
                count(stage.counts.get_or_insert_default(), reading);
                count(self.story.counts.get_or_insert_default(), reading);
            }
        }
    }

    /// Takes over what is measured, keeping what was measured before.
    fn heed_policy(&mut self) {
        let policy = self.rollout.policy();
        self.counted = counted(policy);
        for fresh in watched(policy) {
            match self.story.metrics.iter_mut().find(|s| s.name == fresh.name) {
                Some(known) => {
                    let points = std::mem::take(&mut known.points);
                    *known = Series { points, ..fresh };
                }
                None => self.story.metrics.push(fresh),
            }
        }
    }

    /// Whether the other stands at the same place.
    pub(crate) fn agrees_with(&self, other: &Rollout) -> bool {
        let place = |rollout: &Rollout| {
            (
                rollout.phase(),
                rollout.stage(),
                rollout.weight(),
                rollout.next(),
            )
        };
        self.rollout.plan() == other.plan() && place(&self.rollout) == place(other)
    }

    pub(crate) fn is_blank(&self) -> bool {
        self.story.events.is_empty()
    }

    pub(crate) fn finish(self) -> Story {
        let Self {
            rollout,
            mut story,
            last,
            ..
        } = self;
        if story.outcome == Ending::Unfinished {
            story.summary = rollout.explain().to_string();
        }
        story.lasted = story.ended.unwrap_or(last).since(story.began);
        for series in &mut story.metrics {
            let points = std::mem::take(&mut series.points);
            series.points = thin(points, MOST_POINTS, |p| [p.canary.value, p.stable.value]);
        }
        story.weight = thin(story.weight, MOST_POINTS, |point| {
            [Some(f64::from(point.weight.basis_points()))]
        });
        story.replicas = thin(story.replicas, MOST_POINTS, |point| {
            [
                Some(f64::from(point.canary.ready)),
                Some(f64::from(point.stable.ready)),
                Some(f64::from(point.canary.failed)),
            ]
        });
        story
    }
}

fn planned(rollout: &Rollout) -> Vec<Percent> {
    let stages = rollout.plan().stages();
    stages.iter().map(|stage| stage.weight).collect()
}

/// The metric whose counts are the requests and the bad ones among them.
fn counted(policy: &Policy) -> Option<String> {
    let named = |signal: &Signal| {
        let mut metrics = policy.metrics().iter();
        let found = metrics.find(|metric| metric.signal() == signal);
        found.map(|metric| metric.name().to_owned())
    };
    named(&Signal::ErrorRate).or_else(|| named(&Signal::SuccessRate))
}

/// A series without points for each metric of the policy.
fn watched(policy: &Policy) -> impl Iterator<Item = Series> {
    policy.metrics().iter().map(|metric| {
        let limits = metric.limits();
        let fail = limits.fail.map(Quantity::value);
        let below = limits.below.and_then(|floor| floor.fail);
        let (limit, floor) = match metric.signal() {
            Signal::SuccessRate => (None, fail),
            _ => (fail, below.map(Quantity::value)),
        };
        Series {
            name: metric.name().to_owned(),
            unit: Unit::of(metric.signal()),
            limit: limit.filter(|limit| limit.is_finite()),
            floor: floor.filter(|floor| floor.is_finite()),
            points: Vec::new(),
        }
    })
}

/// A sample of the signal as a value; `turned` makes of a share of bad ones that of the good ones.
fn value(sample: &Sample, signal: Option<&Signal>, turned: bool) -> Value {
    let (value, count) = match (sample, signal) {
        (&Sample::Counts { bad, total }, _) => {
            let rate = (total > 0).then(|| bad as f64 / total as f64);
            let rate = rate.map(|rate| if turned { 1.0 - rate } else { rate });
            (rate, Some(total))
        }
        (&Sample::Quantile { value, count }, _) => (Some(value), Some(count)),
        (Sample::Histogram(histogram), Some(Signal::Latency(quantile))) => {
            (histogram.quantile(*quantile), Some(histogram.total()))
        }
        (&Sample::Gauge(value), _) => (Some(value), None),
        _ => (None, None),
    };
    Value {
        value: value.filter(|value| value.is_finite()),
        count,
    }
}

fn count(counts: &mut Counts, reading: &Reading) {
    let add = |tally: &mut Tally, sample: &Sample| {
        if let &Sample::Counts { bad, total } = sample {
            tally.requests = tally.requests.saturating_add(total);
            tally.bad = tally.bad.saturating_add(bad);
        }
    };
    add(&mut counts.canary, &reading.canary);
    add(&mut counts.stable, &reading.stable);
}

#[cfg(test)]
mod tests {
    use codedance_core::metrics::{Histogram, Quantile};

    use super::*;

    #[test]
    fn a_histogram_is_told_as_the_quantile_that_is_watched() {
        let sample = Sample::Histogram(Histogram::new([0.5, 1.0], [4, 4, 0]).unwrap());
        let latency = |share| Signal::Latency(Quantile::new(share).unwrap());
        let told = |signal: &Signal| {
            let told = value(&sample, Some(signal), false);
            (told.value, told.count)
        };
        assert_eq!(told(&latency(0.25)), (Some(0.25), Some(8)));
        assert_eq!(told(&latency(0.75)), (Some(0.75), Some(8)));
        assert_eq!(told(&Signal::ErrorRate), (None, None));
    }
}
