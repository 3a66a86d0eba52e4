//! The loop: one task for each rollout.
//!
//! What is told is tried on a copy of the state first, then written to the journal, and only then does
//! the copy become the state, do listeners hear of it, and is anything done. The machine is pure, so the
//! trial cannot be seen from outside; it spares a second step, leaves no rejected command in the
//! journal, and no input that a faulty judge panics on.

use std::mem;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use backon::BackoffBuilder;
use futures::channel::mpsc;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use tokio::sync::watch;

use super::clock::{sleep, within};
use super::core::{Core, Place};
use super::effect::{Concluded, Effector, backoff};
use super::error::DriverError;
use super::feed::Feed;
use super::handle::{Letter, View};
use super::lease::Tenure;
use super::panic_text;
use crate::error::{ErrorKind, Failure};
use crate::journal::{Entry, Record};
use crate::rollout::{Event, Input, Next, Observation, Outcome, Rejected, Rollout};
use crate::time::Timestamp;

/// How long the last words to the journal may take: neither is needed for the rollout to be resumable.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A rollout and all that its task needs.
pub(super) struct Run {
    pub(super) core: Arc<Core>,
    pub(super) rollout: Arc<Rollout>,
    /// The sequence of the next entry.
    pub(super) sequence: u64,
    pub(super) since_snapshot: u32,
    /// Whether it was begun by an earlier driver.
    pub(super) taken_over: bool,
    /// What the last entry before a crash caused, which may not have been told.
    pub(super) untold: Vec<Event>,
    pub(super) tenure: Arc<Tenure>,
    pub(super) effector: Arc<Effector>,
    pub(super) letters: mpsc::Receiver<Box<Letter>>,
    pub(super) changes: Option<BoxStream<'static, Observation>>,
    pub(super) show: Show,
    /// Whether an effect is under way.
    pub(super) acting: bool,
    pub(super) place: Place,
}

/// Where the rollout is shown. Closed when the task ends, however it ends.
pub(super) struct Show {
    pub(super) view: watch::Sender<View>,
    pub(super) feed: Arc<Feed>,
}

impl Drop for Show {
    fn drop(&mut self) {
        self.feed.close();
    }
}

/// What the task hears next.
enum Heard {
    ShutDown,
    Outcome(Concluded),
    Alarm,
    Letter(Box<Letter>),
    Seen(Option<Observation>),
}

impl Run {
    /// Drives the rollout to its end, or until it must be left.
    pub(super) async fn run(mut self) {
        let untold = mem::take(&mut self.untold);
        self.publish(&untold);
        let (core, tenure) = (Arc::clone(&self.core), Arc::clone(&self.tenure));
        let work = async {
            tokio::select! {
                // First of all: whoever lost the lease must not act.
                biased;
                lost = tenure.keep() => Err(DriverError::LeaseLost(lost)),
                () = core.halt.cancelled() => Err(DriverError::ShutDown),
                end = self.work() => end,
            }
        };
        // A judge of the user's own may panic, or the journal. The state is only replaced as a whole.
        let end = AssertUnwindSafe(Box::pin(work)).catch_unwind().await;
        let end = end.unwrap_or_else(|panic| {
            Err(DriverError::Panicked(panic_text(panic.as_ref()).to_owned()))
        });
        Box::pin(self.close(end)).await;
    }

    async fn work(&mut self) -> Result<Outcome, DriverError> {
        if self.taken_over && !matches!(self.rollout.next(), Next::Finished(_)) {
            let since = self.rollout.now();
            self.tell(Input::TakenOver { since }).await?.ok();
        }
        let mut effect = None;
        let mut leaving = false;
        loop {
            let (wanted, alarm) = match self.rollout.next() {
                Next::Finished(outcome) => return Ok(outcome),
                Next::Run(wanted) => (Some(wanted), None),
                Next::WaitUntil(at) => (None, Some(at)),
                Next::AwaitCommand { until, .. } => (None, until),
            };
            let under_way = effect.as_ref().map(|(id, _)| *id);
            if under_way != wanted.as_ref().map(|wanted| wanted.id) {
                // What is no longer wanted is stopped before anything else begins.
                effect = None;
                self.acting = false;
                if let Some(wanted) = wanted
                    && !leaving
                {
                    if !self.tenure.is_held() {
                        return Err(DriverError::LeaseLost(Tenure::expired()));
                    }
                    tracing::debug!(effect = %wanted.id, action = %wanted.action, "acts");
                    let started = self.effector.start(wanted.action, &self.rollout);
                    effect = Some((wanted.id, started));
                    self.acting = true;
                }
            }
            if leaving && effect.is_none() {
                return Err(DriverError::ShutDown);
            }

            match self
                .hear(effect.as_mut().map(|(_, effect)| effect), alarm, leaving)
                .await
            {
                Heard::ShutDown => leaving = true,
                Heard::Outcome(outcome) => {
                    self.acting = false;
                    let Some(outcome) = outcome else {
                        return Err(DriverError::ShutDown);
                    };
                    if let Some((id, _)) = effect.take() {
                        self.tell(Input::Outcome(id, outcome)).await?.ok();
                    }
                }
                Heard::Alarm => {
                    self.tell(Input::Tick).await?.ok();
                }
                Heard::Letter(letter) => {
                    let answer = self.tell(letter.input).await?;
                    // Whoever asked may have gone meanwhile.
                    letter.reply.send(answer).ok();
                }
                Heard::Seen(Some(observation)) => {
                    self.tell(Input::Observed(observation)).await?.ok();
                }
                Heard::Seen(None) => self.changes = None,
            }
        }
    }

