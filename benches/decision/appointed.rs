//! Judges that a policy appoints, asked as a rollout asks them.

use std::sync::Arc;
use std::time::Duration;

use codedance::decision::{
    ArgoConfig, ArgoMetric, Evidence, FlaggerConfig, Judge, JudgeConfig, Limits, Memory, Metric,
    Policy, PolicyBuilder, Verdict,
};
use codedance::metrics::{Reading, Sample, Signal, Window};
use codedance::{Percent, Timestamp};

use crate::judges::Detector;
use crate::traffic::{Minute, Side, World};

/// How much of what is measured is good enough.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// The most errors, in percent.
    errors: u32,
    /// The longest latency.
    latency: Duration,
}

/// A policy's judge, with a look each minute.
#[derive(Debug)]
pub(crate) struct Appointed {
    judge: Arc<dyn Judge>,
    names: Vec<String>,
    past: Vec<Vec<Sample>>,
    memory: Memory,
}

impl Appointed {
    /// The default judge, whose limits are so loose that nothing but the comparison with the stable
    /// revision decides.
    pub(crate) fn codedance<W: World>() -> Self {
        let loose = Bounds {
            errors: 100,
            latency: Duration::from_secs(3_600),
        };
        Self::of(policy::<W>(loose))
    }

    /// Flagger, set as its documentation has it: 99 % of the requests succeed, the P99 is 500 ms, a check
    /// each minute, ten may fail.
    pub(crate) fn flagger<W: World>() -> Self {
        let documented = Bounds {
            errors: 1,
            latency: Duration::from_millis(500),
        };
        let config = FlaggerConfig::default().with_threshold(10);
        Self::of(policy::<W>(documented).with_judge(JudgeConfig::Flagger(config)))
    }

    /// Argo Rollouts, set as its documentation has it: 95 % of the requests succeed, measured each 5
    /// minutes, of which three may fail. It has no example of latency.
    pub(crate) fn argo<W: World>() -> Self {
        let documented = Bounds {
            errors: 5,
            latency: Duration::from_millis(500),
        };
        let policy = policy::<W>(documented);
        let config = ArgoConfig::default().with_interval(5);
        let limited = ArgoMetric::default().with_failure_limit(Some(3));
        let names = (0..W::signals().len()).map(name);
        let config = names.fold(config, |config, name| config.with_metric(name, limited));
        Self::of(policy.with_judge(JudgeConfig::Argo(config)))
    }

    fn of(policy: PolicyBuilder) -> Self {
        let policy = policy.build().expect("a policy in this bench");
        Self {
            judge: policy.judge(&[]),
            names: policy
                .metrics()
                .iter()
                .map(|m| m.name().to_owned())
                .collect(),
            past: Vec::new(),
            memory: Memory::default(),
        }
    }
}

/// A policy to be that measures what there is in such a world.
fn policy<W: World>(bounds: Bounds) -> PolicyBuilder {
    let builder = Policy::builder().with_interval(Duration::from_secs(60));
    W::signals()
        .into_iter()
        .enumerate()
        .fold(builder, |builder, (index, signal)| {
            let limits = match signal {
                Signal::Latency(_) => Limits::fail(bounds.latency),
                _ => Limits::fail(Percent::new(bounds.errors).expect("a share of 100 %")),
            };
            builder.with_metric(Metric::new(name(index), signal, limits))
        })
}

/// What a metric is called.
fn name(index: usize) -> String {
    format!("metric-{index}")
}

impl<S: Side> Detector<S> for Appointed {
    fn begin(&mut self, past: &[S]) {
        let metric = |index| {
            let minutes = past.iter().filter_map(|minute| minute.samples().nth(index));
            minutes.collect()
        };
        self.past = (0..self.names.len()).map(metric).collect();
        self.memory = Memory::default();
    }

    fn look(&mut self, minute: &Minute<S>) -> bool {
        let sides = minute.canary.samples().zip(minute.stable.samples());
        let mut readings: Vec<_> = self
            .names
            .iter()
            .zip(sides)
            .map(|(name, (canary, stable))| Reading::new(name, canary, stable))
            .collect();
        // The past comes with the first look, as the machine asks for it.
        for (reading, past) in readings.iter_mut().zip(self.past.drain(..)) {
            reading.history = past;
        }
        let at = |minute: usize| Timestamp::from_millis(minute as i64 * 60_000);
        let window = Window::new(at(minute.index), at(minute.index + 1));
        let mut evidence = Evidence::new(window, &readings, &self.memory);
        evidence.stage = minute.stage();
        evidence.weight = minute.weight;
        let assessment = self.judge.assess(&evidence);
        self.memory = assessment.memory;
        assessment.verdict == Verdict::Rollback
    }
}
