//! What the executor knows and wants: which replicas there are, and in what phase each is.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use codedance_core::workload::{FleetStatus, GroupStatus, Revision};
use tokio::sync::watch;

use crate::config::Template;
use crate::error::ProcessError;
use crate::status::{Phase, ReplicaFailure, ReplicaStatus};

/// What a replica is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Serve.
    Run,
    /// Finish what is in flight, then end within the grace.
    Stop { grace: Duration },
    /// End now.
    Kill,
}

/// Tells a replica from all others that ever were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ReplicaId(u64);

/// A replica that was entered and needs a task to live.
#[derive(Debug)]
pub(crate) struct Newcomer {
    pub(crate) id: ReplicaId,
    pub(crate) revision: Revision,
    pub(crate) template: Arc<Template>,
    pub(crate) orders: watch::Receiver<Order>,
}

/// The ledger behind its lock, and what is published of it.
#[derive(Debug, Default)]
pub(crate) struct Books {
    ledger: Mutex<Ledger>,
    status: watch::Sender<FleetStatus>,
    /// Held while publishing, so that an older status never follows a newer one. The ledger is not:
    /// who looks at what is published may look at the ledger meanwhile.
    publishing: Mutex<()>,
}

impl Books {
    /// The one way to change the ledger: what changed is published.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Ledger) -> T) -> T {
        let result = {
            let mut ledger = locked(&self.ledger);
            let result = change(&mut ledger);
            ledger
                .groups
                .retain(|_, group| group.desired > 0 || !group.replicas.is_empty());
            result
        };
        let _turn = locked(&self.publishing);
        let status = self.read(Ledger::status);
        self.status.send_if_modified(|published| {
            let changed = *published != status;
            *published = status;
            changed
        });
        result
    }

    pub(crate) fn read<T>(&self, read: impl FnOnce(&Ledger) -> T) -> T {
        read(&locked(&self.ledger))
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<FleetStatus> {
        self.status.subscribe()
    }
}

/// What a panic left is whole: no change of the ledger is done by halves.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The executor's memory. Nothing in it waits.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) stable: Option<Revision>,
    pub(crate) templates: BTreeMap<Revision, Arc<Template>>,
    pub(crate) failures: BTreeMap<Revision, ReplicaFailure>,
    groups: BTreeMap<Revision, Group>,
    entered: u64,
    closed: bool,
    killed: usize,
}

#[derive(Debug, Default)]
struct Group {
    desired: u32,
    /// How many replicas there were when it was first told to retire.
    retiring: Option<usize>,
    replicas: BTreeMap<ReplicaId, Entry>,
}

#[derive(Debug)]
struct Entry {
    status: ReplicaStatus,
    orders: watch::Sender<Order>,
}

impl Ledger {
    /// Refuses counts that cannot be worked towards. Wanting nothing is always possible.
    pub(crate) fn check(&self, revision: &Revision, desired: u32) -> Result<(), ProcessError> {
        if desired > 0 && self.closed {
            return Err(ProcessError::ShutDown);
        }
        if desired > 0 && !self.templates.contains_key(revision) {
            let (doing, revision) = ("start", revision.clone());
            return Err(ProcessError::NoTemplate { doing, revision });
        }
        Ok(())
    }

    /// Wants `desired` replicas: enters those that are missing and tells those to stop that are too
    /// many, those first that serve least.
    pub(crate) fn resize(
        &mut self,
        revision: &Revision,
        desired: u32,
        grace: Duration,
    ) -> Vec<Newcomer> {
        let group = self.groups.entry(revision.clone()).or_default();
        group.desired = desired;
        if desired > 0 {
            group.retiring = None;
        }
        let mut staying: Vec<_> = group
            .replicas
            .iter_mut()
            .filter(|(_, entry)| entry.status.phase != Phase::Stopping)
            .collect();
        staying.sort_by_key(|(id, entry)| (entry.status.phase.worth(), std::cmp::Reverse(**id)));
        let (there, wanted) = (
            staying.len(),
            usize::try_from(desired).unwrap_or(usize::MAX),
        );
        for (_, entry) in staying.into_iter().take(there.saturating_sub(wanted)) {
            entry.order(Order::Stop { grace });
        }
        let Some(template) = self.templates.get(revision) else {
            return Vec::new();
        };
        let enter = |_| {
            self.entered += 1;
            let (id, (sender, orders)) = (ReplicaId(self.entered), watch::channel(Order::Run));
            group.replicas.insert(id, Entry::new(sender));
            Newcomer {
                id,
                revision: revision.clone(),
                template: template.clone(),
                orders,
            }
        };
        (there..wanted).map(enter).collect()
    }

    /// Wants nothing of it. Returns how many replicas are left of how many.
    pub(crate) fn retire(&mut self, revision: &Revision, grace: Duration) -> (usize, usize) {
        if !self.groups.contains_key(revision) {
            return (0, 0);
        }
        self.resize(revision, 0, grace);
        self.groups.get_mut(revision).map_or((0, 0), |group| {
            let left = group.replicas.len();
            (left, *group.retiring.get_or_insert(left))
        })
    }

    /// Starts nothing any more, and gives every replica the same last order.
    pub(crate) fn close(&mut self, order: Order) {
        self.closed = true;
        for group in self.groups.values_mut() {
            group.desired = 0;
            group
                .replicas
                .values_mut()
                .for_each(|entry| entry.order(order));
        }
    }

