//! Who gets which share of the traffic, and the ports that see to it.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::percent::Percent;
use crate::workload::Revision;

/// The traffic wanted: a desired end. The shares of a split total 100 % by construction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Split {
    /// The revision that gets what the canary does not.
    pub stable: Revision,
    /// The canary and its share. `None`: there is one revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Share>,
    /// What keeps a user with the revision that answered first. `None`: each request is drawn anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cohort: Option<CohortKey>,
}

/// A revision's part of the traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// Which revision.
    pub revision: Revision,
    /// How much of the traffic.
    pub weight: Percent,
}

/// By what users are divided into those who see the canary and those who do not.
///
/// A growing weight only ever adds users to the canary's cohort. Who has no key (an absent header, an
/// empty cookie) stays with the stable revision until the canary has everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CohortKey {
    /// The value of a request header, its name in any case.
    Header(String),
    /// The value of a cookie.
    Cookie(String),
    /// The client's address, without the port.
    ClientAddress,
}

impl Split {
    /// `weight` of the traffic to `canary`, the rest to `stable`.
    #[must_use]
    pub fn new(stable: Revision, canary: Revision, weight: Percent) -> Self {
        Self {
            stable,
            canary: Some(Share {
                revision: canary,
                weight,
            }),
            cohort: None,
        }
    }

    /// All traffic to the only revision.
    #[must_use]
    pub fn all(stable: Revision) -> Self {
        Self {
            stable,
            canary: None,
            cohort: None,
        }
    }

    /// The same with users kept together by `cohort`.
    #[must_use]
    pub fn with_cohort(mut self, cohort: Option<CohortKey>) -> Self {
        self.cohort = cohort;
        self
    }

    /// The canary's share, 0 % where there is none.
    #[must_use]
    pub fn weight(&self) -> Percent {
        self.canary
            .as_ref()
            .map_or(Percent::ZERO, |share| share.weight)
    }

    /// The share of the traffic that `revision` gets in either role.
    #[must_use]
    pub fn share_of(&self, revision: &Revision) -> Percent {
        match &self.canary {
            Some(share) if share.revision == *revision && self.stable == *revision => {
                Percent::HUNDRED
            }
            Some(share) if share.revision == *revision => share.weight,
            _ if self.stable == *revision => self.weight().complement(),
            _ => Percent::ZERO,
        }
    }

    /// Whether every request would go to the same revision under both: a canary at 0 % equals none.
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> bool {
        let (canary, others) = (self.canary.as_ref(), other.canary.as_ref());
        [
            Some(&self.stable),
            canary.map(|c| &c.revision),
            others.map(|c| &c.revision),
        ]
        .into_iter()
        .flatten()
        .all(|revision| self.share_of(revision) == other.share_of(revision))
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.canary {
            Some(share) => {
                let rest = share.weight.complement();
                write!(
                    f,
                    "{} {rest}, {} {}",
                    self.stable, share.revision, share.weight
                )
            }
            None => write!(f, "{} 100 %", self.stable),
        }
    }
}

/// What a router can do. A split that asks for more is refused with
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported), never quietly rounded or ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Capability {
    /// The finest weight: every weight that is a multiple of it can be set.
    pub granularity: Percent,
    /// How long after [`TrafficRouter::apply`] returns the last request under the old split can still
    /// be assigned. Measured or documented, not hoped for.
    pub propagation: Duration,
    /// Whether users can be kept together by a [`CohortKey`].
    pub cohorts: bool,
}

impl Capability {
    /// A router that sets multiples of `granularity`, in force after `propagation`, without cohorts.
    #[must_use]
    pub const fn new(granularity: Percent, propagation: Duration) -> Self {
        Self {
            granularity,
            propagation,
            cohorts: false,
        }
    }

    /// The same with or without cohorts.
    #[must_use]
    pub const fn with_cohorts(mut self, cohorts: bool) -> Self {
        self.cohorts = cohorts;
        self
    }

    /// Refuses the split if a router of this capability cannot do it exactly.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported), naming what is missing.
    pub fn check(&self, split: &Split) -> Result<()> {
        let (weight, step) = (split.weight(), self.granularity.basis_points().max(1));
        if weight != Percent::HUNDRED && weight.basis_points() % step != 0 {
            let step = self.granularity;
            return Err(crate::Error::unsupported(format_args!(
                "a weight of {weight}: this router sets multiples of {step}"
            )));
        }
        if split.cohort.is_some() && !self.cohorts {
            return Err(crate::Error::unsupported(
                "cohorts: this router draws each request anew",
            ));
        }
        Ok(())
    }
}

