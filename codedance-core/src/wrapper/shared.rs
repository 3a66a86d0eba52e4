//! A shared port is a port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::error::Result;
use crate::journal::{Entry, Journal, Lease};
use crate::metrics::{MetricsSource, Question, Reading};
use crate::rollout::{Event, Observer};
use crate::traffic::{Capability, Endpoints, Split, TrafficRouter};
use crate::workload::{Executor, Fleet, FleetStatus, Progress, Revision, WorkloadName};

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: Executor + ?Sized> Executor for Arc<T> {
    async fn scale(&self, fleet: &Fleet) -> Result<FleetStatus> {
        (**self).scale(fleet).await
    }

    async fn status(&self) -> Result<FleetStatus> {
        (**self).status().await
    }

    async fn promote(&self, revision: &Revision) -> Result<Progress> {
        (**self).promote(revision).await
    }

    async fn retire(&self, revision: &Revision) -> Result<Progress> {
        (**self).retire(revision).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: TrafficRouter + ?Sized> TrafficRouter for Arc<T> {
    fn capability(&self) -> Capability {
        (**self).capability()
    }

    async fn apply(&self, split: &Split) -> Result<()> {
        (**self).apply(split).await
    }

    async fn observe(&self) -> Result<Split> {
        (**self).observe().await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: Endpoints + ?Sized> Endpoints for Arc<T> {
    async fn add(&self, revision: &Revision, address: SocketAddr) -> Result<()> {
        (**self).add(revision, address).await
    }

    async fn drain(
        &self,
        revision: &Revision,
        address: SocketAddr,
        within: Duration,
    ) -> Result<u64> {
        (**self).drain(revision, address, within).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: MetricsSource + ?Sized> MetricsSource for Arc<T> {
    async fn measure(&self, question: &Question) -> Result<Vec<Reading>> {
        (**self).measure(question).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: Journal + ?Sized> Journal for Arc<T> {
    async fn acquire(
        &self,
        workload: &WorkloadName,
        owner: &str,
        length: Duration,
    ) -> Result<Lease> {
        (**self).acquire(workload, owner, length).await
    }

    async fn renew(&self, lease: &Lease, length: Duration) -> Result<Lease> {
        (**self).renew(lease, length).await
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        (**self).release(lease).await
    }

    async fn append(&self, lease: &Lease, entry: &Entry) -> Result<()> {
        (**self).append(lease, entry).await
    }

    async fn load(&self, workload: &WorkloadName) -> Result<Vec<Entry>> {
        (**self).load(workload).await
    }

    async fn list(&self) -> Result<Vec<WorkloadName>> {
        (**self).list().await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: Observer + ?Sized> Observer for Arc<T> {
    async fn on_event(&self, event: &Event) {
        (**self).on_event(event).await;
    }
}
