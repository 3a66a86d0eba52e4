//! The machine, driven through recorded time.

use std::sync::Arc;
use std::time::Duration;

use codedance_core::decision::{Judge, Policy};
use codedance_core::error::Failure;
use codedance_core::journal::{Entry, Record};
use codedance_core::metrics::{Reading, Sample, Signal, Window};
use codedance_core::plan::{Gate, Plan};
use codedance_core::rollout::{
    Action, Alert, Command, Event, Happening, Input, Next, Outcome, Report, Rollout, Signalled,
    Waiting,
};
use codedance_core::{Percent, Timestamp};

use crate::error::BacktestError;
use crate::history::{History, Side};
use crate::outcome::{Backtest, Ending, Look, Requests, StageRun};
use crate::world::ObedientWorld;

/// How a rollout by this plan and this policy would have gone; [`Backtester`] has the options.
///
/// # Errors
/// When the policy cannot be replayed against this recording.
pub fn backtest(policy: Policy, plan: Plan, history: &History) -> Result<Backtest, BacktestError> {
    Backtester::new(policy, plan).run(history)
}

/// Replays a policy and a plan against recordings.
#[derive(Clone, Debug)]
#[must_use]
pub struct Backtester {
    policy: Policy,
    plan: Plan,
    start: Option<Timestamp>,
    judges: Vec<Arc<dyn Judge>>,
}

impl Backtester {
    /// This policy and this plan, from the recording's [`default_start`](History::default_start) on.
    pub const fn new(policy: Policy, plan: Plan) -> Self {
        Self {
            policy,
            plan,
            start: None,
            judges: Vec::new(),
        }
    }

    /// The same from another point in time on, within the recording.
    pub const fn with_start(mut self, start: Timestamp) -> Self {
        self.start = Some(start);
        self
    }

    /// The same with judges of your own, which the policy can appoint by their names.
    pub fn with_judges(mut self, judges: impl IntoIterator<Item = Arc<dyn Judge>>) -> Self {
        self.judges = judges.into_iter().collect();
        self
    }

    /// How the rollout would have gone.
    ///
    /// # Errors
    /// When a metric that the policy requires was not recorded, or as something else than its signal
    /// needs; when the policy looks more often than the recording has samples; when the start lies outside
    /// of the recording.
    pub fn run(&self, history: &History) -> Result<Backtest, BacktestError> {
        let start = self.check(history)?;
        let rollout = Rollout::new(self.plan.clone(), self.policy.clone(), start)
            .with_judges(self.judges.iter().cloned());
        let mut run = Run {
            world: ObedientWorld::new(&self.plan, &self.policy, history),
            rollout,
            now: start,
            end: history.span().to,
            journal: Vec::new(),
            stages: Vec::new(),
            looks: Vec::new(),
            decided: None,
            back: None,
        };
        let plan = Box::new(self.plan.clone());
        run.write(Record::Began(plan, Box::new(self.policy.clone())), &[]);
        let ending = run.drive();
        let decided = run.decided.unwrap_or(run.now);
        let spent = |side| self.requests(history, side, Window::new(start, decided));
        Ok(Backtest {
            began: start,
            decided,
            ending,
            canary: spent(Side::Canary),
            stable: spent(Side::Stable),
            stages: run.stages,
            looks: run.looks,
            journal: run.journal,
        })
    }

    /// Whether the recording has what the policy needs, and where to start.
    fn check(&self, history: &History) -> Result<Timestamp, BacktestError> {
        for metric in self.policy.metrics() {
            let name = metric.name();
            match history.example(name) {
                Some(sample) => check_shape(name, metric.signal(), sample)?,
                None if metric.is_required() && !history.metrics().any(|known| known == name) => {
                    return Err(BacktestError::NotRecorded {
                        metric: name.to_owned(),
                        recorded: history.metrics().map(str::to_owned).collect(),
                    });
                }
                None => {}
            }
        }
        let (interval, step) = (self.policy.interval(), history.step());
        if interval < step {
            return Err(BacktestError::TooCoarse { interval, step });
        }
        let span = history.span();
        let start = self.start.unwrap_or_else(|| history.default_start());
        if !(span.from..span.to).contains(&start) {
            return Err(BacktestError::StartOutside {
                start,
                from: span.from,
                to: span.to,
            });
        }
        Ok(start)
    }

