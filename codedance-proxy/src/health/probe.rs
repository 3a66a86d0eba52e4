//! The tasks that check endpoints.

use std::pin::pin;
use std::sync::Arc;

use http::Request;
use http::header::{CONNECTION, HOST, HeaderValue, USER_AGENT};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::check::HealthCheck;
use super::status::Health;
use crate::endpoint::Endpoint;
use crate::headers;
use crate::multiplex;
use crate::phase::{Phase, Phases};
use crate::server::Plane;
use crate::transport::HttpVersion;
use crate::upload::Upload;

/// Checks every endpoint as long as it is in rotation, until the proxy finishes.
pub(crate) async fn keep_checking(plane: Arc<Plane>, check: HealthCheck, phases: Phases) {
    let check = Arc::new(check);
    let mut finishing = pin!(phases.reached(Phase::Finishing));
    // Dropped with whatever is under way in it.
    let mut checks = JoinSet::new();
    loop {
        // Listening begins before looking, so that no change falls in between.
        let mut changed = pin!(plane.routing.changed());
        changed.as_mut().enable();
        for route in plane.routing.routes().values() {
            for endpoint in &route.endpoints {
                if endpoint.standing.claim() {
                    checks.spawn(check_while_in_rotation(
                        Arc::clone(endpoint),
                        Arc::clone(&check),
                    ));
                }
            }
        }
        tokio::select! {
            () = changed => {}
            Some(_) = checks.join_next() => {}
            () = &mut finishing => return,
        }
    }
}

async fn check_while_in_rotation(endpoint: Arc<Endpoint>, check: Arc<HealthCheck>) {
    let checking = async {
        let mut opinion = Opinion::default();
        loop {
            let passed = passes(&endpoint, &check).await;
            let before = opinion.health();
            opinion.learn(passed, &check);
            let now = opinion.health();
            endpoint.standing.checked(passed, now);
            let (address, revision) = (endpoint.address, &endpoint.revision().name);
            match (before, now) {
                (Health::Unhealthy, Health::Healthy) => {
                    info!(%address, %revision, "an endpoint is healthy again");
                }
                (Health::Unchecked | Health::Healthy, Health::Unhealthy) => {
                    warn!(%address, %revision, "an endpoint is unhealthy");
                }
                _ => {}
            }
            sleep(check.interval.mul_f64(0.9 + 0.2 * fastrand::f64())).await;
        }
    };
    endpoint.gone().run_until_cancelled(checking).await;
}

/// Asks once.
async fn passes(endpoint: &Endpoint, check: &HealthCheck) -> bool {
    let address = endpoint.address;
    match timeout(check.timeout, ask(endpoint, check)).await {
        Ok(Ok(status)) if check.statuses.contains(&status) => return true,
        Ok(Ok(status)) => debug!(%address, status, "an endpoint failed its check"),
        Ok(Err(())) => debug!(%address, "an endpoint did not answer its check"),
        Err(_) => debug!(%address, "an endpoint did not answer its check in time"),
    }
    false
}

async fn ask(endpoint: &Endpoint, check: &HealthCheck) -> Result<u16, ()> {
    let mut request = Request::get(&*check.path)
        .header(USER_AGENT, "codedance-health-check")
        .body(Upload::Empty)
        .map_err(drop)?;
    if let Some(host) = &check.host {
        let host = HeaderValue::from_str(host).map_err(drop)?;
        request.headers_mut().insert(HOST, host);
    }
    let limit = check.timeout;
    let answer = if endpoint.version() == HttpVersion::Http2 {
        let lease = endpoint.lease(limit, None).await.map_err(drop)?;
        multiplex::settle_head(&mut request, endpoint.scheme(), endpoint.address).map_err(drop)?;
        let answer = lease.send(request, None, limit).await;
        answer.map(|answer| answer.status())
    } else {
        let mut upstream = endpoint.connect(limit, None).await.map_err(drop)?;
        headers::default_host(&mut request, endpoint.address);
        let close = HeaderValue::from_static("close");
        request.headers_mut().insert(CONNECTION, close);
        let answer = upstream.send(&mut request, None, limit).await;
        answer.map(|answer| answer.status())
    };
    answer.map(|status| status.as_u16()).map_err(drop)
}

/// What the checks of one endpoint add up to.
#[derive(Debug, Default)]
struct Opinion {
    /// `None` before the first check.
    healthy: Option<bool>,
    /// How many checks in a row have said otherwise.
    against: u32,
}

impl Opinion {
    fn learn(&mut self, passed: bool, check: &HealthCheck) {
        let Some(healthy) = self.healthy else {
            self.healthy = Some(passed);
            return;
        };
        if passed == healthy {
            self.against = 0;
            return;
        }
        self.against += 1;
        let enough = if healthy {
            check.unhealthy_threshold
        } else {
            check.healthy_threshold
        };
        if self.against >= enough {
            *self = Self {
                healthy: Some(passed),
                against: 0,
            };
        }
    }

    const fn health(&self) -> Health {
        match self.healthy {
            None => Health::Unchecked,
            Some(true) => Health::Healthy,
            Some(false) => Health::Unhealthy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The opinion after each of these checks: `+` for healthy, `-` for unhealthy.
    fn told(checks: &str) -> String {
        let check = HealthCheck::new("/");
        let mut opinion = Opinion::default();
        assert_eq!(opinion.health(), Health::Unchecked);
        let learn = |passed| {
            opinion.learn(passed == '+', &check);
            match opinion.health() {
                Health::Healthy => '+',
                Health::Unhealthy => '-',
                Health::Unchecked => '?',
            }
        };
        checks.chars().map(learn).collect()
    }

    #[test]
    fn the_first_check_decides_and_then_it_takes_several_in_a_row() {
        assert_eq!(told("+--+---"), "++++++-");
        assert_eq!(told("-+-++"), "----+");
        assert_eq!(told("---++---"), "----+++-");
    }
}
