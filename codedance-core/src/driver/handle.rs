//! What one holds of a rollout that a driver runs.

use std::fmt;
use std::sync::Arc;

use futures::channel::mpsc;
use futures::{SinkExt, Stream};
use tokio::sync::{oneshot, watch};

use super::error::{CommandError, DriverError, Missed};
use super::feed::Feed;
use crate::decision::Policy;
use crate::percent::Percent;
use crate::plan::Plan;
use crate::rollout::{
    Alert, Command, Event, Explanation, Input, Observation, Outcome, Phase, Rejected, Rollout,
    Snapshot,
};
use crate::workload::{Revision, WorkloadName};

/// A rollout that a driver runs: its commands, its state, its end.
///
/// Cheap to clone. Dropping it, or all of its clones, does not stop the rollout.
///
/// # Commands
/// A command returns when it is in the journal and in force, so that it outlives a crash. An operator's
/// command that is rejected changes nothing. A command whose future is dropped was given or was not.
#[derive(Clone)]
pub struct RolloutHandle {
    pub(super) workload: WorkloadName,
    pub(super) letters: mpsc::Sender<Box<Letter>>,
    pub(super) view: watch::Receiver<View>,
    pub(super) feed: Arc<Feed>,
}

/// An input on its way to the rollout's task. Boxed in the channel, which reserves room for many.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) input: Input,
    pub(super) reply: oneshot::Sender<Result<(), Rejected>>,
}

/// What the task shows of a rollout.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// The latest state, shared with the task.
    pub(super) rollout: Arc<Rollout>,
    pub(super) end: Option<Result<Outcome, DriverError>>,
}

/// Where a rollout is, at a glance.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Status {
    /// What is rolled out.
    pub workload: WorkloadName,
    /// The revision in service.
    pub stable: Revision,
    /// The revision coming.
    pub canary: Revision,
    /// Where it is.
    pub phase: Phase,
    /// The index of its stage, from 0, if it is at one.
    pub stage: Option<usize>,
    /// How many stages there are.
    pub stages: usize,
    /// The canary's share of the traffic, as last read back.
    pub weight: Percent,
    /// Whether a driver still runs it: it has neither ended nor been left.
    pub driven: bool,
}

impl RolloutHandle {
    /// What is rolled out.
    #[must_use]
    pub const fn workload(&self) -> &WorkloadName {
        &self.workload
    }

    /// Goes no further, but keeps watching: a bad canary is rolled back all the same, unless the policy
    /// says otherwise.
    ///
    /// # Errors
    /// When it is paused already, goes back, or is over; or when nobody drives it any more.
    pub async fn pause(&self) -> Result<(), CommandError> {
        self.tell(Input::Command(Command::Pause)).await
    }

    /// Goes on after a pause.
    ///
    /// # Errors
    /// When it is not paused, goes back, or is over; or when nobody drives it any more.
    pub async fn resume(&self) -> Result<(), CommandError> {
        self.tell(Input::Command(Command::Resume)).await
    }

    /// Ends the present wait: a bake time, a gate, the want of evidence, a pause.
    ///
    /// # Errors
    /// When there is nothing that can be skipped, it goes back, or is over; or when nobody drives it
    /// any more.
    pub async fn promote(&self) -> Result<(), CommandError> {
        self.tell(Input::Command(Command::Promote)).await
    }

    /// Ends all waits, to the promotion by the shortest safe way.
    ///
    /// # Errors
    /// As for [`promote`](Self::promote).
    pub async fn promote_full(&self) -> Result<(), CommandError> {
        self.tell(Input::Command(Command::PromoteFull)).await
    }

    /// Goes back to the stable revision.
    ///
    /// # Errors
    /// When it goes back already, is over, or the stable revision is being retired; or when nobody
    /// drives it any more.
    pub async fn abort(&self) -> Result<(), CommandError> {
        self.tell(Input::Command(Command::Abort)).await
    }

    /// Tries again at once what fails or is stuck, with its deadlines begun anew.
    ///
    /// # Errors
    /// When nothing fails and nothing is stuck; or when nobody drives it any more.
    pub async fn retry(&self) -> Result<(), CommandError> {
        self.tell(Input::Command(Command::Retry)).await
    }

