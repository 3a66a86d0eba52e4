//! What a user is told about endpoints.

use std::net::SocketAddr;
use std::time::Duration;

use codedance_core::workload::Revision;

use crate::endpoint::Endpoint;
use crate::server::Proxy;

/// What is known of one endpoint in rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointStatus {
    /// Where it listens.
    pub address: SocketAddr,
    /// What its [checks](crate::HealthCheck) say.
    pub health: Health,
    /// How long it stays ejected by [`OutlierDetection`](crate::OutlierDetection); `None` when it is
    /// not.
    pub ejected_for: Option<Duration>,
    /// How often it has been ejected since it was added.
    pub ejections: u64,
    /// Requests that went wrong since the last that did not; 0 without
    /// [`OutlierDetection`](crate::OutlierDetection).
    pub consecutive_failures: u32,
    /// Requests that it is answering now, bodies included.
    pub in_flight: u64,
}

/// What the checks of an endpoint say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Health {
    /// No check has ended yet, or there are none: it gets requests.
    Unchecked,
    /// It gets requests.
    Healthy,
    /// It gets requests only when no healthy endpoint of its revision accepts them.
    Unhealthy,
}

impl EndpointStatus {
    fn of(endpoint: &Endpoint) -> Self {
        let standing = &endpoint.standing;
        Self {
            address: endpoint.address,
            health: standing.health(),
            ejected_for: standing.ejected_for(),
            ejections: standing.ejections(),
            consecutive_failures: standing.failures(),
            in_flight: endpoint.in_flight(),
        }
    }
}

impl Proxy {
    /// What is known of each endpoint in rotation for a revision, in the order in which they were
    /// added.
    #[must_use]
    pub fn endpoint_status(&self, revision: &Revision) -> Vec<EndpointStatus> {
        let route = self.routing().route(revision);
        let endpoints = route.iter().flat_map(|route| &route.endpoints);
        endpoints.map(|e| EndpointStatus::of(e)).collect()
    }
}
