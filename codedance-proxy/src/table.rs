//! The routing table: which revisions there are, where they are served, and who gets which.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use codedance_core::traffic::{CohortKey, Split};
use codedance_core::workload::Revision;
use codedance_core::{Percent, Timestamp};
use http::HeaderMap;
use http::header::HeaderName;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

use crate::cohort::{KeySource, in_cohort};
use crate::config::Config;
use crate::dial::Dialer;
use crate::endpoint::{Endpoint, RevisionState};
use crate::error::ProxyError;
use crate::mirror::{Mirror, MirrorTarget, MirrorTasks, Mirroring};
use crate::route::{Chosen, Reason, Route};
use crate::rules::{Rules, Side};

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

/// Everything that one request needs to know to be sent on its way.
#[derive(Debug)]
pub(crate) struct Table {
    split: Split,
    stable: Arc<Route>,
    canary: Option<(Arc<Route>, Percent)>,
    key: Option<KeySource>,
    rules: Arc<Rules>,
    mirror: Option<Arc<MirrorTarget>>,
    routes: BTreeMap<Revision, Arc<Route>>,
}

#[derive(Debug)]
struct Draft {
    split: Split,
    key: Option<KeySource>,
    rules: Arc<Rules>,
    mirror: Option<Arc<Mirroring>>,
    groups: BTreeMap<Revision, Group>,
    /// Those of revisions that are spoken to in a way of their own.
    dialers: BTreeMap<Revision, Arc<Dialer>>,
}

#[derive(Debug)]
struct Group {
    revision: Arc<RevisionState>,
    endpoints: Vec<Arc<Endpoint>>,
    /// Out of rotation, with requests that may still be in flight.
    leaving: Vec<Arc<Endpoint>>,
}

