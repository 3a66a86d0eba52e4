//! Carrying out one effect: the calls to the ports, with retries and a deadline.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use super::core::Core;
use super::{clock, lock, panic_text};
use crate::error::{Error, ErrorKind, Failure, Result};
use crate::metrics::{MetricsSource, Question, Reading, Sample};
use crate::rollout::{Action, Measurement, Observation, Report, Rollout};
use crate::time::{Timestamp, display_duration};
use crate::traffic::TrafficRouter;
use crate::workload::Executor;

/// The ports through which one workload is moved.
pub struct Ports {
    pub(super) executor: Arc<dyn Executor>,
    pub(super) router: Arc<dyn TrafficRouter>,
    pub(super) metrics: Arc<dyn MetricsSource>,
    pub(super) changes: Option<BoxStream<'static, Observation>>,
}

impl Ports {
    /// The ports that every rollout needs.
    #[must_use]
    pub fn new(
        executor: Arc<dyn Executor>,
        router: Arc<dyn TrafficRouter>,
        metrics: Arc<dyn MetricsSource>,
    ) -> Self {
        Self {
            executor,
            router,
            metrics,
            changes: None,
        }
    }

    /// The same with what a watch sees, unasked: a replica that crashed is known at once, not at the
    /// next look. The stream may repeat itself, and may end.
    #[must_use]
    pub fn with_changes(
        mut self,
        changes: impl futures::Stream<Item = Observation> + Send + 'static,
    ) -> Self {
        self.changes = Some(Box::pin(changes));
        self
    }
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ports")
            .field("executor", &self.executor)
            .field("router", &self.router)
            .field("metrics", &self.metrics)
            .finish_non_exhaustive()
    }
}

/// What came of an effect; `None` if it was never begun, because the driver shuts down.
pub(super) type Concluded = Option<Result<Report, Failure>>;

/// Carries out the effects of one rollout.
#[derive(Debug)]
pub(super) struct Effector {
    core: Arc<Core>,
    executor: Arc<dyn Executor>,
    router: Arc<dyn TrafficRouter>,
    metrics: Arc<dyn MetricsSource>,
    /// Until when a back end asked to be left alone. That outlasts the effect that was told so.
    quiet: Mutex<BTreeMap<Port, Timestamp>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Port {
    Executor,
    Router,
    Metrics,
}

impl Effector {
    pub(super) fn new(core: Arc<Core>, ports: &Ports) -> Self {
        Self {
            core,
            executor: Arc::clone(&ports.executor),
            router: Arc::clone(&ports.router),
            metrics: Arc::clone(&ports.metrics),
            quiet: Mutex::default(),
        }
    }

    /// Carries out `action` as soon as the driver's other rollouts leave room for it. Dropping the
    /// future stops it at once: the ports promise that this is safe.
    pub(super) fn start(
        self: &Arc<Self>,
        action: Action,
        rollout: &Rollout,
    ) -> BoxFuture<'static, Concluded> {
        let question = match action {
            Action::Measure(measurement) => Some(question(rollout, measurement)),
            Action::Observe
            | Action::Scale(_)
            | Action::Route(_)
            | Action::Promote(_)
            | Action::Retire(_) => None,
        };
        let effector = Arc::clone(self);
        Box::pin(async move {
            let core = &effector.core;
            // Closed when the driver shuts down.
            let _permit = core.permits.acquire().await.ok()?;
            let until = core.clock.now() + core.options.effect_deadline;
            let performed = effector.perform(&action, question.as_ref(), until);
            // The ports' own state is theirs to keep whole: nothing of ours is changed meanwhile.
            let performed = AssertUnwindSafe(performed).catch_unwind();
            Some(tokio::select! {
                biased;
                done = performed => match done {
                    Ok(Ok(report)) => Ok(report),
                    Ok(Err(error)) => Err(Failure::from(&error)),
                    Err(panic) => {
                        let panic = panic_text(panic.as_ref());
                        let message = format!("a port panicked when asked to {action}: {panic}");
                        Err(Failure::new(ErrorKind::Internal, message))
                    }
                },
                () = core.clock.sleep_until(until) => {
                    let limit = display_duration(core.options.effect_deadline);
                    let message = format!("failed to {action}: not done within {limit}");
                    Err(Failure::new(ErrorKind::Timeout, message))
                }
            })
        })
    }

