//! What replicas have to do with the world around their process: health, and traffic.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use codedance_core::traffic::Endpoints;
use codedance_core::workload::Revision;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::warn;

use crate::config::{Config, Template};
use crate::health;

/// How long to wait before an address that could not be drained is tried again.
const DRAIN_RETRY: Duration = Duration::from_millis(100);
/// How much longer than it was given a drain may take before it is given up.
const DRAIN_SLACK: Duration = Duration::from_secs(1);

/// What a replica is one of, and where its health and its traffic are seen to.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) revision: Revision,
    pub(crate) template: Arc<Template>,
    pub(crate) config: Arc<Config>,
    pub(crate) endpoints: Option<Arc<dyn Endpoints>>,
}

impl Place {
    /// Waits until the replica is healthy and gets traffic. `trouble` says meanwhile why not;
    /// `registered` is set before the address is told to anybody.
    pub(crate) async fn until_ready(
        &self,
        address: SocketAddr,
        interval: Duration,
        registered: &mut bool,
        trouble: &mut Option<String>,
    ) {
        let mut healthy = 0;
        loop {
            match self.check(address).await {
                Err(ailment) => (healthy, *trouble) = (0, Some(ailment)),
                Ok(()) if healthy + 1 < self.config.healthy_threshold => healthy += 1,
                Ok(()) => {
                    let Some(endpoints) = &self.endpoints else {
                        return;
                    };
                    *registered = true;
                    match endpoints.add(&self.revision, address).await {
                        Ok(()) => return,
                        Err(error) => *trouble = Some(error.to_string()),
                    }
                }
            }
            sleep(interval).await;
        }
    }

    /// Waits until health checks failed often enough in a row, and says how the last did.
    pub(crate) async fn until_unhealthy(&self, address: SocketAddr) -> String {
        let mut failed = 0;
        loop {
            sleep(self.config.health_interval).await;
            match self.check(address).await {
                Ok(()) => failed = 0,
                Err(ailment) if failed + 1 >= self.config.unhealthy_threshold => return ailment,
                Err(_) => failed += 1,
            }
        }
    }

    async fn check(&self, address: SocketAddr) -> Result<(), String> {
        let checked = health::check(
            address,
            &self.template.health_path,
            self.config.health_timeout,
        );
        checked.await.map_err(|ailment| ailment.to_string())
    }

    /// Keeps new requests from the replica, and gives those in flight `within` to be answered. What
    /// cannot be drained for longer than the drain deadline is left, with a warning.
    pub(crate) async fn drain(&self, address: SocketAddr, within: Duration) {
        let Some(endpoints) = &self.endpoints else {
            return;
        };
        let give_up = Instant::now() + self.config.drain_deadline + DRAIN_SLACK;
        loop {
            match timeout_at(give_up, endpoints.drain(&self.revision, address, within)).await {
                Ok(Ok(left)) => {
                    if left > 0 && within > Duration::ZERO {
                        warn!(%address, left, "requests still in flight after the drain deadline");
                    }
                    return;
                }
                Ok(Err(error)) if Instant::now() < give_up => {
                    warn!(%address, %error, "draining is tried again");
                    sleep(DRAIN_RETRY).await;
                }
                Ok(Err(_)) | Err(_) => {
                    warn!(%address, "could not be drained; it may still be sent requests");
                    return;
                }
            }
        }
    }
}
