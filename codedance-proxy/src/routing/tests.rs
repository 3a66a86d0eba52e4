use std::collections::BTreeSet;

use codedance_core::Percent;
use codedance_core::traffic::CohortKey;

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