    /// A loopback port that is free now and that no other replica was given. Nobody can keep it free:
    /// between now and the moment when the replica listens, another program may take it.
    pub(crate) fn assign_port(&mut self, id: ReplicaId) -> io::Result<SocketAddr> {
        // Held until one is chosen, so that the system does not offer the same port again.
        let mut refused = Vec::new();
        loop {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let address = listener.local_addr()?;
            if self
                .entries()
                .all(|(_, entry)| entry.status.address != Some(address))
            {
                self.update(id, |status| status.address = Some(address));
                return Ok(address);
            }
            refused.push(listener);
        }
    }

    /// Changes what is known of a replica. One that was told to stop stays `Stopping`.
    pub(crate) fn update(&mut self, id: ReplicaId, update: impl FnOnce(&mut ReplicaStatus)) {
        let found = self
            .groups
            .values_mut()
            .find_map(|group| group.replicas.get_mut(&id));
        if let Some(Entry { status, .. }) = found {
            let stopping = status.phase == Phase::Stopping;
            update(status);
            if stopping {
                status.phase = Phase::Stopping;
            }
        }
    }

    pub(crate) fn remove(&mut self, id: ReplicaId, killed: bool) {
        self.groups
            .values_mut()
            .for_each(|group| drop(group.replicas.remove(&id)));
        self.killed += usize::from(killed && self.closed);
    }

    /// How many replicas had to be killed since the ledger was closed.
    pub(crate) fn killed(&self) -> usize {
        self.killed
    }

    pub(crate) fn replicas(&self, revision: &Revision) -> Vec<ReplicaStatus> {
        let group = self.groups.get(revision);
        group.map_or_else(Vec::new, |group| {
            group
                .replicas
                .values()
                .map(|entry| entry.status.clone())
                .collect()
        })
    }

    pub(crate) fn status(&self) -> FleetStatus {
        let groups = self.groups.iter();
        groups
            .map(|(r, group)| (r.clone(), group.status()))
            .collect()
    }

    fn entries(&self) -> impl Iterator<Item = (&ReplicaId, &Entry)> {
        self.groups.values().flat_map(|group| &group.replicas)
    }
}

impl Group {
    fn status(&self) -> GroupStatus {
        let mut status = GroupStatus::new(self.desired, 0);
        status.not_ready = 0;
        for Entry {
            status: replica, ..
        } in self.replicas.values()
        {
            match replica.phase {
                Phase::Ready => status.ready += 1,
                Phase::Starting | Phase::Unhealthy | Phase::Stopping => status.not_ready += 1,
                Phase::BackingOff | Phase::Failed => status.failed += 1,
            }
            status.restarts = status.restarts.saturating_add(replica.restarts);
        }
        status
    }
}

impl Entry {
    fn new(orders: watch::Sender<Order>) -> Self {
        let status = ReplicaStatus::default();
        Self { status, orders }
    }

    fn order(&mut self, order: Order) {
        self.status.phase = Phase::Stopping;
        self.orders.send_replace(order);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(1);

    fn ledger() -> (Ledger, Revision) {
        let v1 = Revision::new("v1").unwrap();
        let mut ledger = Ledger::default();
        ledger
            .templates
            .insert(v1.clone(), Arc::new(Template::new("web")));
        (ledger, v1)
    }

    fn orders(newcomers: &[Newcomer]) -> Vec<bool> {
        newcomers
            .iter()
            .map(|newcomer| *newcomer.orders.borrow() == Order::Run)
            .collect()
    }

    #[test]
    fn what_serves_least_is_scaled_away_first() {
        let (mut ledger, v1) = ledger();
        let newcomers = ledger.resize(&v1, 4, GRACE);
        let phases = [Phase::Ready, Phase::Failed, Phase::Ready, Phase::Starting];
        for (newcomer, phase) in newcomers.iter().zip(phases) {
            ledger.update(newcomer.id, |status| status.phase = phase);
        }
        ledger.resize(&v1, 3, GRACE);
        assert_eq!(orders(&newcomers), [true, false, true, true]);
        ledger.resize(&v1, 2, GRACE);
        assert_eq!(orders(&newcomers), [true, false, true, false]);
        // Of those that serve alike, the newest goes.
        ledger.resize(&v1, 1, GRACE);
        assert_eq!(orders(&newcomers), [true, false, false, false]);
    }

    #[test]
    fn a_replica_that_stops_is_neither_counted_nor_revived() {
        let (mut ledger, v1) = ledger();
        let first = ledger.resize(&v1, 1, GRACE);
        ledger.resize(&v1, 0, GRACE);
        ledger.update(first[0].id, |status| status.phase = Phase::Ready);
        let second = ledger.resize(&v1, 1, GRACE);
        assert_eq!(second.len(), 1);
        assert_eq!(ledger.status().of(&v1).ready, 0);
        assert_eq!(ledger.status().of(&v1).not_ready, 2);
    }

    #[test]
    fn retirement_counts_down() {
        let (mut ledger, v1) = ledger();
        let newcomers = ledger.resize(&v1, 3, GRACE);
        assert_eq!(ledger.retire(&v1, GRACE), (3, 3));
        ledger.remove(newcomers[1].id, false);
        assert_eq!(ledger.retire(&v1, GRACE), (2, 3));
        assert_eq!(ledger.retire(&Revision::new("v9").unwrap(), GRACE), (0, 0));
    }

    #[test]
    fn no_two_replicas_are_given_the_same_port() {
        let (mut ledger, v1) = ledger();
        let mut ports: Vec<_> = ledger
            .resize(&v1, 200, GRACE)
            .iter()
            .map(|newcomer| ledger.assign_port(newcomer.id).unwrap())
            .collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 200);
    }
}
