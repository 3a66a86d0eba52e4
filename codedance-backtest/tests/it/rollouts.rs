//! How rollouts go in recorded time, and what cannot be replayed.

use codedance_backtest::{Backtest, Backtester, Ending, History, Recorded, Side, backtest};
use codedance_core::decision::{Limits, Metric, Quantity, Reason, Verdict};
use codedance_core::metrics::{Sample, Signal};
use codedance_core::plan::{Gate, OnTimeout, Plan};
use codedance_core::rollout::Cause;

use crate::world::{STEP, at, counts, draft, plan, policy, recorded};

fn gone(looks: u32, canary: impl IntoIterator<Item = Sample>) -> Backtest {
    backtest(policy().build().unwrap(), plan(looks), &recorded(canary)).unwrap()
}

#[test]
fn a_good_canary_passes_each_stage_when_its_time_is_over() {
    let gone = gone(4, vec![counts(0, 100); 9]);
    assert_eq!(gone.ending, Ending::Promoted);
    let stages: Vec<_> = gone
        .stages
        .iter()
        .map(|stage| {
            (
                stage.index,
                stage.weight.to_string(),
                stage.reached,
                stage.earned,
            )
        })
        .collect();
    assert_eq!(
        stages,
        [
            (0, "10 %".to_owned(), at(0), Some(at(4))),
            (1, "100 %".to_owned(), at(4), Some(at(8))),
        ]
    );
    assert_eq!(gone.decided, at(8));
    assert_eq!(
        gone.to_string(),
        "promoted after 4m, past all 2 stages; the canary had got 800 requests, none of them bad"
    );
}

#[test]
fn a_bad_canary_goes_back_and_what_it_cost_is_counted() {
    let good = vec![counts(0, 100); 5];
    let bad = vec![counts(20, 100); 20];
    let gone = gone(4, good.into_iter().chain(bad));
    let Ending::RolledBack {
        stage,
        weight,
        cause: Cause::Judged(reasons),
    } = &gone.ending
    else {
        panic!("{gone}");
    };
    assert_eq!((*stage, weight.to_string().as_str()), (1, "100 %"));
    assert!(!reasons.is_empty());
    let looks = gone.looks.len() as u32;
    assert!(
        (6..=8).contains(&looks),
        "at the third bad look at the latest: {gone}"
    );
    assert_eq!(gone.decided, at(looks));
    let spent = gone.canary.unwrap();
    let (looks, bad) = (u64::from(looks), u64::from(looks) - 5);
    assert_eq!((spent.total, spent.bad), (looks * 100, bad * 20));
    assert_eq!(gone.stable.unwrap().total, looks * 900);
    let mut verdicts = gone.looks.iter().map(|look| look.assessment.verdict);
    assert_eq!(verdicts.next_back(), Some(Verdict::Rollback));
}

#[test]
fn what_holds_a_stage_is_told_with_how_long() {
    // Nothing to read from the third interval on.
    let gone = gone(
        4,
        [counts(0, 100), counts(0, 100)]
            .into_iter()
            .chain(vec![Sample::NoData; 6]),
    );
    let Ending::Held {
        stage: 0,
        since,
        reasons,
        ..
    } = &gone.ending
    else {
        panic!("{gone}");
    };
    assert_eq!(*since, at(4));
    assert!(matches!(reasons[0], Reason::NoData { .. }), "{reasons:?}");
    assert_eq!(gone.stages[0].held, STEP * 4);
    assert_eq!(gone.stages[0].earned, None);
    assert_eq!(
        gone.to_string(),
        "held for 2m at stage 1 with 10 % of the traffic when the recording ended, because errors has \
         no data; the canary had got 200 requests, none of them bad"
    );
}

#[test]
fn a_stage_that_waited_for_evidence_says_so_though_it_passed() {
    let few = vec![counts(0, 20); 5];
    let gone = gone(4, few.into_iter().chain(vec![counts(0, 100); 20]));
    assert_eq!(gone.ending, Ending::Promoted);
    let held: Vec<_> = gone.stages.iter().map(|stage| stage.held).collect();
    assert!(held[0] > STEP && held[1].is_zero(), "{held:?}");
}

#[test]
fn a_recording_that_is_too_short_decides_nothing() {
    let gone = gone(20, vec![counts(0, 100); 8]);
    assert!(matches!(
        gone.ending,
        Ending::RecordingEnded { stage: 0, .. }
    ));
    assert_eq!(gone.looks.len(), 8, "all of it was looked at");
    assert_eq!(gone.decided, at(8));
    let said = gone.to_string();
    assert!(
        said.starts_with(
            "still at stage 1 with 10 % of the traffic when the recording ended after 4m"
        ),
        "{said}"
    );
}

#[test]
fn longer_windows_put_intervals_together() {
    let policy = policy().with_interval(STEP * 2).build().unwrap();
    let history = recorded((1..=8).map(|more| counts(0, 1000 + more)));
    let gone = backtest(policy, plan(4), &history).unwrap();
    let read = gone
        .looks
        .iter()
        .map(|look| look.readings[0].canary.clone());
    let sums = [2003, 2007, 2011, 2015].map(|total| counts(0, total));
    assert_eq!(read.collect::<Vec<_>>(), sums);
}

