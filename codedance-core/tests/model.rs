//! The machine against a naive model: a page of rules that a person would write on a whiteboard.
//!
//! The world obeys at once, and after each word or stretch of time the rollout is driven until it rests.

use std::sync::Arc;
use std::time::Duration;

use codedance_core::decision::{Assessment, Evidence, Judge, JudgeConfig, Policy, Reason, Verdict};
use codedance_core::metrics::{Reading, Sample};
use codedance_core::plan::{Gate, Plan, Step, Steps, Strategy as _};
use codedance_core::rollout::{
    Action, Command, Input, Next, Observation, Phase, Report, Rollout, Waiting,
};
use codedance_core::traffic::Split;
use codedance_core::workload::{
    FleetStatus, GroupStatus, Progress, Revision, Workload, WorkloadName,
};
use codedance_core::{Percent, Timestamp};
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

/// The canary's share in each stage, and whether an operator keeps a gate behind it.
const STAGES: [(u32, bool); 4] = [(5, false), (20, true), (50, false), (100, false)];

/// Where the model says the rollout is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Model {
    phase: Phase,
    stage: usize,
    /// The stage asks at its gate.
    asked: bool,
    /// Its time has passed and its last look was good: only a pause can hold it.
    ripe: bool,
}

#[derive(Clone, Debug)]
enum Transition {
    Say(Command),
    /// The metrics say so at every look while the bake time passes.
    Bake(Verdict),
}

impl Model {
    const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Completed | Phase::RolledBack)
    }

    fn pass_stage(&mut self) {
        self.phase = Phase::Progressing;
        (self.asked, self.ripe) = (false, false);
        if self.stage + 1 == STAGES.len() {
            self.phase = Phase::Completed;
        } else {
            self.stage += 1;
        }
    }

    fn ripen(&mut self) {
        if self.phase == Phase::Paused {
            self.ripe = true;
        } else if STAGES[self.stage].1 {
            self.asked = true;
        } else {
            self.pass_stage();
        }
    }

    fn weight(&self) -> Percent {
        match self.phase {
            Phase::Completed => Percent::HUNDRED,
            Phase::RolledBack => Percent::ZERO,
            _ => Percent::new(STAGES[self.stage].0).unwrap(),
        }
    }
}

#[derive(Debug)]
struct Rules;

impl ReferenceStateMachine for Rules {
    type State = Model;
    type Transition = Transition;

    fn init_state() -> BoxedStrategy<Model> {
        Just(Model {
            phase: Phase::Progressing,
            stage: 0,
            asked: false,
            ripe: false,
        })
        .boxed()
    }

    fn transitions(_: &Model) -> BoxedStrategy<Transition> {
        let command = proptest::sample::select(Command::ALL.to_vec());
        prop_oneof![
            2 => command.prop_map(Transition::Say),
            3 => Just(Transition::Bake(Verdict::Advance)),
            1 => Just(Transition::Bake(Verdict::Hold)),
            1 => Just(Transition::Bake(Verdict::Rollback)),
        ]
        .boxed()
    }

    fn apply(mut model: Model, transition: &Transition) -> Model {
        if model.is_over() {
            return model;
        }
        match transition {
            Transition::Say(Command::Pause) => model.phase = Phase::Paused,
            Transition::Say(Command::Resume) => {
                model.phase = Phase::Progressing;
                if std::mem::take(&mut model.ripe) {
                    model.ripen();
                }
            }
            Transition::Say(Command::Promote) => model.pass_stage(),
            Transition::Say(Command::PromoteFull) => model.phase = Phase::Completed,
            Transition::Say(Command::Abort) | Transition::Bake(Verdict::Rollback) => {
                model.phase = Phase::RolledBack;
            }
            Transition::Bake(Verdict::Advance) => model.ripen(),
            Transition::Bake(Verdict::Hold) => model.ripe = false,
            Transition::Say(Command::Retry) => {}
        }
        model
    }
}

/// Says what the test wants it to say.
#[derive(Debug)]
struct Puppet;

impl Judge for Puppet {
    fn name(&self) -> &'static str {
        "puppet"
    }

    fn assess(&self, evidence: &Evidence<'_>) -> Assessment {
        let verdict = match evidence.readings.first().map(|reading| &reading.canary) {
            Some(&Sample::Gauge(gauge)) if gauge > 1.5 => Verdict::Rollback,
            Some(&Sample::Gauge(gauge)) if gauge < 0.5 => Verdict::Advance,
            Some(_) | None => Verdict::Hold,
        };
        Assessment::new(
            verdict,
            vec![Reason::Other("the puppet said so".to_owned())],
        )
    }
}

/// The machine with a world that obeys at once.
#[derive(Debug)]
struct Obeyed {
    rollout: Rollout,
    now: Timestamp,
    fleet: FleetStatus,
    split: Split,
}

fn revision(name: &str) -> Revision {
    Revision::new(name).unwrap()
}

fn plan() -> Plan {
    let steps = Steps::new(STAGES.map(|(percent, gate)| {
        let step = Step::new(
            Percent::new(percent).unwrap(),
            Some(Duration::from_secs(60)),
        );
        if gate {
            step.with_gate(Gate::Operator)
        } else {
            step
        }
    }));
    let name = WorkloadName::new("shop").unwrap();
    steps
        .plan(&Workload::new(name, revision("v1"), revision("v2"), 4))
        .unwrap()
}

impl Obeyed {
    fn tell(&mut self, input: Input) {
        self.rollout.step(self.now, input).unwrap();
    }

