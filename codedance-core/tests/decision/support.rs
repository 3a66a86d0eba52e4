//! A judge, looking again and again.

use std::sync::Arc;
use std::time::Duration;

use codedance_core::decision::{
    Assessment, Evidence, Judge, Limits, Memory, Metric, Policy, PolicyBuilder, Quantity, Verdict,
};
use codedance_core::metrics::{Quantile, Reading, Sample, Signal, Window};
use codedance_core::{Failure, Percent, Timestamp};

pub(crate) fn percent(number: f64) -> Quantity {
    Quantity::Percent(number)
}

pub(crate) fn p99() -> Signal {
    Signal::Latency(Quantile::new(0.99).unwrap())
}

/// At most 1 % errors.
pub(crate) fn errors() -> Metric {
    Metric::new("errors", Signal::ErrorRate, Limits::fail(percent(1.0)))
}

/// At most 500 ms.
pub(crate) fn slow() -> Metric {
    Metric::new("p99", p99(), Limits::fail(Duration::from_millis(500)))
}

/// At most 0.8, from 0.6 on a warning.
pub(crate) fn cpu() -> Metric {
    let limits = Limits::fail(0.8).with_warn(0.6).with_crit(1.0);
    Metric::new("cpu", Signal::Query("cpu".to_owned()), limits)
}

pub(crate) fn rate(bad: u64, total: u64) -> Reading {
    Reading::new("errors", Sample::Counts { bad, total }, Sample::NoData)
}

pub(crate) fn latency(value: f64, count: u64) -> Reading {
    Reading::new("p99", Sample::Quantile { value, count }, Sample::NoData)
}

pub(crate) fn gauge(value: f64) -> Reading {
    Reading::new("cpu", Sample::Gauge(value), Sample::NoData)
}

/// Windows of a minute, one after the other; the memory goes from look to look as JSON.
pub(crate) struct Watcher {
    pub(crate) judge: Arc<dyn Judge>,
    pub(crate) memory: Memory,
    pub(crate) minute: i64,
    pub(crate) stage: usize,
}

impl Watcher {
    pub(crate) fn new(policy: PolicyBuilder) -> Self {
        Self::of(&policy.build().unwrap())
    }

    pub(crate) fn of(policy: &Policy) -> Self {
        Self {
            judge: policy.judge(&[]),
            memory: Memory::default(),
            minute: 0,
            stage: 0,
        }
    }

    pub(crate) fn window(&self) -> Window {
        let at = |minute: i64| Timestamp::from_millis(minute * 60_000);
        Window::new(at(self.minute), at(self.minute + 1))
    }

    /// Looks at the current window, without going on to the next.
    pub(crate) fn look_again(
        &mut self,
        readings: &[Reading],
        change: impl FnOnce(&mut Evidence<'_>),
    ) -> Assessment {
        let mut evidence = Evidence::new(self.window(), readings, &self.memory);
        evidence.stage = self.stage;
        evidence.weight = Percent::new(10).unwrap();
        change(&mut evidence);
        let assessment = self.judge.assess(&evidence);
        assert_eq!(
            assessment,
            self.judge.assess(&evidence),
            "the same evidence"
        );
        if assessment.verdict != Verdict::Advance {
            assert!(!assessment.reasons.is_empty(), "{assessment:?}");
        }
        let json = serde_json::to_string(&assessment.memory).unwrap();
        self.memory = serde_json::from_str(&json).unwrap();
        assert_eq!(self.memory, assessment.memory, "{json}");
        let json = serde_json::to_string(&assessment).unwrap();
        assert!(!json.contains("null"), "a number that is none: {json}");
        assessment
    }

    pub(crate) fn look_with(
        &mut self,
        readings: &[Reading],
        change: impl FnOnce(&mut Evidence<'_>),
    ) -> Assessment {
        self.minute += 1;
        self.look_again(readings, change)
    }

    /// Looks without the checks of the other methods, for those who look a hundred thousand times.
    pub(crate) fn glance(&mut self, readings: &[Reading]) -> Verdict {
        self.minute += 1;
        let mut evidence = Evidence::new(self.window(), readings, &self.memory);
        evidence.stage = self.stage;
        let assessment = self.judge.assess(&evidence);
        self.memory = assessment.memory;
        assessment.verdict
    }

    pub(crate) fn look(&mut self, readings: &[Reading]) -> Assessment {
        self.look_with(readings, |_| {})
    }

    pub(crate) fn fail(&mut self, failure: &Failure) -> Assessment {
        self.minute += 1;
        let mut evidence = Evidence::new(self.window(), &[], &self.memory);
        evidence.stage = self.stage;
        evidence.failure = Some(failure);
        let assessment = self.judge.assess(&evidence);
        self.memory = assessment.memory.clone();
        assessment
    }
}

/// The sentence of the first reason.
pub(crate) fn why(assessment: &Assessment) -> String {
    assessment
        .reasons
        .first()
        .map_or_else(String::new, ToString::to_string)
}
