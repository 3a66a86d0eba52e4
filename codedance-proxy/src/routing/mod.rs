//! The routing table: which revisions there are, where they are served, and who gets which.

mod draft;
mod table;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use codedance_core::Timestamp;
use codedance_core::traffic::Split;
use codedance_core::workload::Revision;
use http::HeaderMap;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

use crate::cohort::KeySource;
use crate::config::Config;
use crate::dial::Dialer;
use crate::endpoint::Endpoint;
use crate::error::ProxyError;
use crate::mirror::{Mirror, MirrorTasks, Mirroring};
use crate::route::{Chosen, Route};
use crate::rules::Rules;
use draft::Draft;
use table::Table;

/// The table in force, and the draft that the next one is made from.
///
/// A request loads the table once and keeps to it; a change is one atomic swap, so there is no
/// moment between two tables at which a request could find neither.
#[derive(Debug)]
pub(crate) struct Routing {
    current: ArcSwap<Table>,
    draft: Mutex<Draft>,
    changed: Notify,
    pub(crate) mirror_tasks: MirrorTasks,
    config: Config,
    bounds: Arc<[Duration]>,
    dialer: Arc<Dialer>,
}

impl Routing {
    /// Everything goes to the stable revision of the configuration, which has no endpoint yet.
    pub(crate) fn new(config: Config, dialer: Dialer) -> Self {
        let bounds = config
            .latency_bounds
            .iter()
            .map(|bound| Duration::from_secs_f64(*bound))
            .collect();
        let mut draft = Draft::new(&config);
        draft.group(&config.stable, &config, &bounds);
        let mirror_tasks = MirrorTasks::default();
        if let Some(mirror) = config.mirror.clone() {
            draft.group(&mirror.to, &config, &bounds);
            let mirroring = Mirroring::new(mirror, config.clone(), mirror_tasks.clone());
            draft.mirror = Some(Arc::new(mirroring));
        }
        Self {
            mirror_tasks,
            current: ArcSwap::from_pointee(draft.table()),
            draft: Mutex::new(draft),
            changed: Notify::new(),
            config,
            bounds,
            dialer: Arc::new(dialer),
        }
    }

    /// Who answers a request with these headers from this client.
    pub(crate) fn choose(&self, headers: &HeaderMap, address: &[u8]) -> Chosen {
        let table = self.current.load();
        let (route, reason) = table.choose(headers, address);
        let route = Arc::clone(route);
        let mirror = table.mirror.as_ref();
        let mirror = mirror.filter(|mirror| mirror.draws(&route.revision.name));
        Chosen {
            mirror: mirror.cloned(),
            route,
            reason,
        }
    }

    pub(crate) fn split(&self) -> Split {
        self.current.load().split.clone()
    }

    pub(crate) fn routes(&self) -> BTreeMap<Revision, Arc<Route>> {
        self.current.load().routes.clone()
    }

    pub(crate) fn route(&self, revision: &Revision) -> Option<Arc<Route>> {
        self.current.load().routes.get(revision).cloned()
    }

    /// Puts the split in force for the next request.
    pub(crate) fn apply(&self, split: &Split) -> Result<(), ProxyError> {
        let key = split.cohort.as_ref().map(KeySource::try_from).transpose()?;
        let mut draft = self.draft();
        draft.group(&split.stable, &self.config, &self.bounds);
        if let Some(canary) = &split.canary {
            draft.group(&canary.revision, &self.config, &self.bounds);
        }
        draft.split = split.clone();
        draft.key = key;
        self.publish(&draft);
        Ok(())
    }

    /// Puts the rules in force for the next request.
    pub(crate) fn set_rules(&self, rules: Rules) {
        let mut draft = self.draft();
        draft.rules = Arc::new(rules);
        self.publish(&draft);
    }

    /// Has endpoints that are added to the revision from now on spoken to in this way.
    pub(crate) fn set_dialer(&self, revision: &Revision, dialer: Dialer) {
        let dialer = Arc::new(dialer);
        self.draft().dialers.insert(revision.clone(), dialer);
    }

    /// Puts the mirror in force for the next request.
    pub(crate) fn set_mirror(&self, mirror: Option<Mirror>) -> Result<(), ProxyError> {
        let mut draft = self.draft();
        draft.mirror = match mirror {
            None => None,
            Some(mirror) => {
                mirror.check()?;
                draft.group(&mirror.to, &self.config, &self.bounds);
                let tasks = self.mirror_tasks.clone();
                let mirroring = Mirroring::new(mirror, self.config.clone(), tasks);
                Some(Arc::new(mirroring))
            }
        };
        self.publish(&draft);
        Ok(())
    }

    /// Puts an endpoint in rotation, if it is not there already.
    pub(crate) fn add(&self, revision: &Revision, address: SocketAddr) {
        let mut draft = self.draft();
        let dialer = draft.dialers.get(revision).unwrap_or(&self.dialer);
        let dialer = Arc::clone(dialer);
        let group = draft.group(revision, &self.config, &self.bounds);
        if group.endpoints.iter().all(|e| e.address != address) {
            let revision = Arc::clone(&group.revision);
            let endpoint = Endpoint::new(address, revision, dialer, &self.config);
            group.endpoints.push(Arc::new(endpoint));
            self.publish(&draft);
        }
    }

    /// Takes the endpoints of the revision that are `meant` out of rotation, waits for what is in
    /// flight there, at most `within`, and returns how many requests are left.
    pub(crate) async fn drain(
        &self,
        revision: &Revision,
        meant: impl Fn(&Endpoint) -> bool,
        within: Duration,
    ) -> u64 {
        let deadline = Instant::now() + within;
        let mut left = 0;
        for endpoint in self.take_out(revision, meant) {
            left += endpoint.idle(deadline).await;
        }
        left
    }

    /// Takes endpoints out of rotation; returns them with those that left earlier and are not idle.
    fn take_out(
        &self,
        revision: &Revision,
        meant: impl Fn(&Endpoint) -> bool,
    ) -> Vec<Arc<Endpoint>> {
        let mut draft = self.draft();
        let Some(group) = draft.groups.get_mut(revision) else {
            return Vec::new();
        };
        group.leaving.retain(|endpoint| endpoint.in_flight() > 0);
        for endpoint in group.endpoints.extract_if(.., |e| meant(e)) {
            group.leaving.push(endpoint);
        }
        let leaving: Vec<_> = group.leaving.iter().filter(|e| meant(e)).cloned().collect();
        self.publish(&draft);
        // Only now: until the new table is in force, requests have nowhere else to go.
        for endpoint in &leaving {
            endpoint.leave();
        }
        leaving
    }

    /// Notes the counters of all revisions, closes connections that idle for too long, and forgets
    /// revisions that have neither endpoint nor share, and of which nothing is remembered.
    pub(crate) fn tidy(&self, now: Timestamp) {
        for route in self.routes().values() {
            route
                .revision
                .history
                .note(now, route.revision.counters.totals());
            for endpoint in &route.endpoints {
                endpoint.sweep();
            }
        }
        let mut draft = self.draft();
        if draft.forget(now, self.config.history) {
            self.publish(&draft);
        }
    }

    /// Ends when a table comes into force after this call.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    fn publish(&self, draft: &Draft) {
        self.current.store(Arc::new(draft.table()));
        self.changed.notify_waiters();
    }

    fn draft(&self) -> MutexGuard<'_, Draft> {
        self.draft.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