    async fn perform(
        &self,
        action: &Action,
        question: Option<&Question>,
        until: Timestamp,
    ) -> Result<Report> {
        Ok(match action {
            Action::Observe => Report::Observed(self.observe(until).await?),
            Action::Scale(fleet) => {
                let scale = || self.executor.scale(fleet);
                Report::Observed(self.call(Port::Executor, until, scale).await?.into())
            }
            Action::Route(split) => {
                let apply = || self.router.apply(split);
                self.call(Port::Router, until, apply).await?;
                let read_back = || self.router.observe();
                Report::Routed {
                    split: self.call(Port::Router, until, read_back).await?,
                    propagation: self.router.capability().propagation,
                }
            }
            Action::Measure(_) => {
                let (readings, observation) =
                    futures::try_join!(self.measure(question, until), self.observe(until))?;
                Report::Measured {
                    readings,
                    observation,
                }
            }
            Action::Promote(revision) => {
                let promote = || self.executor.promote(revision);
                Report::Promoted(self.call(Port::Executor, until, promote).await?)
            }
            Action::Retire(revision) => {
                let retire = || self.executor.retire(revision);
                Report::Retired(self.call(Port::Executor, until, retire).await?)
            }
        })
    }

    async fn observe(&self, until: Timestamp) -> Result<Observation> {
        let (fleet, split) = futures::try_join!(
            self.call(Port::Executor, until, || self.executor.status()),
            self.call(Port::Router, until, || self.router.observe()),
        )?;
        Ok(Observation::new(fleet, split))
    }

    async fn measure(&self, question: Option<&Question>, until: Timestamp) -> Result<Vec<Reading>> {
        let Some(question) = question.filter(|question| !question.metrics.is_empty()) else {
            return Ok(Vec::new());
        };
        let measure = || self.metrics.measure(question);
        let readings = self.call(Port::Metrics, until, measure).await?;
        let asked = question.metrics.iter().map(|query| &query.name);
        if !asked.eq(readings.iter().map(|reading| &reading.name)) {
            // A judge that compares one metric's values with another's limits would decide wrongly.
            let got: Vec<_> = readings
                .iter()
                .map(|reading| reading.name.as_str())
                .collect();
            let error = Error::new(ErrorKind::Internal, "measure");
            let order = "the source must answer each query, in their order, and answered";
            return Err(error.with_source(format!("{order} {got:?}")));
        }
        let intervals = question.past().count();
        let whole = |past: &Vec<Sample>| past.is_empty() || past.len() == intervals;
        if let Some(reading) = readings.iter().find(|reading| !whole(&reading.history)) {
            // Nobody can tell which intervals are missing.
            let (name, got) = (&reading.name, reading.history.len());
            let error = Error::new(ErrorKind::Internal, "measure");
            return Err(error.with_source(format!(
                "the source must tell all {intervals} intervals of the past that were asked or none, \
                 and told {got} of `{name}`"
            )));
        }
        Ok(readings)
    }

    /// Asks a port, again while that may help and there is time.
    async fn call<T, F>(
        &self,
        port: Port,
        until: Timestamp,
        ask: impl FnMut() -> F + Send,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
        T: Send,
    {
        let Core { clock, options, .. } = self.core.as_ref();
        let quiet = lock(&self.quiet).get(&port).copied().unwrap_or_default();
        if quiet >= until {
            let error = Error::new(ErrorKind::RateLimited, "ask the back end");
            return Err(error.with_source(format!("it asked to be left alone until {quiet}")));
        }
        if quiet > clock.now() {
            clock.sleep_until(quiet).await;
        }
        let adjust = |error: &Error, wait: Option<Duration>| {
            let asked = error.retry_after().unwrap_or_default();
            if !asked.is_zero() {
                lock(&self.quiet).insert(port, clock.now() + asked);
            }
            // Holding a permit only to wait for the deadline helps nobody.
            wait.map(|wait| wait.max(asked))
                .filter(|wait| clock.now() + *wait < until)
        };
        ask.retry(backoff(options.attempts.saturating_sub(1)))
            .sleep(clock::sleeper(clock))
            .when(Error::is_retryable)
            .adjust(adjust)
            .notify(|error, wait| tracing::debug!(%error, ?wait, ?port, "tried again later"))
            .await
    }
}

/// From 100 ms on, doubled each time up to 10 s, plus up to as much again by chance.
pub(super) fn backoff(times: u32) -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(10))
        .with_factor(2.0)
        .with_jitter()
        // Without a seed of its own, every retry would wait the same time, all at once.
        .with_jitter_seed(fastrand::u64(..))
        .with_max_times(usize::try_from(times).unwrap_or(usize::MAX))
}

fn question(rollout: &Rollout, measurement: Measurement) -> Question {
    Question {
        stable: rollout.plan().stable().clone(),
        canary: rollout.plan().canary().clone(),
        metrics: rollout.policy().queries(),
        window: measurement.window,
        history: measurement.history,
    }
}
