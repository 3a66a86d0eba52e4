//! What the tests share: a plan, a policy, a recording.

use std::time::Duration;

use codedance_backtest::{History, Recorded, Side};
use codedance_core::decision::{Limits, Metric, Policy, PolicyBuilder};
use codedance_core::metrics::{Sample, Signal};
use codedance_core::plan::{Draft, Plan, Stage};
use codedance_core::workload::{Revision, Workload, WorkloadName};
use codedance_core::{Percent, Timestamp};

/// The policy's interval, and the recording's step.
pub(crate) const STEP: Duration = Duration::from_secs(30);

/// Half a minute of this index after the epoch.
pub(crate) fn at(index: u32) -> Timestamp {
    Timestamp::EPOCH + STEP * index
}

/// Two stages, 10 % and 100 %, each of so many looks.
pub(crate) fn plan(looks: u32) -> Plan {
    draft(looks).try_into().unwrap()
}

pub(crate) fn draft(looks: u32) -> Draft {
    let name = |text: &str| Revision::new(text).unwrap();
    let shop = WorkloadName::new("shop").unwrap();
    let mut draft = Draft::new(&Workload::new(shop, name("v1"), name("v2"), 10));
    let stage = |percent, canary| {
        Stage::new(Percent::new(percent).unwrap(), canary, Some(10)).with_bake(STEP * looks)
    };
    draft.stages = vec![stage(10, 1), stage(100, 10)];
    draft
}

/// At most 1 % errors.
pub(crate) fn policy() -> PolicyBuilder {
    let limit = Limits::fail(Percent::new(1).unwrap());
    Policy::builder()
        .with_interval(STEP)
        .with_metric(Metric::new("errors", Signal::ErrorRate, limit))
}

pub(crate) fn counts(bad: u64, total: u64) -> Sample {
    Sample::Counts { bad, total }
}

/// The canary's errors interval by interval, beside a stable revision that has none.
pub(crate) fn recorded(canary: impl IntoIterator<Item = Sample>) -> History {
    let measure = |at, side, sample| Recorded {
        metric: "errors".to_owned(),
        at,
        side,
        sample,
    };
    let samples = (1..).zip(canary).flat_map(|(index, sample)| {
        [
            measure(at(index), Side::Canary, sample),
            measure(at(index), Side::Stable, counts(0, 900)),
        ]
    });
    History::new(samples).unwrap()
}
