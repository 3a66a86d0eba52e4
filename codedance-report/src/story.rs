//! What happened in a rollout, as plain data.

use std::fmt;
use std::time::Duration;

use codedance_core::decision::{MetricOutcome, Reason, ScoreRange, Unit, Verdict};
use codedance_core::journal::Entry;
use codedance_core::metrics::Window;
use codedance_core::rollout::{Cause, Happening};
use codedance_core::time;
use codedance_core::workload::{GroupStatus, Revision, WorkloadName};
use codedance_core::{Percent, Timestamp};
use serde::Serialize;

use crate::replay::{self, StoryError};

/// What happened in one rollout, from its journal alone.
///
/// Written as JSON, every field bears the name it has here. Points in time are RFC 3339 in UTC, lengths
/// are text with units (`1m 5s`), shares of traffic are percent, rates are shares from 0 to 1, latencies
/// are seconds. A field that is not known is `null`, never left out.
///
/// ```
/// # fn journal() -> Vec<codedance_core::journal::Entry> {
/// #     use codedance_core::plan::{Linear, Strategy};
/// #     use codedance_core::{Timestamp, decision, journal, workload};
/// #     let name = |text| workload::Revision::new(text).unwrap();
/// #     let shop = workload::WorkloadName::new("shop").unwrap();
/// #     let workload = workload::Workload::new(shop, name("v1"), name("v2"), 3);
/// #     let plan = Box::new(Linear::default().plan(&workload).unwrap());
/// #     let began = journal::Record::Began(plan, Box::new(decision::Policy::default()));
/// #     vec![journal::Entry::new(0, Timestamp::EPOCH, began)]
/// # }
/// use codedance_report::{Ending, Story};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let entries = journal(); // from `Journal::load`
/// let story = Story::from_entries(&entries)?;
/// assert_eq!(story.outcome, Ending::Unfinished);
/// std::fs::write(std::env::temp_dir().join("story.json"), serde_json::to_string(&story)?)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Story {
    /// What was rolled out.
    pub workload: WorkloadName,
    /// The revision that was in service.
    pub stable: Revision,
    /// The revision that was coming.
    pub canary: Revision,
    /// How it ended.
    pub outcome: Ending,
    /// How it ended, or what it waits for, as one English sentence without a full stop.
    pub summary: String,
    /// Why it went back; `None` if it did not.
    pub cause: Option<Spoken<Cause>>,
    /// When it began.
    pub began: Timestamp,
    /// When it ended; `None` if the journal does not tell of an end.
    pub ended: Option<Timestamp>,
    /// From its beginning to its end, or to the journal's last entry.
    #[serde(with = "time::duration")]
    pub lasted: Duration,
    /// When every stage was passed and the promotion began.
    pub promoting: Option<Timestamp>,
    /// When it turned back.
    pub rolling_back: Option<Timestamp>,
    /// The canary's share in each stage of the plan, in order, whether it came so far or not; of the
    /// edited plan, if it was edited.
    pub planned: Vec<Percent>,
    /// The greatest share of the traffic that the canary had.
    pub greatest_weight: Percent,
    /// The stages that were entered, in order of time. A stage that was entered twice, because the plan
    /// was edited, is here twice.
    pub stages: Vec<StageStory>,
    /// The requests that the looks counted, of all stages together.
    pub counts: Option<Counts>,
    /// What was measured, in the policy's order.
    pub metrics: Vec<Series>,
    /// The canary's share of the traffic: each point holds until the next, the last until the end.
    pub weight: Vec<WeightPoint>,
    /// The replicas of both revisions: each point holds until the next, the last until the end.
    pub replicas: Vec<ReplicaPoint>,
    /// Everything that happened, in order, but the looks: those lie in the stages.
    pub events: Vec<Told>,
}

impl Story {
    /// Tells the last rollout of a journal, as [`Journal::load`](codedance_core::journal::Journal::load)
    /// returns it.
    ///
    /// # Errors
    /// When the journal holds no rollout, has a gap, is of an unknown format, or contradicts itself.
    pub fn from_entries(entries: &[Entry]) -> Result<Self, StoryError> {
        Self::all(entries)?.pop().ok_or(StoryError::Empty)
    }

    /// Tells every rollout of a journal, in order of time: one that was superseded by a newer revision is
    /// followed by that one's. Empty if there are no entries.
    ///
    /// # Errors
    /// When the journal has a gap, is of an unknown format, or contradicts itself.
    pub fn all(entries: &[Entry]) -> Result<Vec<Self>, StoryError> {
        replay::stories(entries)
    }

    /// Every look, in order of time, each with the stage that it was taken in.
    pub fn looks(&self) -> impl Iterator<Item = (&StageStory, &Look)> {
        self.stages
            .iter()
            .flat_map(|stage| stage.looks.iter().map(move |look| (stage, look)))
    }

    /// The values of the metric of that name are in this unit.
    pub(crate) fn unit(&self, metric: &str) -> Unit {
        let series = self.metrics.iter().find(|series| series.name == metric);
        series.map_or(Unit::Plain, |series| series.unit)
    }