    /// The requests of one side, as far as the policy watches a rate.
    fn requests(&self, history: &History, side: Side, window: Window) -> Option<Requests> {
        let of = |signal: Signal| {
            let mut metrics = self.policy.metrics().iter();
            metrics.find(|metric| *metric.signal() == signal)
        };
        let metric = of(Signal::ErrorRate).or_else(|| of(Signal::SuccessRate))?;
        let mut requests = Requests::default();
        for sample in history.samples(metric.name(), side, window) {
            if let Sample::Counts { bad, total } = sample {
                requests.total = requests.total.saturating_add(*total);
                requests.bad = requests.bad.saturating_add(*bad);
            }
        }
        Some(requests)
    }
}

fn check_shape(metric: &str, signal: &Signal, sample: &Sample) -> Result<(), BacktestError> {
    let fits = match signal {
        Signal::ErrorRate | Signal::SuccessRate => matches!(sample, Sample::Counts { .. }),
        Signal::Latency(_) => matches!(sample, Sample::Quantile { .. } | Sample::Histogram(_)),
        Signal::Query(_) => matches!(sample, Sample::Gauge(_)),
        // A signal that a later core may add is for its judge to read.
        _ => true,
    };
    if fits {
        return Ok(());
    }
    Err(BacktestError::OtherShape {
        metric: metric.to_owned(),
        expected: match signal {
            Signal::ErrorRate | Signal::SuccessRate => "`bad` and `total`",
            Signal::Latency(_) => "`value` and `count`, or `le:…`",
            _ => "`value` alone",
        },
        found: match sample {
            Sample::Counts { .. } => "`bad` and `total`",
            Sample::Quantile { .. } => "`value` and `count`",
            Sample::Histogram(_) => "`le:…`",
            Sample::Gauge(_) => "`value` alone",
            _ => "something else",
        },
    })
}

/// A rollout under way.
struct Run<'a> {
    world: ObedientWorld<'a>,
    rollout: Rollout,
    now: Timestamp,
    /// Where the recording ends.
    end: Timestamp,
    journal: Vec<Entry>,
    stages: Vec<StageRun>,
    looks: Vec<Look>,
    /// When the promotion or the way back began.
    decided: Option<Timestamp>,
    /// From where it goes back, and why.
    back: Option<Ending>,
}

