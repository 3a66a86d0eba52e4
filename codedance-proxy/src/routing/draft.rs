//! What the table is made of.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use codedance_core::Timestamp;
use codedance_core::traffic::Split;
use codedance_core::workload::Revision;

use super::table::Table;
use crate::cohort::KeySource;
use crate::config::Config;
use crate::dial::Dialer;
use crate::endpoint::{Endpoint, RevisionState};
use crate::mirror::{MirrorTarget, Mirroring};
use crate::route::Route;
use crate::rules::Rules;

#[derive(Debug)]
pub(super) struct Draft {
    pub(super) split: Split,
    pub(super) key: Option<KeySource>,
    pub(super) rules: Arc<Rules>,
    pub(super) mirror: Option<Arc<Mirroring>>,
    pub(super) groups: BTreeMap<Revision, Group>,
    /// Those of revisions that are spoken to in a way of their own.
    pub(super) dialers: BTreeMap<Revision, Arc<Dialer>>,
}

#[derive(Debug)]
pub(super) struct Group {
    pub(super) revision: Arc<RevisionState>,
    pub(super) endpoints: Vec<Arc<Endpoint>>,
    /// Out of rotation, with requests that may still be in flight.
    pub(super) leaving: Vec<Arc<Endpoint>>,
}

impl Draft {
    /// Everything goes to the stable revision of the configuration, which has no group yet.
    pub(super) fn new(config: &Config) -> Self {
        Self {
            split: Split::all(config.stable.clone()),
            key: None,
            rules: Arc::new(config.rules.clone()),
            mirror: None,
            groups: BTreeMap::new(),
            dialers: BTreeMap::new(),
        }
    }

    /// Forgets revisions of which nothing is left, and nothing has happened for so long. False if there
    /// is none.
    pub(super) fn forget(&mut self, now: Timestamp, history: Duration) -> bool {
        let count = self.groups.len();
        let (split, mirror, dialers) = (&self.split, &self.mirror, &mut self.dialers);
        self.groups.retain(|revision, group| {
            let canary = split.canary.as_ref();
            let named = split.stable == *revision
                || canary.is_some_and(|canary| canary.revision == *revision)
                || mirror.as_ref().is_some_and(|m| m.revision() == revision);
            let served = !group.endpoints.is_empty() || group.revision.in_flight() > 0;
            let remembered = group.revision.history.last_change();
            let recent = remembered.is_some_and(|at| now.since(at) < history);
            let stays = named || served || recent;
            if !stays {
                dialers.remove(revision);
            }
            stays
        });
        self.groups.len() < count
    }

    pub(super) fn group(
        &mut self,
        name: &Revision,
        config: &Config,
        bounds: &Arc<[Duration]>,
    ) -> &mut Group {
        self.groups.entry(name.clone()).or_insert_with(|| Group {
            revision: Arc::new(RevisionState::new(name.clone(), config, Arc::clone(bounds))),
            endpoints: Vec::new(),
            leaving: Vec::new(),
        })
    }

    pub(super) fn table(&self) -> Table {
        let routes: BTreeMap<_, _> = self
            .groups
            .iter()
            .map(|(name, group)| {
                let route = Route {
                    revision: Arc::clone(&group.revision),
                    endpoints: group.endpoints.clone(),
                };
                (name.clone(), Arc::new(route))
            })
            .collect();
        let canary = self.split.canary.as_ref();
        Table {
            // Every revision of the split and the mirror has a group: whoever sets them sees to it, and
            // `tidy` leaves it.
            stable: Arc::clone(&routes[&self.split.stable]),
            canary: canary.map(|c| (Arc::clone(&routes[&c.revision]), c.weight)),
            key: self.key.clone(),
            rules: Arc::clone(&self.rules),
            mirror: self.mirror.as_ref().map(|mirroring| {
                let route = Arc::clone(&routes[mirroring.revision()]);
                Arc::new(MirrorTarget::new(Arc::clone(mirroring), route))
            }),
            split: self.split.clone(),
            routes,
        }
    }
}
