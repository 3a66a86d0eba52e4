//! The readings in a rollout's own journal.

use std::collections::BTreeMap;
use std::time::Duration;

use codedance_core::Timestamp;
use codedance_core::decision::Assessment;
use codedance_core::journal::{Entry, Record};
use codedance_core::metrics::{History as Past, Reading, Sample, Window};
use codedance_core::rollout::{
    Action, Effect, Happening, Input, Measurement, Next, Rejected, Report, Rollout,
};

use super::{History, Interval, before};
use crate::error::HistoryError;

impl History {
    /// What a rollout's looks read, and the past that its first look was told, from its journal as
    /// [`Journal::load`](codedance_core::journal::Journal::load) returns it: of its last rollout, if it
    /// tells of several.
    ///
    /// The time that replicas and traffic took to move is left out, and with it the looks of that time:
    /// in a backtest nothing takes time to move. So the journal of a rollout, replayed by the same plan
    /// and policy, gives the verdicts that it gave, up to the first look that was taken while something
    /// moved: judges remember looks, and that one is not there. Commands, alerts and crashes are no
    /// readings either. And where whoever drove it was so late that a stage ended before a look that was
    /// due before its end, that look is taken now.
    ///
    /// # Errors
    /// When the journal holds no rollout from its beginning, or contradicts itself, and when it has no
    /// look.
    pub fn from_entries(entries: &[Entry]) -> Result<Self, HistoryError> {
        let mut hearing: Option<Hearing> = None;
        for entry in entries {
            let refused =
                |problem: &str| HistoryError::new(format!("entry {}", entry.sequence), problem);
            match (&entry.record, &mut hearing) {
                (Record::Began(plan, policy), hearing) => {
                    let rollout = Rollout::new((**plan).clone(), (**policy).clone(), entry.at);
                    *hearing = Some(Hearing::new(rollout, entry.at));
                }
                (Record::Told(input), Some(hearing)) => hearing
                    .hear(entry.at, input, entry.assessment.as_deref())
                    .map_err(|rejected| refused(&format!("cannot have happened: {rejected}")))?,
                (Record::Snapshot(_), Some(_)) => {}
                (Record::Told(_) | Record::Snapshot(_), None) => {
                    return Err(refused(
                        "belongs to a rollout whose beginning is missing; export the whole journal",
                    ));
                }
                _ => return Err(refused("is of an unknown kind: upgrade this version")),
            }
        }
        let heard = hearing.ok_or_else(|| HistoryError::new("", "the journal is empty"))?;
        heard.history()
    }
}

/// A rollout that is told again what it was told then.
struct Hearing {
    rollout: Rollout,
    began: Timestamp,
    /// How much time was left out so far.
    left_out: Duration,
    /// Since when it has waited for something else than its stage's time and metrics; `None` while it
    /// waits for those.
    away_since: Option<Timestamp>,
    /// When the stage has baked, and has been looked at last: the earliest point at which it can end.
    stage_done: Timestamp,
    history: History,
}

impl Hearing {
    fn new(rollout: Rollout, began: Timestamp) -> Self {
        let step = rollout.policy().interval();
        Self {
            rollout,
            began,
            left_out: Duration::ZERO,
            away_since: Some(began),
            stage_done: began,
            history: History {
                step,
                began: Some(began),
                ended: None,
                series: BTreeMap::new(),
                failures: BTreeMap::new(),
            },
        }
    }

    fn hear(
        &mut self,
        at: Timestamp,
        input: &Input,
        said: Option<&Assessment>,
    ) -> Result<(), Rejected> {
        if let (Input::Outcome(id, outcome), Next::Run(Effect { id: wanted, action })) =
            (input, self.rollout.next())
            && *id == wanted
            && let Action::Measure(Measurement { window, history }) = action
            && self.away_since.is_none_or(|since| window.to <= since)
        {
            self.stage_done = self.stage_done.max(window.to);
            match outcome {
                Ok(Report::Measured { readings, .. }) => self.note(window, history, readings),
                Ok(_) => {}
                Err(failure) => {
                    let end = self.shifted(window.to);
                    self.history.failures.insert(end, failure.clone());
                }
            }
        }
        for event in self.rollout.retell(at, input.clone(), said)? {
            match event.what {
                Happening::StageReached { stage } => {
                    if let Some(since) = self.away_since.take() {
                        self.left_out += event.at.since(since);
                    }
                    self.stage_done = event.at + self.rollout.plan().stages()[stage].bake;
                }
                // The driver and the source took a moment, too: that is left out with the rest.
                Happening::GateOpened { .. }
                | Happening::StageEarned { .. }
                | Happening::RollbackStarted(_) => {
                    let since = self.stage_done.min(event.at);
                    self.away_since.get_or_insert(since);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn note(&mut self, window: Window, past: Option<Past>, readings: &[Reading]) {
        let (begin, end) = (self.shifted(window.from), self.shifted(window.to));
        for reading in readings {
            let interval = Interval {
                canary: reading.canary.clone(),
                stable: reading.stable.clone(),
                newest: reading.at.map(|at| self.shifted(at)),
            };
            let series = self.history.series.entry(reading.name.clone());
            let series = series.or_default();
            series.insert(end, interval);
            let step = past.map_or(Duration::ZERO, |past| past.step);
            for (steps, sample) in (0_u32..).zip(reading.history.iter().rev()) {
                let at = before(begin, step * steps);
                // What a look saw of both sides is more than what a later look heard of the past.
                if *sample != Sample::NoData && at > Timestamp::EPOCH {
                    series.entry(at).or_insert_with(|| Interval {
                        stable: sample.clone(),
                        ..Interval::default()
                    });
                }
            }
        }
    }

    /// The point in time at which it would have been if nothing had taken time to move.
    fn shifted(&self, at: Timestamp) -> Timestamp {
        self.began + at.since(self.began).saturating_sub(self.left_out)
    }

    fn history(self) -> Result<History, HistoryError> {
        if self.history.series.is_empty() {
            return Err(HistoryError::new(
                "",
                "the journal has no look at the metrics in any stage",
            ));
        }
        let last = match self.away_since {
            Some(since) => since,
            None => self.stage_done.min(self.rollout.now()),
        };
        Ok(History {
            ended: Some(self.shifted(last)),
            ..self.history
        })
    }
}