impl Run<'_> {
    fn drive(&mut self) -> Ending {
        loop {
            let rejected = match self.rollout.next() {
                Next::Run(effect) => {
                    let outcome = self.world.carry_out(&effect.action);
                    let sight = Sight::of(&effect.action, &outcome);
                    self.tell(Input::Outcome(effect.id, outcome), sight)
                }
                Next::WaitUntil(at) => self.wait_until(at),
                Next::AwaitCommand { gate, until } => {
                    match (self.rollout.explain().waiting_for, gate, until) {
                        (Waiting::Gate(_), Some(Gate::Operator), _) => {
                            self.tell(Input::Command(Command::Promote), None)
                        }
                        (Waiting::Gate(_), Some(Gate::Approval { name, .. }), _) => {
                            let yes = Alert::new(name, Signalled::Approved);
                            self.tell(Input::Alert(yes), None)
                        }
                        (_, _, Some(at)) => self.wait_until(at),
                        (_, _, None) => Err(Stop),
                    }
                }
                Next::Finished(outcome) => return self.finished(outcome),
            };
            if rejected.is_err() {
                return self.unfinished();
            }
        }
    }

    fn wait_until(&mut self, at: Timestamp) -> Result<(), Stop> {
        // What was decided is carried out, though nothing is recorded of that time.
        if at > self.end && self.decided.is_none() {
            self.now = self.end;
            return Err(Stop);
        }
        self.now = self.now.max(at);
        self.tell(Input::Tick, None)
    }

    fn tell(&mut self, input: Input, sight: Option<Sight>) -> Result<(), Stop> {
        let weight = self.rollout.weight();
        let events = self
            .rollout
            .step(self.now, input.clone())
            .map_err(|_| Stop)?;
        self.write(Record::Told(input), &events);
        for event in events {
            self.note(event, weight, sight.as_ref());
        }
        Ok(())
    }

    fn note(&mut self, event: Event, weight: Percent, sight: Option<&Sight>) {
        match event.what {
            Happening::Assessed(assessment) => self.looks.extend(sight.map(|sight| Look {
                window: sight.window,
                stage: self.stages.last().map_or(0, |stage| stage.index),
                weight,
                readings: sight.readings.clone(),
                assessment,
            })),
            Happening::StageReached { stage } => self.stages.push(StageRun {
                index: stage,
                weight: self.rollout.plan().stages()[stage].weight,
                reached: event.at,
                earned: None,
                held: Duration::ZERO,
            }),
            Happening::StageEarned { .. } => {
                self.leave_stage(event.at);
                if let Some(stage) = self.stages.last_mut() {
                    stage.earned = Some(event.at);
                }
            }
            Happening::PromotionStarted => self.decided = Some(event.at),
            Happening::RollbackStarted(cause) => {
                self.leave_stage(event.at);
                let stage = self.stages.last().map_or(0, |stage| stage.index);
                self.decided = Some(event.at);
                self.back = Some(Ending::RolledBack {
                    stage,
                    weight,
                    cause,
                });
            }
            _ => {}
        }
    }

    /// Notes how long the stage was held beyond its time.
    fn leave_stage(&mut self, at: Timestamp) {
        if let Some(stage) = self.stages.last_mut() {
            let bake = self.rollout.plan().stages()[stage.index].bake;
            stage.held = at.since(stage.reached + bake);
        }
    }

    fn write(&mut self, record: Record, events: &[Event]) {
        let sequence = self.journal.len() as u64;
        self.journal
            .push(Entry::new(sequence, self.now, record).with_events(events));
    }

    fn finished(&mut self, outcome: Outcome) -> Ending {
        match (outcome, self.back.take()) {
            (Outcome::Completed, _) => Ending::Promoted,
            (Outcome::RolledBack(_) | Outcome::Cancelled(_), Some(back)) => back,
            (other, _) => Ending::Other(other),
        }
    }

    fn unfinished(&mut self) -> Ending {
        let weight = self.rollout.weight();
        self.leave_stage(self.now);
        let Some(last) = self.stages.last() else {
            return Ending::RecordingEnded { stage: 0, weight };
        };
        let stage = last.index;
        match self.rollout.explain().waiting_for {
            Waiting::Evidence(reasons) => Ending::Held {
                stage,
                weight,
                since: last.reached + self.rollout.plan().stages()[stage].bake,
                reasons,
            },
            _ => Ending::RecordingEnded { stage, weight },
        }
    }
}

/// What was read at a look.
struct Sight {
    window: Window,
    readings: Vec<Reading>,
}

impl Sight {
    fn of(action: &Action, outcome: &Result<Report, Failure>) -> Option<Self> {
        match (action, outcome) {
            (Action::Measure(look), Ok(Report::Measured { readings, .. })) => Some(Self {
                window: look.window,
                readings: readings.clone(),
            }),
            (Action::Measure(look), _) => Some(Self {
                window: look.window,
                readings: Vec::new(),
            }),
            _ => None,
        }
    }
}

/// The recording has ended, or nothing would ever happen again.
struct Stop;