#[test]
fn a_reading_says_when_its_newest_sample_was_taken() {
    // Of each four intervals the last one or two are missing, or there without data.
    let samples = [1, 2, 3, 5, 6, 7, 8].map(|index| Recorded {
        metric: "errors".to_owned(),
        at: at(index),
        side: Side::Canary,
        sample: match index {
            7 | 8 => Sample::NoData,
            _ => counts(0, 100),
        },
    });
    let history = History::new(samples).unwrap();
    let policy = policy().with_interval(STEP * 4).build().unwrap();
    let gone = backtest(policy, plan(8), &history).unwrap();
    let read: Vec<_> = gone.looks.iter().map(|look| &look.readings[0]).collect();
    let newest: Vec<_> = read
        .iter()
        .map(|reading| (reading.canary.clone(), reading.at))
        .collect();
    assert_eq!(
        newest,
        [(counts(0, 300), Some(at(3))), (counts(0, 200), Some(at(6)))]
    );
}

#[test]
fn whoever_keeps_a_gate_agrees_at_once() {
    let approval = Gate::Approval {
        name: "load test".to_owned(),
        timeout: STEP,
        on_timeout: OnTimeout::Rollback,
    };
    for gate in [Gate::Operator, approval] {
        let mut draft = draft(4);
        draft.stages[0].gate = Some(gate);
        let plan = Plan::try_from(draft).unwrap();
        let history = recorded(vec![counts(0, 100); 9]);
        let gone = backtest(policy().build().unwrap(), plan, &history).unwrap();
        assert_eq!(gone.ending, Ending::Promoted);
        assert_eq!(gone.decided, at(8));
    }
}

#[test]
fn it_starts_where_there_is_a_past_or_where_it_is_told() {
    let start = |intervals, told| {
        let history = recorded(vec![counts(0, 100); intervals]);
        let mut backtester = Backtester::new(policy().build().unwrap(), plan(4));
        if let Some(told) = told {
            backtester = backtester.with_start(told);
        }
        backtester.run(&history).map(|gone| gone.began)
    };
    assert_eq!(start(69, None), Ok(at(0)));
    assert_eq!(start(70, None), Ok(at(60)));
    assert_eq!(start(70, Some(at(3))), Ok(at(3)));
    let outside = start(70, Some(at(70))).unwrap_err().to_string();
    assert_eq!(
        outside,
        "the recording reaches from 1970-01-01T00:00:00Z to 1970-01-01T00:35:00Z; the start has to lie \
         within, and is 1970-01-01T00:35:00Z"
    );
}

#[test]
fn the_judge_is_told_the_past_before_the_start() {
    let rising = (1..=80).map(|total| counts(0, total)).collect::<Vec<_>>();
    let run = |start| {
        let backtester = Backtester::new(policy().build().unwrap(), plan(4)).with_start(start);
        backtester.run(&recorded(rising.clone())).unwrap()
    };
    let told = |gone: &Backtest, look: usize| gone.looks[look].readings[0].history.clone();
    // The stable revision has the same 900 requests in each interval.
    assert_eq!(told(&run(at(60)), 0), vec![counts(0, 900); 60]);
    assert!(told(&run(at(60)), 1).is_empty());
    let nothing = vec![Sample::NoData; 57];
    let some = vec![counts(0, 900); 3];
    assert_eq!(told(&run(at(3)), 0), [nothing, some].concat());
    assert!(
        told(&run(at(0)), 0).is_empty(),
        "nothing was recorded before"
    );
}

#[test]
fn what_cannot_be_replayed_is_refused_with_the_mend() {
    let run = |policy: codedance_core::decision::PolicyBuilder| {
        let history = recorded(vec![counts(0, 100); 9]);
        backtest(policy.build().unwrap(), plan(4), &history)
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    let load = |name: &str| {
        let signal = Signal::Query("load".to_owned());
        Metric::new(name, signal, Limits::fail(Quantity::Number(1.0)))
    };
    assert_eq!(run(policy()), Ok(()));
    assert_eq!(run(policy().with_metric(load("load").optional())), Ok(()));
    assert_eq!(
        run(policy().with_metric(load("load"))).unwrap_err(),
        "the policy requires the metric `load`, and the recording has `errors`; record it, or write \
         `required: false` into the policy"
    );
    let other = codedance_core::decision::Policy::builder().with_metric(load("errors"));
    assert_eq!(
        run(other).unwrap_err(),
        "the metric `errors` was recorded as `bad` and `total`; the policy's signal needs `value` alone"
    );
    assert_eq!(
        run(policy().with_interval(STEP / 3)).unwrap_err(),
        "the policy looks every 10s, and the recording has a sample every 30s only; record more often, \
         or write `interval: 30s` into the policy"
    );
}

#[test]
fn recordings_are_joined_unless_both_tell_of_the_same() {
    let errors = recorded(vec![counts(0, 100); 9]);
    let load = |index| Recorded {
        metric: "load".to_owned(),
        at: at(index),
        side: Side::Canary,
        sample: Sample::Gauge(0.5),
    };
    let load = History::new((1..=9).map(load)).unwrap();
    let both = errors.clone().join(load).unwrap();
    assert_eq!(both.metrics().collect::<Vec<_>>(), ["errors", "load"]);
    let twice = errors.clone().join(errors).unwrap_err().to_string();
    assert!(
        twice.starts_with("errors was recorded twice at 1970-01-01T00:00:30Z"),
        "{twice}"
    );
}