    /// Waits for the next thing to happen. The earlier ones cannot starve the later ones: each is
    /// followed by work that takes its time.
    async fn hear(
        &mut self,
        effect: Option<&mut (impl Future<Output = Concluded> + Unpin)>,
        alarm: Option<Timestamp>,
        leaving: bool,
    ) -> Heard {
        let Self {
            core,
            letters,
            changes,
            ..
        } = self;
        tokio::select! {
            biased;
            () = core.drain.cancelled(), if !leaving => Heard::ShutDown,
            outcome = or_never(effect) => Heard::Outcome(outcome),
            () = or_never(alarm.map(|at| core.clock.sleep_until(at))) => Heard::Alarm,
            Some(letter) = letters.next(), if !leaving => Heard::Letter(letter),
            seen = or_never(changes.as_mut().map(StreamExt::next)), if !leaving => Heard::Seen(seen),
        }
    }

    /// Tells the machine: trial, journal, state, listeners.
    ///
    /// Boxed, so that a rollout that waits, as most do most of the time, keeps no room for it.
    fn tell(&mut self, input: Input) -> BoxFuture<'_, Result<Result<(), Rejected>, DriverError>> {
        Box::pin(self.tell_at(self.core.clock.now(), input))
    }

    async fn tell_at(
        &mut self,
        now: Timestamp,
        input: Input,
    ) -> Result<Result<(), Rejected>, DriverError> {
        let may_be_idle = match &input {
            // An outcome is wanted, and a time that was asked for must be told even if it changes
            // nothing else: it would be asked for again at once.
            Input::Outcome(..) | Input::Tick | Input::Command(_) | Input::TakenOver { .. } => false,
            Input::Observed(_) | Input::Alert(_) => true,
            Input::Supersede(..) | Input::Amend(..) => false,
        };
        if may_be_idle && !self.rollout.would_change(now, &input) {
            return Ok(Ok(()));
        }
        let mut trial = Rollout::clone(&self.rollout);
        let events = match trial.step(now, input.clone()) {
            Ok(events) => events,
            Err(rejected) => return Ok(Err(rejected)),
        };
        if let Input::Supersede(..) | Input::Amend(..) = &input
            && events.is_empty()
            && !self.rollout.would_change(now, &input)
        {
            return Ok(Ok(()));
        }
        self.write(now, Record::Told(input), &events).await?;
        self.rollout = Arc::new(trial);
        self.publish(&events);

        self.since_snapshot += 1;
        if self.since_snapshot >= self.core.options.snapshot_every {
            self.write_snapshot(now).await?;
        }
        Ok(Ok(()))
    }

    fn publish(&self, events: &[Event]) {
        for event in events {
            tracing::info!(%event, "rollout");
            self.core.everyone.publish(event);
            self.show.feed.publish(event);
        }
        let rollout = Arc::clone(&self.rollout);
        self.show.view.send_replace(View { rollout, end: None });
    }

    async fn write_snapshot(&mut self, now: Timestamp) -> Result<(), DriverError> {
        let snapshot = Box::new(self.rollout.snapshot());
        self.write(now, Record::Snapshot(snapshot), &[]).await?;
        self.since_snapshot = 0;
        Ok(())
    }

    /// Appends to the journal, again and again while that may help: until then nothing goes on.
    async fn write(
        &mut self,
        now: Timestamp,
        record: Record,
        events: &[Event],
    ) -> Result<(), DriverError> {
        let Core { journal, clock, .. } = self.core.as_ref();
        let entry = Entry::new(self.sequence, now, record).with_events(events);
        let mut waits = backoff(u32::MAX).build();
        loop {
            let lease = self.tenure.lease();
            let error = match journal.append(&lease, &entry).await {
                Ok(()) => break,
                Err(error) => error,
            };
            match error.kind() {
                ErrorKind::LeaseLost => return Err(DriverError::LeaseLost(Failure::from(&error))),
                // A conflict says that somebody else wrote this entry: no retry mends that.
                kind if !kind.is_retryable() || kind == ErrorKind::Conflict => {
                    return Err(DriverError::Journal(Failure::from(&error)));
                }
                _ => tracing::warn!(%error, "the journal cannot be written; the rollout waits"),
            }
            let wait = waits.next().max(error.retry_after()).unwrap_or_default();
            sleep(clock.as_ref(), wait).await;
        }
        self.sequence += 1;
        Ok(())
    }

    /// Says the last words, makes room for a successor, and only then says that it is over.
    async fn close(mut self, end: Result<Outcome, DriverError>) {
        let clock = Arc::clone(&self.core.clock);
        if self.acting && end == Err(DriverError::ShutDown) {
            self.core.cut_short(&self.place);
        }
        let ours = match &end {
            Ok(_) | Err(DriverError::ShutDown) => true,
            Err(error) => {
                tracing::error!(%error, "the rollout was left; it can be resumed");
                false
            }
        };
        // After a snapshot nobody need be told again what the last entry caused.
        if ours && self.since_snapshot > 0 {
            let written = self.write_snapshot(clock.now());
            let written = AssertUnwindSafe(written).catch_unwind();
            if !matches!(
                within(clock.as_ref(), LAST_WORDS, written).await,
                Some(Ok(Ok(())))
            ) {
                tracing::warn!("the last snapshot was not written; a resume replays more");
            }
        }
        if !matches!(end, Err(DriverError::LeaseLost(_))) {
            let released = AssertUnwindSafe(self.tenure.release()).catch_unwind();
            within(clock.as_ref(), LAST_WORDS, released).await;
        }
        let Self {
            place,
            letters,
            show,
            rollout,
            ..
        } = self;
        drop(letters);
        drop(place);
        show.feed.close();
        show.view.send_replace(View {
            rollout,
            end: Some(end),
        });
    }
}

async fn or_never<T>(future: Option<impl Future<Output = T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
