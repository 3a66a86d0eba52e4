//! What happened, for people and for other systems.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::effect::Action;
use super::input::{Alert, Command};
use super::phase::{Cause, Outcome};
use crate::decision::Assessment;
use crate::error::Failure;
use crate::percent::Percent;
use crate::time::{Timestamp, display_duration};
use crate::workload::{FleetStatus, Revision, WorkloadName};

/// Something that happened in a rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// In which workload.
    pub workload: WorkloadName,
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: Happening,
}

impl Event {
    pub(super) const fn new(workload: WorkloadName, at: Timestamp, what: Happening) -> Self {
        Self { workload, at, what }
    }

    /// What the judge said, if that is what happened.
    #[must_use]
    pub const fn assessment(&self) -> Option<&Assessment> {
        match &self.what {
            Happening::Assessed(assessment) => Some(assessment),
            _ => None,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.what.fmt(f)
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Happening {
    /// A rollout began.
    Started {
        /// The revision in service.
        stable: Revision,
        /// The revision coming.
        canary: Revision,
    },
    /// A stage is the next goal.
    StageEntered {
        /// Its index, from 0.
        stage: usize,
        /// The canary's share in it.
        weight: Percent,
    },
    /// A stage's capacity and traffic are in force; it bakes.
    StageReached {
        /// Its index, from 0.
        stage: usize,
    },
    /// A stage has been passed.
    StageEarned {
        /// Its index, from 0.
        stage: usize,
    },
    /// The replicas changed.
    FleetChanged(FleetStatus),
    /// The canary's share changed and was read back.
    Routed {
        /// The canary's share now.
        weight: Percent,
    },
    /// Somebody else changed the canary's share; it is put right.
    Drifted {
        /// What it should be.
        wanted: Percent,
        /// What it was found to be.
        found: Percent,
    },
    /// The metrics were judged.
    Assessed(Assessment),
    /// A gate asks.
    GateOpened {
        /// The gate's name; `operator` for an operator's.
        gate: String,
        /// Until when an answer counts.
        until: Option<Timestamp>,
    },
    /// An operator's command was accepted.
    Commanded(Command),
    /// An alert changed.
    Alerted(Alert),
    /// Something could not be done and is tried again.
    EffectFailed {
        /// What.
        action: Action,
        /// How.
        failure: Failure,
        /// How often in a row.
        attempts: u32,
        /// When it is tried again.
        retry_at: Timestamp,
    },
    /// It is driven again, after nobody did for a while.
    TakenOver {
        /// How long nobody did.
        #[serde(with = "crate::time::duration")]
        away: Duration,
    },
    /// The plan or the policy was edited.
    Amended {
        /// The stage that it goes on at, from 0.
        stage: usize,
    },
    /// A newer revision waits for this one to go.
    Superseded {
        /// Which.
        by: Revision,
    },
    /// All stages are earned.
    PromotionStarted,
    /// It goes back.
    RollbackStarted(Cause),
    /// It is over.
    Finished(Outcome),
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { stable, canary } => {
                write!(f, "rollout from {stable} to {canary} began")
            }
            Self::StageEntered { stage, weight } => {
                write!(f, "stage {} began: {weight} to the canary", stage + 1)
            }
            Self::StageReached { stage } => write!(f, "stage {} is reached", stage + 1),
            Self::StageEarned { stage } => write!(f, "stage {} is passed", stage + 1),
            Self::FleetChanged(fleet) => {
                f.write_str("replicas:")?;
                let mut separator = " ";
                for (revision, status) in fleet.iter() {
                    write!(
                        f,
                        "{separator}{revision} {} of {} ready",
                        status.ready, status.desired
                    )?;
                    if status.failed > 0 {
                        write!(f, " ({} failed)", status.failed)?;
                    }
                    separator = ", ";
                }
                Ok(())
            }
            Self::Routed { weight } => write!(f, "the canary gets {weight} of the traffic"),
            Self::Drifted { wanted, found } => {
                write!(f, "the canary was found to get {found} instead of {wanted}")
            }
            Self::Assessed(assessment) => {
                write!(f, "{} (score {})", assessment.verdict, assessment.score)?;
                match assessment.reasons.first() {
                    Some(reason) => write!(f, ": {reason}"),
                    None => Ok(()),
                }
            }
            Self::GateOpened {
                gate,
                until: Some(until),
            } => {
                write!(f, "{gate} is asked, until {until}")
            }
            Self::GateOpened { gate, until: None } => write!(f, "{gate} is asked"),
            Self::Commanded(command) => write!(f, "an operator said {command}"),
            Self::Alerted(alert) => write!(f, "{}: {:?}", alert.name, alert.signal),
            Self::EffectFailed {
                action,
                failure,
                attempts,
                retry_at,
            } => {
                write!(
                    f,
                    "could not {action}, attempt {attempts}, again at {retry_at}: {failure}"
                )
            }
            Self::TakenOver { away } => {
                write!(
                    f,
                    "driven again, {} after the last word",
                    display_duration(*away)
                )
            }
            Self::Amended { stage } => write!(f, "the plan was edited; on at stage {}", stage + 1),
            Self::Superseded { by } => write!(f, "{by} is waiting to be rolled out instead"),
            Self::PromotionStarted => f.write_str("all stages are passed; promotion began"),
            Self::RollbackStarted(cause) => write!(f, "going back because {cause}"),
            Self::Finished(outcome) => outcome.fmt(f),
        }
    }
}

/// Told of every event, after the journal has it: notifications, Kubernetes events, a console.
///
/// # Contract
/// - **Best effort.** A slow or failing observer never delays a rollout; it may miss events, which the
///   journal has.
/// - **In order**, and after a crash possibly twice.
#[async_trait]
pub trait Observer: fmt::Debug + Send + Sync {
    /// One event.
    async fn on_event(&self, event: &Event);
}
