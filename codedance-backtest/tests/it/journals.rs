//! A rollout's own journal as a recording.

use std::time::Duration;

use codedance_backtest::{Ending, History, backtest};
use codedance_core::Timestamp;
use codedance_core::decision::{
    Assessment, JudgeConfig, MetricAssessment, Reason, ScoreRange, ThresholdsConfig, Verdict,
};
use codedance_core::error::{ErrorKind, Failure};
use codedance_core::journal::{Entry, Record};
use codedance_core::metrics::{Reading, Sample};
use codedance_core::plan::Plan;
use codedance_core::rollout::{
    Action, Cause, Effect, Event, Happening, Input, Next, Observation, Outcome, Report, Rollout,
};
use codedance_core::traffic::Split;
use codedance_core::workload::{FleetStatus, GroupStatus, Progress};
use proptest::prelude::{prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use crate::world::{STEP, counts, draft, policy};

/// What a look decides and from what. Reasons may count looks that there were only because moving took
/// time.
type Decided = (Verdict, ScoreRange, Vec<MetricAssessment>);

fn decided(assessment: &Assessment) -> Decided {
    let metrics = assessment.metrics.clone();
    (assessment.verdict, assessment.score, metrics)
}

/// A rollout in a world that takes its time.
struct Recorder {
    rollout: Rollout,
    now: Timestamp,
    entries: Vec<Entry>,
    /// What each look decides, but those that there were only because moving took time.
    decided: Vec<Decided>,
    at_stage: bool,
    /// How many looks had been taken at stages when one was taken while something moved: judges remember
    /// it, and a backtest does not know it.
    until_moving: Option<usize>,
    /// Whether a look at a stage sent it back, and not its deadline, which counts the time of moves.
    judged: bool,
    /// When the stage could end at the earliest: it has baked, and the last look was over.
    done: Timestamp,
}

impl Recorder {
    fn write(&mut self, record: Record, events: &[Event]) {
        let sequence = self.entries.len() as u64;
        self.entries
            .push(Entry::new(sequence, self.now, record).with_events(events));
    }

    fn tell(&mut self, input: Input) {
        let looked = match self.rollout.next() {
            Next::Run(Effect {
                action: Action::Measure(look),
                ..
            }) => look.window.to,
            _ => self.done,
        };
        let events = self.rollout.step(self.now, input.clone()).unwrap();
        self.write(Record::Told(input), &events);
        for event in events {
            self.note(event, looked);
        }
    }

    fn note(&mut self, event: Event, looked: Timestamp) {
        match event.what {
            Happening::StageReached { stage } => {
                self.at_stage = true;
                self.done = event.at + self.rollout.plan().stages()[stage].bake;
            }
            Happening::StageEarned { .. } => self.at_stage = false,
            Happening::RollbackStarted(cause) => {
                self.judged = self.at_stage && matches!(cause, Cause::Judged(_));
                self.at_stage = false;
            }
            Happening::Assessed(assessment) if self.at_stage || looked <= self.done => {
                self.done = self.done.max(looked);
                self.decided.push(decided(&assessment));
            }
            Happening::Assessed(_) => {
                self.until_moving.get_or_insert(self.decided.len());
            }
            _ => {}
        }
    }
}

/// Rolls out: the looks read these errors of 100 requests in turn, where `None` is a failure of the source,
/// and whatever is done or waited for takes so many milliseconds longer.
fn rolled_out(plan: &Plan, errors: &[Option<u64>], delays: &[u64]) -> (Recorder, Outcome) {
    let began = Timestamp::from_millis(1_795_255_200_000);
    let policy = quick();
    let mut recorder = Recorder {
        rollout: Rollout::new(plan.clone(), policy.clone(), began),
        now: began,
        entries: Vec::new(),
        decided: Vec::new(),
        at_stage: false,
        until_moving: None,
        judged: false,
        done: began,
    };
    recorder.write(Record::Began(Box::new(plan.clone()), Box::new(policy)), &[]);
    let (stable, canary) = (plan.stable().clone(), plan.canary().clone());
    let ready = |count| GroupStatus::new(count, count);
    let mut fleet = FleetStatus::new().with(stable.clone(), ready(10));
    let mut split = Split::all(stable);
    let mut errors = errors.iter().cycle();
    let mut delays = delays.iter().cycle();
    let outcome = loop {
        let delay = Duration::from_millis(*delays.next().unwrap());
        let seen = Observation::new(fleet.clone(), split.clone());
        match recorder.rollout.next() {
            Next::Run(effect) => {
                recorder.now = recorder.now + delay;
                let outcome = match effect.action {
                    Action::Observe => Ok(Report::Observed(seen)),
                    Action::Scale(wanted) => {
                        for group in [wanted.stable, wanted.canary] {
                            let count = ready(group.replicas.unwrap());
                            fleet = fleet.with(group.revision, count);
                        }
                        Ok(Report::Observed(fleet.clone().into()))
                    }
                    Action::Route(wanted) => {
                        split = wanted.clone();
                        let propagation = Duration::from_secs(2);
                        Ok(Report::Routed {
                            split: wanted,
                            propagation,
                        })
                    }
                    Action::Measure(look) => match errors.next().unwrap() {
                        Some(bad) => {
                            let (canary, stable) = (counts(*bad, 100), counts(0, 900));
                            let reading = Reading::new("errors", canary, stable);
                            let past = look.history.map_or_else(Vec::new, |_| past());
                            Ok(Report::Measured {
                                readings: vec![reading.with_history(past)],
                                observation: seen,
                            })
                        }
                        None => Err(Failure::new(ErrorKind::Unavailable, "no answer")),
                    },
                    Action::Promote(_) => Ok(Report::Promoted(Progress::Done)),
                    Action::Retire(_) => {
                        fleet = fleet.with(canary.clone(), ready(0));
                        Ok(Report::Retired(Progress::Done))
                    }
                };
                recorder.tell(Input::Outcome(effect.id, outcome));
            }
            Next::WaitUntil(at) => {
                recorder.now = recorder.now.max(at) + delay;
                recorder.tell(Input::Tick);
            }
            Next::AwaitCommand { .. } => panic!("{}", recorder.rollout.explain()),
            Next::Finished(outcome) => break outcome,
        }
    };
    (recorder, outcome)
}

/// What the first look is told of the stable revision: of two intervals nothing, of the others something.
fn past() -> Vec<Sample> {
    let sample = |interval| match interval {
        0 | 7 => Sample::NoData,
        interval => counts(interval, 1_000),
    };
    (0..60).map(sample).collect()
}

/// Two good looks advance, and a stage that cannot tell for long goes back.
fn quick() -> codedance_core::decision::Policy {
    let thresholds = ThresholdsConfig::default().with_good_in_row(2);
    let policy = policy().with_judge(JudgeConfig::Thresholds(thresholds));
    policy.build().unwrap()
}

fn three_stages(bakes: [u64; 3]) -> Plan {
    let mut draft = draft(0);
    let mut middle = draft.stages[0].clone();
    middle.weight = codedance_core::Percent::new(50).unwrap();
    middle.canary = 5;
    draft.stages.insert(1, middle);
    for (stage, bake) in draft.stages.iter_mut().zip(bakes) {
        stage.bake = Duration::from_secs(bake);
    }
    // Looks that can never tell end it, in the world and in the backtest alike.
    draft.deadline = Some(STEP * 60);
    draft.try_into().unwrap()
}

#[test]
fn what_took_time_is_left_out() {
    let plan = three_stages([60, 90, 100]);
    let (recorded, outcome) = rolled_out(&plan, &[Some(0)], &[7_001]);
    assert_eq!(outcome, Outcome::Completed);
    let history = History::from_entries(&recorded.entries).unwrap();
    let gone = backtest(quick(), plan, &history).unwrap();
    assert_eq!(gone.ending, Ending::Promoted);
    assert_eq!(gone.lasted(), Duration::from_secs(60 + 90 + 100));
    assert!(gone.lasted() < recorded.now.since(gone.began));
    assert_eq!(gone.began, recorded.entries[0].at);
    assert_eq!(gone.looks[0].readings[0].history, past());
    assert!(gone.looks[1].readings[0].history.is_empty());
}

#[test]
fn where_the_source_failed_it_fails_again() {
    let plan = three_stages([120, 60, 60]);
    let (recorded, _) = rolled_out(&plan, &[Some(0), None, Some(1), Some(0)], &[900]);
    let history = History::from_entries(&recorded.entries).unwrap();
    let gone = backtest(quick(), plan, &history).unwrap();
    let failed = |look: &codedance_backtest::Look| {
        let reason = look.assessment.reasons.first();
        matches!(reason, Some(Reason::SourceFailed { .. })) && look.readings.is_empty()
    };
    let failed: Vec<_> = gone.looks.iter().take(4).map(failed).collect();
    assert_eq!(failed, [false, true, false, false]);
    // What was read after it covers both intervals, as it did then.
    assert_eq!(gone.looks[2].window.length(), STEP * 2);
    assert_eq!(gone.looks[2].readings[0].canary, counts(1, 100));
}

#[test]
fn a_journal_that_tells_no_rollout_is_refused() {
    let plan = three_stages([60, 60, 60]);
    let (recorded, _) = rolled_out(&plan, &[Some(0)], &[0]);
    let entries = &recorded.entries;
    for (entries, wanted) in [
        (&entries[..0], "the journal is empty"),
        (
            &entries[..3],
            "the journal has no look at the metrics in any stage",
        ),
        (
            &entries[1..],
            "entry 1: belongs to a rollout whose beginning is missing; export",
        ),
    ] {
        let said = History::from_entries(entries)
            .expect_err(wanted)
            .to_string();
        assert!(said.starts_with(wanted), "{said}");
    }
    let command = Input::Command(codedance_core::rollout::Command::Resume);
    let mut meddled = entries[..2].to_vec();
    meddled.push(Entry::new(2, entries[1].at, Record::Told(command)));
    let said = History::from_entries(&meddled).unwrap_err().to_string();
    assert_eq!(
        said,
        "entry 2: cannot have happened: the rollout is not paused"
    );
}

proptest! {
    /// However long the moves took, how late the driver and how slow the source was, and whenever the
    /// source failed: the same policy decides the same again.
    #[test]
    fn a_journal_replayed_by_its_own_policy_gives_its_own_verdicts(
        // Never so that a look that is due shortly before the end is taken after it, because it was late.
        bakes in prop::array::uniform3((0_u64..5, 14_u64..=30)),
        // Now and then a rate above 1 %, now and then no answer.
        errors in prop::collection::vec(prop::option::weighted(0.9, 0_u64..4), 1..40),
        turns_bad in prop::option::of(0_usize..20),
        // Long enough for looks while something moves, and for none.
        delays in prop_oneof![
            prop::collection::vec(0_u64..6_000, 1..20),
            prop::collection::vec(0_u64..14_000, 1..20),
        ],
    ) {
        let plan = three_stages(bakes.map(|(looks, more)| looks * 30 + more));
        let mut errors = errors;
        if let Some(from) = turns_bad {
            errors.iter_mut().skip(from).for_each(|error| *error = Some(30));
        }
        let (recorded, outcome) = rolled_out(&plan, &errors, &delays);
        let Ok(history) = History::from_entries(&recorded.entries) else {
            // Every look failed, or there was none.
            return Ok(());
        };
        let gone = backtest(quick(), plan, &history).unwrap();
        let again: Vec<_> = gone.looks.iter().map(|look| decided(&look.assessment)).collect();
        let alike = recorded.until_moving.unwrap_or(usize::MAX);
        let alike = alike.min(again.len()).min(recorded.decided.len());
        prop_assert_eq!(&again[..alike], &recorded.decided[..alike], "{}", gone);
        if recorded.until_moving.is_some() {
            return Ok(());
        }
        if outcome == Outcome::Completed {
            prop_assert_eq!(&gone.ending, &Ending::Promoted, "{}", gone);
        } else if recorded.judged {
            prop_assert!(matches!(gone.ending, Ending::RolledBack { .. }), "{}", gone);
        } else {
            // It ran into its deadline. The backtest may look once more before the recording ends.
            return Ok(());
        }
        prop_assert_eq!(again.len(), recorded.decided.len(), "{}", gone);
    }
}
