//! The proxy as a router: told the split and the endpoints by whoever drives the rollout.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use codedance_core::traffic::{Capability, Endpoints, Split, TrafficRouter};
use codedance_core::workload::Revision;
use codedance_core::{Percent, Result};

use crate::endpoint::Endpoint;
use crate::server::Proxy;

/// Every basis point can be set, users can be kept together, and a split is in force for the first
/// request after [`apply`](TrafficRouter::apply) returns.
///
/// A split may name a revision without endpoints; its share is answered with 503 until it has one.
#[async_trait]
impl TrafficRouter for Proxy {
    fn capability(&self) -> Capability {
        let basis_point = Percent::ratio(1, 10_000);
        Capability::new(basis_point, Duration::ZERO).with_cohorts(true)
    }

    async fn apply(&self, split: &Split) -> Result<()> {
        let applied = self.routing().apply(split);
        applied.map_err(|error| error.during(format!("apply the split {split}")))
    }

    async fn observe(&self) -> Result<Split> {
        Ok(self.routing().split())
    }
}

#[async_trait]
impl Endpoints for Proxy {
    async fn add(&self, revision: &Revision, address: SocketAddr) -> Result<()> {
        self.routing().add(revision, address);
        Ok(())
    }

    async fn drain(
        &self,
        revision: &Revision,
        address: SocketAddr,
        within: Duration,
    ) -> Result<u64> {
        let meant = |endpoint: &Endpoint| endpoint.address == address;
        Ok(self.routing().drain(revision, meant, within).await)
    }
}