impl Routing {
    /// Everything goes to the stable revision of the configuration, which has no endpoint yet.
    pub(crate) fn new(config: Config, dialer: Dialer) -> Self {
        let bounds = config
            .latency_bounds
            .iter()
            .map(|bound| Duration::from_secs_f64(*bound))
            .collect();
        let mut draft = Draft {
            split: Split::all(config.stable.clone()),
            key: None,
            rules: Arc::new(config.rules.clone()),
            mirror: None,
            groups: BTreeMap::new(),
            dialers: BTreeMap::new(),
        };
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
        let key = split.cohort.as_ref().map(key_source).transpose()?;
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
        let count = draft.groups.len();
        let Draft {
            split,
            mirror,
            groups,
            dialers,
            ..
        } = &mut *draft;
        groups.retain(|revision, group| {
            let named = split.stable == *revision
                || split
                    .canary
                    .as_ref()
                    .is_some_and(|c| c.revision == *revision)
                || mirror.as_ref().is_some_and(|m| m.revision() == revision);
            let served = !group.endpoints.is_empty() || group.revision.in_flight() > 0;
            let remembered = group.revision.history.last_change();
            let recent = remembered.is_some_and(|at| now.since(at) < self.config.history);
            let stays = named || served || recent;
            if !stays {
                dialers.remove(revision);
            }
            stays
        });
        if groups.len() < count {
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

impl Draft {
    fn group(&mut self, name: &Revision, config: &Config, bounds: &Arc<[Duration]>) -> &mut Group {
        self.groups.entry(name.clone()).or_insert_with(|| Group {
            revision: Arc::new(RevisionState::new(name.clone(), config, Arc::clone(bounds))),
            endpoints: Vec::new(),
            leaving: Vec::new(),
        })
    }

    fn table(&self) -> Table {
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

impl Table {
    fn choose(&self, headers: &HeaderMap, address: &[u8]) -> (&Arc<Route>, Reason) {
        let Some((canary, weight)) = &self.canary else {
            return (&self.stable, Reason::Only);
        };
        match self.is_for_canary(*weight, headers, address) {
            (true, reason) => (canary, reason),
            (false, reason) => (&self.stable, reason),
        }
    }

    fn is_for_canary(
        &self,
        weight: Percent,
        headers: &HeaderMap,
        address: &[u8],
    ) -> (bool, Reason) {
        if weight == Percent::ZERO || weight == Percent::HUNDRED {
            return (weight == Percent::HUNDRED, Reason::Only);
        }
        if let Some(side) = self.rules.side(headers, address) {
            return (side == Side::Canary, Reason::Rule);
        }
        let Some(key) = &self.key else {
            let chance = fastrand::u16(..Percent::HUNDRED.basis_points());
            return (chance < weight.basis_points(), Reason::Weight);
        };
        match key.key(headers, address) {
            b"" => (false, Reason::Fallback),
            key => (in_cohort(key, weight), Reason::Cohort),
        }
    }
}

fn key_source(key: &CohortKey) -> Result<KeySource, ProxyError> {
    match key {
        CohortKey::Header(name) => HeaderName::from_bytes(name.as_bytes())
            .map(KeySource::Header)
            .map_err(|_| ProxyError::HeaderName(name.clone())),
        // A cookie's name is a token, as a header's is.
        CohortKey::Cookie(name) if HeaderName::from_bytes(name.as_bytes()).is_ok() => {
            Ok(KeySource::Cookie(name.clone()))
        }
        CohortKey::Cookie(name) => Err(ProxyError::CookieName(name.clone())),
        CohortKey::ClientAddress => Ok(KeySource::ClientAddress),
        other => Err(ProxyError::CohortKey(other.clone())),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::health::Health;

    fn revision(name: &str) -> Revision {
        Revision::new(name).unwrap()
    }

    fn routing() -> Routing {
        let config = Config::new(([127, 0, 0, 1], 0).into(), revision("v1"));
        let config = config.with_cool_down(Duration::from_secs(3_600));
        Routing::new(config, Dialer::default())
    }

    fn split(points: u16) -> Split {
        let weight = Percent::from_basis_points(points).unwrap();
        Split::new(revision("v1"), revision("v2"), weight)
    }

    fn canaries(routing: &Routing, requests: u32) -> f64 {
        let headers = HeaderMap::new();
        let canary = |_: &u32| routing.choose(&headers, b"").route.revision.name.as_str() == "v2";
        f64::from((0..requests).filter(canary).count() as u32)
    }

    #[test]
    fn drawn_shares_are_within_binomial_noise() {
        let routing = routing();
        let requests = 200_000;
        for points in [1, 50, 500, 2_500, 5_000, 9_999] {
            routing.apply(&split(points)).unwrap();
            let share = f64::from(points) / 10_000.0;
            let expected = f64::from(requests) * share;
            let sigma = (expected * (1.0 - share)).sqrt();
            let found = canaries(&routing, requests);
            assert!(
                (found - expected).abs() <= 6.0 * sigma.max(1.0),
                "{found} of {expected} at {points} basis points"
            );
        }
    }

    #[test]
    fn nothing_means_nothing_and_everything_means_everything() {
        let routing = routing();
        for cohort in [None, Some(CohortKey::Cookie("id".into()))] {
            routing
                .apply(&split(0).with_cohort(cohort.clone()))
                .unwrap();
            assert_eq!(canaries(&routing, 50_000), 0.0);
            routing.apply(&split(10_000).with_cohort(cohort)).unwrap();
            assert_eq!(canaries(&routing, 50_000), 50_000.0);
        }
    }

    #[test]
    fn the_split_is_read_back_as_it_was_applied() {
        let routing = routing();
        assert_eq!(routing.split(), Split::all(revision("v1")));
        let sticky = split(250).with_cohort(Some(CohortKey::Header("X-User".into())));
        routing.apply(&sticky).unwrap();
        assert_eq!(routing.split(), sticky);
        for bad in [
            CohortKey::Header("a b".into()),
            CohortKey::Cookie(String::new()),
        ] {
            assert!(routing.apply(&split(1).with_cohort(Some(bad))).is_err());
            assert_eq!(routing.split(), sticky, "a refused split changes nothing");
        }
    }

    #[test]
    fn endpoints_take_turns_and_those_thought_badly_of_come_last() {
        let routing = routing();
        let addresses: Vec<SocketAddr> = (1..=3).map(|n| ([127, 0, 0, n], 80).into()).collect();
        for address in addresses.iter().chain(&addresses) {
            routing.add(&revision("v1"), *address);
        }
        let route = routing.route(&revision("v1")).unwrap();
        let order = || -> Vec<_> { route.order().map(|e| e.address).collect() };
        let mut firsts: Vec<_> = (0..3).map(|_| order()[0]).collect();
        firsts.sort();
        assert_eq!(firsts, addresses);
        assert_eq!(order().len(), 3);

        let hour = Duration::from_secs(3_600);
        let standing = |place: usize| &route.endpoints[place].standing;
        standing(1).cool_down(hour);
        for _ in 0..6 {
            assert_eq!(order()[2], addresses[1]);
        }

        standing(0).checked(false, Health::Unhealthy);
        for _ in 0..6 {
            assert_eq!(order(), [addresses[2], addresses[1], addresses[0]]);
        }
        standing(1).cool_down(Duration::ZERO);
        let firsts: BTreeSet<_> = (0..200).map(|_| order()[0]).collect();
        assert_eq!(firsts, addresses[1..].iter().copied().collect());

        standing(1).eject(hour, hour);
        standing(2).eject(hour, hour);
        let firsts: BTreeSet<_> = (0..200).map(|_| order()[0]).collect();
        assert_eq!(firsts, addresses.into_iter().collect(), "none is left");
    }

    #[tokio::test]
    async fn a_drained_endpoint_lets_nobody_in_and_waits_for_those_inside() {
        let routing = routing();
        let (v1, address) = (revision("v1"), ([127, 0, 0, 1], 80).into());
        routing.add(&v1, address);
        let route = routing.route(&v1).unwrap();
        let flight = route.endpoints[0].enter().unwrap();

        assert_eq!(routing.drain(&v1, |_| true, Duration::ZERO).await, 1);
        assert!(route.endpoints[0].enter().is_none());
        assert!(routing.route(&v1).unwrap().endpoints.is_empty());

        // Asked again, it waits again; the last one out ends the wait.
        let again = routing.drain(&v1, |e| e.address == address, Duration::from_secs(60));
        let (left, ()) = tokio::join!(again, async { drop(flight) });
        assert_eq!((left, route.revision.in_flight()), (0, 0));
        assert_eq!(
            routing
                .drain(&revision("v9"), |_| true, Duration::ZERO)
                .await,
            0
        );
    }

    #[test]
    fn a_revision_is_forgotten_when_nothing_is_left_of_it() {
        let routing = routing();
        routing.apply(&split(100)).unwrap();
        routing.apply(&Split::all(revision("v1"))).unwrap();
        routing.tidy(Timestamp::from_millis(0));
        assert!(
            routing.route(&revision("v2")).is_some(),
            "its history may be asked for"
        );
        routing.tidy(Timestamp::from_millis(3_600_000));
        assert!(routing.route(&revision("v2")).is_none());
        assert!(routing.route(&revision("v1")).is_some());
    }
}