    fn act(&mut self, action: &Action, verdict: Verdict) -> Report {
        match action {
            Action::Observe => {
                Report::Observed(Observation::new(self.fleet.clone(), self.split.clone()))
            }
            Action::Scale(fleet) => {
                for group in [&fleet.stable, &fleet.canary] {
                    let count = group.replicas.unwrap();
                    let all = std::mem::take(&mut self.fleet);
                    self.fleet = all.with(group.revision.clone(), GroupStatus::new(count, count));
                }
                Report::Observed(self.fleet.clone().into())
            }
            Action::Route(split) => {
                self.split = split.clone();
                Report::Routed {
                    split: split.clone(),
                    propagation: Duration::ZERO,
                }
            }
            Action::Measure(_) => {
                let sample = Sample::Gauge(f64::from(verdict as u8));
                let observation = Observation::new(self.fleet.clone(), self.split.clone());
                Report::Measured {
                    readings: vec![Reading::new("puppet", sample.clone(), sample)],
                    observation,
                }
            }
            Action::Promote(_) => Report::Promoted(Progress::Done),
            Action::Retire(_) => Report::Retired(Progress::Done),
        }
    }

    /// Lets it do all that it wants to do before `until`, the metrics saying `verdict`.
    fn run(&mut self, until: Timestamp, verdict: Verdict) {
        for _ in 0..1_000 {
            match self.rollout.next() {
                Next::Run(effect) => {
                    let report = self.act(&effect.action, verdict);
                    self.tell(Input::Outcome(effect.id, Ok(report)));
                }
                Next::WaitUntil(at)
                | Next::AwaitCommand {
                    until: Some(at), ..
                } if at <= until => {
                    self.now = at;
                    self.tell(Input::Tick);
                }
                Next::WaitUntil(_) | Next::AwaitCommand { .. } | Next::Finished(_) => return,
            }
        }
        panic!("it never rests: {}", self.rollout.explain());
    }

    /// Until only the bake time, evidence or people can move it on.
    fn rest(&mut self) {
        for _ in 0..1_000 {
            self.run(self.now, Verdict::Hold);
            let moving = matches!(
                self.rollout.explain().waiting_for,
                Waiting::Propagation | Waiting::Drain | Waiting::Replicas { .. }
            );
            match self.rollout.next() {
                Next::WaitUntil(at) if moving => {
                    self.now = at;
                    self.tell(Input::Tick);
                }
                _ => return,
            }
        }
        panic!("it never rests: {}", self.rollout.explain());
    }

    /// One bake time, to the last look in it but not beyond.
    fn bake(&mut self, verdict: Verdict) {
        let stage = self.rollout.stage();
        let until = self.now + Duration::from_secs(61);
        while self.rollout.stage() == stage && stage.is_some() {
            match self.rollout.next() {
                Next::WaitUntil(at)
                | Next::AwaitCommand {
                    until: Some(at), ..
                } if at > until => {
                    break;
                }
                Next::Finished(_) | Next::AwaitCommand { until: None, .. } => break,
                Next::WaitUntil(at)
                | Next::AwaitCommand {
                    until: Some(at), ..
                } => {
                    self.now = at;
                    self.tell(Input::Tick);
                }
                Next::Run(effect) => {
                    let report = self.act(&effect.action, verdict);
                    self.tell(Input::Outcome(effect.id, Ok(report)));
                }
            }
        }
        self.rest();
    }
}

impl StateMachineTest for Obeyed {
    type SystemUnderTest = Self;
    type Reference = Rules;

    fn init_test(_: &Model) -> Self {
        let policy = Policy::builder()
            .with_judge(JudgeConfig::Own("puppet".to_owned()))
            .with_interval(Duration::from_secs(10))
            .build()
            .unwrap();
        let stable = revision("v1");
        let mut obeyed = Self {
            rollout: Rollout::new(plan(), policy, Timestamp::EPOCH)
                .with_judges([Arc::new(Puppet) as _]),
            now: Timestamp::EPOCH,
            fleet: FleetStatus::new().with(stable.clone(), GroupStatus::new(4, 4)),
            split: Split::all(stable),
        };
        obeyed.rest();
        obeyed
    }

    fn apply(mut obeyed: Self, model: &Model, transition: Transition) -> Self {
        match transition {
            Transition::Say(command) => {
                let offered = obeyed.rollout.explain().commands.contains(&command);
                let accepted = obeyed
                    .rollout
                    .step(obeyed.now, Input::Command(command))
                    .is_ok();
                assert_eq!(
                    offered, accepted,
                    "explain() must offer just what is accepted"
                );
                obeyed.rest();
            }
            Transition::Bake(verdict) => obeyed.bake(verdict),
        }
        let explanation = obeyed.rollout.explain();
        assert_eq!(explanation.phase, model.phase, "{explanation}");
        assert_eq!(obeyed.rollout.weight(), model.weight(), "{explanation}");
        assert_eq!(
            obeyed.split.share_of(&revision("v2")),
            model.weight(),
            "{explanation}"
        );
        if !model.is_over() {
            assert_eq!(explanation.stage, Some(model.stage), "{explanation}");
            let asked = matches!(explanation.waiting_for, Waiting::Gate(_));
            assert!(
                asked == model.asked || model.phase == Phase::Paused,
                "{explanation}"
            );
        }
        obeyed
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_machine_does_what_the_model_says(sequential 1..30 => Obeyed);
}