    /// Goes back, then rolls out what the plan says instead; a plan whose canary is the stable revision
    /// just goes back. The handle stays with the workload: [`wait`](Self::wait) gives the end of the
    /// last rollout.
    ///
    /// # Errors
    /// When the plan is for another workload, the same canary or another stable revision, or when it is
    /// being promoted or over; or when nobody drives it any more.
    pub async fn supersede(&self, plan: Plan, policy: Policy) -> Result<(), CommandError> {
        self.tell(Input::Supersede(Box::new(plan), Box::new(policy)))
            .await
    }

    /// Goes on by an edited plan or policy for the same revisions, at the last stage already earned.
    ///
    /// # Errors
    /// When the plan is for other revisions, or when it is being promoted, goes back or is over; or when
    /// nobody drives it any more.
    pub async fn amend(&self, plan: Plan, policy: Policy) -> Result<(), CommandError> {
        self.tell(Input::Amend(Box::new(plan), Box::new(policy)))
            .await
    }

    /// Passes on a word from outside: an alert, or the answer at a gate. One that changes nothing is
    /// accepted, and leaves no trace.
    ///
    /// # Errors
    /// When nobody drives it any more.
    pub async fn alert(&self, alert: Alert) -> Result<(), CommandError> {
        self.tell(Input::Alert(alert)).await
    }

    /// Passes on what somebody saw, unasked.
    ///
    /// # Errors
    /// When nobody drives it any more.
    pub async fn observe(&self, observation: Observation) -> Result<(), CommandError> {
        self.tell(Input::Observed(observation)).await
    }

    /// Where it is, by its latest step. Never waits for the rollout.
    #[must_use]
    pub fn status(&self) -> Status {
        let driven = self.view.has_changed().is_ok();
        let View { rollout, end } = self.view.borrow().clone();
        let plan = rollout.plan();
        Status {
            workload: self.workload.clone(),
            stable: plan.stable().clone(),
            canary: plan.canary().clone(),
            phase: rollout.phase(),
            stage: rollout.stage(),
            stages: plan.stages().len(),
            weight: rollout.weight(),
            driven: driven && end.is_none(),
        }
    }

    /// Why it is where it is, what it waits for, and what an operator can do. Never waits for the
    /// rollout.
    #[must_use]
    pub fn explain(&self) -> Explanation {
        self.rollout().explain()
    }

    /// The whole state after its latest step. Never waits for the rollout.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.rollout().snapshot()
    }

    /// What happens from now on, until the rollout ends or its driver leaves it.
    ///
    /// A subscriber that is too slow is told how many events it [`Missed`] and goes on with the oldest
    /// that are left. [`Driver::events`](super::Driver::events), subscribed to before the start, has
    /// the very first ones too.
    pub fn events(&self) -> impl Stream<Item = Result<Event, Missed>> + Send + Unpin + use<> {
        self.feed.subscribe()
    }

    /// How it ends. Once this returns, the lease on the workload is released and another rollout of it
    /// can start.
    ///
    /// # Errors
    /// When the driver leaves the rollout before its end; it can be resumed then.
    pub async fn wait(&self) -> Result<Outcome, DriverError> {
        let mut view = self.view.clone();
        match view.wait_for(|view| view.end.is_some()).await {
            Ok(view) => view.end.clone().unwrap_or(Err(DriverError::Gone)),
            Err(_) => Err(DriverError::Gone),
        }
    }

    fn rollout(&self) -> Arc<Rollout> {
        Arc::clone(&self.view.borrow().rollout)
    }

    async fn tell(&self, input: Input) -> Result<(), CommandError> {
        let (reply, answer) = oneshot::channel();
        let letter = Box::new(Letter { input, reply });
        match self.letters.clone().send(letter).await {
            Ok(()) => answer
                .await
                .map_err(|_| CommandError::Gone)?
                .map_err(Into::into),
            Err(_) => Err(self.nobody()),
        }
    }

    /// Why nobody answers: a rollout that is over rejects, as the machine itself would.
    fn nobody(&self) -> CommandError {
        match self.view.borrow().end {
            Some(Ok(_)) => CommandError::Rejected(Rejected::Finished),
            Some(Err(_)) | None => CommandError::Gone,
        }
    }
}

impl fmt::Debug for RolloutHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RolloutHandle")
            .field("workload", &self.workload)
            .field("phase", &self.rollout().phase())
            .finish_non_exhaustive()
    }
}
