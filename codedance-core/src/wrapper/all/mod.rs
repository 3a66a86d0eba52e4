//! Several members that move as one.

mod executor;
mod router;
mod together;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::traffic::Split;
use crate::workload::Revision;

/// Several executors, or several routers, that move together: a stage is reached when every member has
/// reached it. For a service in three clusters, or for two workloads that must not run apart.
///
/// Every call goes to all members at the same time, and every member is tried even if another fails.
/// The failure names the members that failed; since calls state desired ends, calling again reaches the
/// rest and changes nothing where it was done already.
///
/// # As an executor
/// Each member gets the same [`Fleet`](crate::workload::Fleet): counts are those of each member, not of
/// all together. The combined status is no better than that of any member. Of each revision:
///
/// | field | is |
/// |---|---|
/// | `desired` | that of a member which works towards another count than was last asked for, if there is one; else the least |
/// | `ready` | the least, so that growing waits for the slowest |
/// | `not_ready` | what the fullest member has beyond `ready`, so that room counts as taken until all have let go |
/// | `failed`, `restarts` | the sums |
///
/// Promotions and retirements are done when they are done everywhere.
///
/// # As a router
/// Its capability is what all members can do: the finest weight that each of them sets exactly, the
/// longest propagation, cohorts if all have them. A split beyond that reaches no member.
///
/// [`observe`](crate::traffic::TrafficRouter::observe) reads every member. If all agree it returns their
/// split; if not, that of a member which does not have what was last applied, so that the drift is seen
/// and put right. While nothing has been applied through this wrapper, it is that of a member which
/// differs from most.
///
/// ```
/// use codedance_core::memory::MemoryExecutor;
/// use codedance_core::wrapper::All;
///
/// let (paris, tokyo) = (MemoryExecutor::new(), MemoryExecutor::new());
/// let both = All::new("paris", paris).with("tokyo", tokyo);
/// # drop(both);
/// ```
#[derive(Debug)]
pub struct All<T> {
    members: Vec<Member<T>>,
    asked: Mutex<Asked>,
}

#[derive(Debug)]
struct Member<T> {
    name: String,
    port: T,
}

/// What was last asked for, to tell which of two members that disagree has drifted.
#[derive(Debug, Default)]
struct Asked {
    counts: BTreeMap<Revision, u32>,
    split: Option<Split>,
}

impl<T> All<T> {
    /// The first member, by a name for errors.
    pub fn new(name: impl Into<String>, port: T) -> Self {
        Self {
            members: Vec::new(),
            asked: Mutex::default(),
        }
        .with(name, port)
    }

    /// The same with another member.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, port: T) -> Self {
        self.members.push(Member {
            name: name.into(),
            port,
        });
        self
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        // What was asked is replaced value by value: nobody leaves it half changed.
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls every member at the same time. Fails if any fails, with the causes of all that did.
    async fn each<'a, R>(
        &'a self,
        operation: &'static str,
        call: impl Fn(&'a T) -> together::Boxed<'a, Result<R>>,
    ) -> Result<Vec<(&'a str, R)>> {
        let calls = self
            .members
            .iter()
            .map(|member| call(&member.port))
            .collect();
        let mut answers = Vec::with_capacity(self.members.len());
        let mut failures = Vec::new();
        for (member, answer) in self.members.iter().zip(together::all(calls).await) {
            match answer {
                Ok(answer) => answers.push((member.name.as_str(), answer)),
                Err(error) => failures.push((member.name.as_str(), error)),
            }
        }
        match combined(operation, &failures) {
            None => Ok(answers),
            Some(error) => Err(error),
        }
    }
}

/// The failure of some members as one. Where one of them says that trying again is useless, it is.
fn combined(operation: &'static str, failures: &[(&str, Error)]) -> Option<Error> {
    let hopeless = failures.iter().find(|(_, error)| !error.is_retryable());
    let (_, worst) = hopeless.or_else(|| failures.first())?;
    let error = Error::new(worst.kind(), operation).with_source(super::failover::told(failures));
    Some(
        match failures
            .iter()
            .filter_map(|(_, error)| error.retry_after())
            .max()
        {
            Some(wait) => error.with_retry_after(wait),
            None => error,
        },
    )
}