    /// How many of the planned stages were passed.
    #[must_use]
    pub fn earned(&self) -> usize {
        let earned = |index: &usize| {
            let mut latest = self.stages.iter().rev();
            let latest = latest.find(|stage| stage.index == *index);
            latest.is_some_and(|stage| stage.earned.is_some())
        };
        (0..self.planned.len()).filter(earned).count()
    }

    /// When the journal's story stops: the end, or the last entry.
    pub(crate) fn until(&self) -> Timestamp {
        self.began + self.lasted
    }
}

/// How a rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ending {
    /// The canary is the stable revision.
    Completed,
    /// The stable revision has everything again.
    RolledBack,
    /// Called off, not for any fault of the canary.
    Cancelled,
    /// It could neither go on nor back.
    Failed,
    /// The journal does not tell of an end.
    Unfinished,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Completed => "completed",
            Self::RolledBack => "rolled back",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Unfinished => "unfinished",
        })
    }
}

/// Data of the core's beside what they say in English.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spoken<T> {
    /// An English sentence without a full stop.
    pub text: String,
    /// The same as data, in the core's own format.
    pub data: T,
}

impl<T: fmt::Display> Spoken<T> {
    pub(crate) fn of(data: T) -> Self {
        Self {
            text: data.to_string(),
            data,
        }
    }
}

/// One stage, as it went.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct StageStory {
    /// Its index in the plan, from 0.
    pub index: usize,
    /// The canary's share in it.
    pub weight: Percent,
    /// When it became the goal.
    pub entered: Timestamp,
    /// When its capacity and its traffic were in force.
    pub reached: Option<Timestamp>,
    /// When it was passed.
    pub earned: Option<Timestamp>,
    /// When it was left, passed or not.
    pub left: Option<Timestamp>,
    /// The looks at the metrics while it was in force: until the next stage was reached, or it went back,
    /// or the promotion was done.
    pub looks: Vec<Look>,
    /// The requests that its looks counted.
    pub counts: Option<Counts>,
}

/// The requests of both sides, as far as a look counted them: the error rate's if the policy has one,
/// else the success rate's. What passed between two stages, while nobody looked, is not in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Counts {
    /// Those that the canary got.
    pub canary: Tally,
    /// Those that the stable revision got.
    pub stable: Tally,
}

/// Requests, and how many of them ended badly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Tally {
    /// All of them.
    pub requests: u64,
    /// Those that ended badly.
    pub bad: u64,
}

impl Tally {
    /// The bad ones' share; `None` of nothing.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        (self.requests > 0).then(|| self.bad as f64 / self.requests as f64)
    }
}

/// One look at the metrics, and what was decided.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Look {
    /// When it was judged.
    pub at: Timestamp,
    /// What it looked at; `None` if the journal does not tell.
    pub window: Option<Window>,
    /// The canary's share of the traffic then.
    pub weight: Percent,
    /// What was decided.
    pub verdict: Verdict,
    /// How healthy the canary looked.
    pub score: ScoreRange,
    /// Why, the most important first.
    pub reasons: Vec<Spoken<Reason>>,
    /// What was read and how it was judged, in the policy's order.
    pub metrics: Vec<MetricLook>,
}

/// One metric at one look.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MetricLook {
    /// Its name in the policy.
    pub name: String,
    /// Whether it passed; `None` if the judge does not say.
    pub outcome: Option<MetricOutcome>,
    /// Its own score; `None` if the judge does not say.
    pub score: Option<ScoreRange>,
    /// The canary's side.
    pub canary: Value,
    /// The stable side.
    pub stable: Value,
}

/// What was read of one side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Value {
    /// The value in the metric's unit, always finite; `None`: there was nothing to read.
    pub value: Option<f64>,
    /// Over how many requests; `None` where that is not known.
    pub count: Option<u64>,
}

/// One metric over time.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Series {
    /// Its name in the policy.
    pub name: String,
    /// What its values are.
    pub unit: Unit,
    /// Above it the metric has failed; `None` if it has no such limit.
    pub limit: Option<f64>,
    /// Below it the metric has failed; `None` if it has no such limit.
    pub floor: Option<f64>,
    /// One for each look, in order of time. Above 3 000, the least and greatest of each stretch.
    pub points: Vec<Point>,
}

/// A metric at the end of one look's window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Point {
    /// When the window ended.
    pub at: Timestamp,
    /// The canary's side.
    pub canary: Value,
    /// The stable side.
    pub stable: Value,
}

/// The canary's share from a point in time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct WeightPoint {
    /// From when.
    pub at: Timestamp,
    /// The share, as read back from the router.
    pub weight: Percent,
}

/// The replicas from a point in time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ReplicaPoint {
    /// From when.
    pub at: Timestamp,
    /// The canary's.
    pub canary: GroupStatus,
    /// The stable revision's.
    pub stable: GroupStatus,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Told {
    /// When.
    pub at: Timestamp,
    /// An English sentence without a full stop.
    pub text: String,
    /// The same as data, in the core's own format.
    pub data: Happening,
}
