//! What is rolled out: revisions, how many replicas of each, and the port that moves them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// Makes a newtype over text that is checked once, where it enters.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// Checks the text: 1 to 253 visible characters, no white space.
            ///
            /// # Errors
            /// When the text is empty, too long, or holds white space or control characters.
            pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
                let text = text.as_ref();
                let visible = |c: char| !c.is_whitespace() && !c.is_control();
                if text.is_empty() || text.chars().count() > 253 || !text.chars().all(visible) {
                    return Err(NameError { what: $what, found: text.chars().take(64).collect() });
                }
                Ok(Self(text.into()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }
    };
}

name! {
    /// One immutable version of a workload: an image reference, a tag, a checksum. Cheap to clone.
    Revision, "revision"
}

name! {
    /// The name of what is rolled out, unique among the workloads that share a journal: `shop/web`,
    /// `compose:shop:web`. Cheap to clone.
    WorkloadName, "workload name"
}

/// A revision or workload name that is empty, too long, or holds invisible characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not a {what}; write 1 to 253 visible characters without white space")]
pub struct NameError {
    what: &'static str,
    found: String,
}

/// What a strategy needs to know to make a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Workload {
    /// What is rolled out.
    pub name: WorkloadName,
    /// The revision in service.
    pub stable: Revision,
    /// The revision coming.
    pub canary: Revision,
    /// How many replicas serve the whole traffic, at least 1.
    pub replicas: u32,
    /// Whether somebody else owns the count of stable replicas (an autoscaler): stages then leave it
    /// alone. Default false.
    #[serde(default)]
    pub autoscaled: bool,
}

impl Workload {
    /// A workload of `replicas` replicas that is to go from `stable` to `canary`.
    #[must_use]
    pub fn new(name: WorkloadName, stable: Revision, canary: Revision, replicas: u32) -> Self {
        Self {
            name,
            stable,
            canary,
            replicas,
            autoscaled: false,
        }
    }

    /// Leaves the count of stable replicas to an autoscaler.
    #[must_use]
    pub fn with_autoscaled(mut self, autoscaled: bool) -> Self {
        self.autoscaled = autoscaled;
        self
    }
}

/// How many replicas of one revision are wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Which revision.
    pub revision: Revision,
    /// The absolute count wanted; `None` leaves it to its owner, an autoscaler.
    pub replicas: Option<u32>,
}

/// The capacity wanted: a desired end, never an increment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fleet {
    /// The revision in service.
    pub stable: Group,
    /// The revision coming.
    pub canary: Group,
}

impl fmt::Display for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (separator, group) in [("", &self.stable), (", ", &self.canary)] {
            match group.replicas {
                Some(count) => write!(f, "{separator}{} × {count}", group.revision)?,
                None => write!(f, "{separator}{} left alone", group.revision)?,
            }
        }
        Ok(())
    }
}

/// What is there of one revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct GroupStatus {
    /// The count that the back end is working towards.
    pub desired: u32,
    /// Replicas that serve.
    pub ready: u32,
    /// Replicas that exist and do not serve yet, or no longer.
    pub not_ready: u32,
    /// Replicas that ended or cannot start.
    pub failed: u32,
    /// How often replicas that exist now were restarted, together.
    pub restarts: u32,
}

impl GroupStatus {
    /// `ready` of `desired` replicas serve, and nothing is wrong.
    #[must_use]
    pub const fn new(desired: u32, ready: u32) -> Self {
        Self {
            desired,
            ready,
            not_ready: desired.saturating_sub(ready),
            failed: 0,
            restarts: 0,
        }
    }

    /// The same with failed replicas.
    #[must_use]
    pub const fn with_failed(mut self, failed: u32) -> Self {
        self.failed = failed;
        self
    }

    /// The same with restarts.
    #[must_use]
    pub const fn with_restarts(mut self, restarts: u32) -> Self {
        self.restarts = restarts;
        self
    }
}

/// What is there, per revision. A revision that is not listed has nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FleetStatus {
    groups: BTreeMap<Revision, GroupStatus>,
}