/// Divides the traffic of one workload.
///
/// # Contract
/// - **Desired end.** [`apply`](Self::apply) twice is the same as once, also after a crash.
/// - **All or nothing.** An `apply` that fails leaves the split that was in force, or the new one;
///   never a mixture, and never one whose shares do not total 100 %.
/// - **Truth.** [`observe`](Self::observe) reads back what the data plane was told, not what this
///   adapter remembers, so that a change from outside is seen. What `apply` accepted, `observe` returns
///   in the sense of [`Split::agrees_with`].
/// - **No rounding.** What the router cannot do exactly is refused; see [`Capability::check`].
/// - **Others' settings stay.** Only the shares are changed: retries, timeouts, other routes are not.
/// - **Cancellation.** A future that is dropped leaves the old split or the new one.
/// - **Errors** as for [`Executor`](crate::workload::Executor).
#[async_trait]
pub trait TrafficRouter: fmt::Debug + Send + Sync {
    /// What this router can do. Never changes while the router lives.
    fn capability(&self) -> Capability;

    /// Puts the split in force for new requests; in force at the latest
    /// [`Capability::propagation`] after it returns.
    async fn apply(&self, split: &Split) -> Result<()>;

    /// The split that the data plane has been told. Changes nothing.
    async fn observe(&self) -> Result<Split>;
}

/// Tells a router that balances over replicas itself (an embedded proxy, nginx) which addresses serve
/// a revision. Where the platform does that (Kubernetes Services), nobody needs it.
///
/// # Contract
/// - **Desired end.** Adding what is there and draining what is gone succeed and change nothing.
/// - **Add when ready.** The caller adds an address once it answers; requests may come at once.
/// - **Drain before stop.** After [`drain`](Self::drain) returns no new request goes to the address.
/// - **Cancellation.** A `drain` that is dropped can be asked for again: the address may still get new
///   requests, or none; it is never half-drained in a way that the next `drain` refuses.
/// - **Errors** as for [`Executor`](crate::workload::Executor).
#[async_trait]
pub trait Endpoints: fmt::Debug + Send + Sync {
    /// `address` serves `revision` from now on.
    async fn add(&self, revision: &Revision, address: SocketAddr) -> Result<()>;

    /// Sends no new request to `address`, waits until those in flight are answered, at most `within`,
    /// and returns how many are left then: 0 means that stopping it hurts nobody.
    async fn drain(
        &self,
        revision: &Revision,
        address: SocketAddr,
        within: Duration,
    ) -> Result<u64>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(name: &str) -> Revision {
        Revision::new(name).unwrap()
    }

    #[test]
    fn shares_total_the_whole_whatever_the_roles() {
        let (v1, v2) = (revision("v1"), revision("v2"));
        for points in [0, 1, 3_333, 10_000] {
            let weight = Percent::from_basis_points(points).unwrap();
            let split = Split::new(v1.clone(), v2.clone(), weight);
            assert_eq!(split.share_of(&v1), split.share_of(&v2).complement());
            assert_eq!(split.share_of(&revision("v3")), Percent::ZERO);
        }
        let both = Split::new(v1.clone(), v1.clone(), Percent::ZERO);
        assert_eq!(both.share_of(&v1), Percent::HUNDRED);
    }

    #[test]
    fn a_canary_without_traffic_agrees_with_no_canary() {
        let (v1, v2) = (revision("v1"), revision("v2"));
        let none = Split::all(v1.clone());
        let zero = Split::new(v1.clone(), v2.clone(), Percent::ZERO);
        assert!(none.agrees_with(&zero) && zero.agrees_with(&none));
        let some = Split::new(v1.clone(), v2.clone(), Percent::new(1).unwrap());
        assert!(!some.agrees_with(&none) && !none.agrees_with(&some));
        let swapped = Split::new(v2, v1, Percent::HUNDRED);
        assert!(swapped.agrees_with(&none) && none.agrees_with(&swapped));
    }

    #[test]
    fn what_a_router_cannot_do_is_refused_not_rounded() {
        let coarse = Capability::new(Percent::new(5).unwrap(), Duration::ZERO);
        let at = |percent| Split::new(revision("a"), revision("b"), Percent::new(percent).unwrap());
        assert!(coarse.check(&at(10)).is_ok() && coarse.check(&at(100)).is_ok());
        let refused = coarse.check(&at(7)).unwrap_err();
        assert_eq!(refused.kind(), crate::ErrorKind::Unsupported);
        let sticky = at(10).with_cohort(Some(CohortKey::ClientAddress));
        assert!(coarse.check(&sticky).is_err());
        assert!(coarse.with_cohorts(true).check(&sticky).is_ok());
    }
}