impl FleetStatus {
    /// Nothing at all.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            groups: BTreeMap::new(),
        }
    }

    /// The same with what is there of `revision`.
    #[must_use]
    pub fn with(mut self, revision: Revision, status: GroupStatus) -> Self {
        self.groups.insert(revision, status);
        self
    }

    /// What is there of `revision`; zeros when nothing is.
    #[must_use]
    pub fn of(&self, revision: &Revision) -> GroupStatus {
        self.groups.get(revision).copied().unwrap_or_default()
    }

    /// Every revision of which something is there, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&Revision, GroupStatus)> {
        self.groups
            .iter()
            .map(|(revision, status)| (revision, *status))
    }
}

impl FromIterator<(Revision, GroupStatus)> for FleetStatus {
    fn from_iter<I: IntoIterator<Item = (Revision, GroupStatus)>>(groups: I) -> Self {
        let groups = groups.into_iter().collect();
        Self { groups }
    }
}

/// How far a promotion or a retirement has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// Nothing is left to do.
    Done,
    /// It is under way; the text says what it waits for, such as `3 of 5 replicas updated`.
    Pending(String),
}

/// Moves the replicas of one workload.
///
/// # Contract
/// - **Desired end.** Every method says what is wanted in the end. Called twice it does no more than
///   called once; called again after a crash it goes on where the world is, not where it was left.
/// - **No waiting.** A method starts what is needed and returns what is; it does not wait for
///   replicas to become ready or to stop. The caller asks again.
/// - **Roles follow the fleet.** [`Fleet`] names the revisions. An executor that is told that
///   `stable` is revision A treats A as stable, whatever it was told before; so a rollback after a
///   promotion that went halfway needs no word of its own.
/// - **Nothing is lost.** A replica that is scaled away stops getting new requests before it stops,
///   and finishes those in flight within its grace period.
/// - **Cancellation.** A future that is dropped leaves a state that the next call can start from.
/// - **Errors.** [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable),
///   [`Timeout`](crate::ErrorKind::Timeout), [`RateLimited`](crate::ErrorKind::RateLimited) and
///   [`Conflict`](crate::ErrorKind::Conflict) may be tried again; every other kind says that trying
///   again is useless, and sends a rollout back. A replica that cannot start is no error: it is a
///   `failed` replica in the status.
#[async_trait]
pub trait Executor: fmt::Debug + Send + Sync {
    /// Works towards the fleet and returns what is there now. Revisions that the fleet does not name
    /// are left alone.
    async fn scale(&self, fleet: &Fleet) -> Result<FleetStatus>;

    /// What is there now. Changes nothing.
    async fn status(&self) -> Result<FleetStatus>;

    /// Makes `revision` the stable one in the back end's own books (a Deployment's image, a label, a
    /// symlink). What serves keeps serving until [`Progress::Done`] and after.
    async fn promote(&self, revision: &Revision) -> Result<Progress>;

    /// Removes `revision` and what existed only for having two revisions side by side.
    /// [`Progress::Done`] when nothing of it is left; so too when there never was anything.
    async fn retire(&self, revision: &Revision) -> Result<Progress>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_where_they_enter() {
        for text in ["", " ", "a b", "tab\t", "nul\0", &"x".repeat(254)] {
            assert!(Revision::new(text).is_err(), "{text:?}");
        }
        assert!(serde_json::from_str::<Revision>("\"\"").is_err());
        let image = Revision::new("registry.example/shop/web@sha256:0f").unwrap();
        assert_eq!(image.to_string().parse(), Ok(image));
    }

    #[test]
    fn an_unlisted_revision_has_nothing() {
        let listed = Revision::new("v1").unwrap();
        let status = FleetStatus::new().with(listed.clone(), GroupStatus::new(3, 2));
        assert_eq!(status.of(&listed).not_ready, 1);
        assert_eq!(
            status.of(&Revision::new("v2").unwrap()),
            GroupStatus::default()
        );
    }
}
