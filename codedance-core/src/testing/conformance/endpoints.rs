//! What everything that balances over addresses must do.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join;

use super::{Clause, abandon, done, rest, within};
use crate::traffic::Endpoints;
use crate::workload::Revision;

/// The world of endpoints under test, new for each test, in which the revision has no address yet.
#[async_trait]
pub trait EndpointsHarness: Send + Sync {
    /// What is tested.
    fn endpoints(&self) -> &dyn Endpoints;

    /// The revision whose addresses are added; all traffic goes to it.
    fn revision(&self) -> Revision;

    /// The address of a server that is up and answers; another one at each call.
    async fn server(&self) -> SocketAddr;

    /// Begins a request by way of the balancer, which is answered when [`finish`](Self::finish) says so,
    /// and returns the address that has it, or `None` if the balancer knew none to send it to.
    async fn begin(&self) -> Option<SocketAddr>;

    /// Answers one request that `address` has, and returns when the balancer has seen the answer.
    async fn finish(&self, address: SocketAddr);

    /// Lets this much time pass: sleeps, or moves a clock.
    async fn pass(&self, length: Duration);
}

/// One test for each clause of the contract of [`Endpoints`]: `endpoints_conformance!(harness)`, where
/// `harness` is the path of an `async fn() -> impl EndpointsHarness`.
#[doc(hidden)]
#[macro_export]
macro_rules! __endpoints_conformance {
    ($(#[$attribute:meta])* $harness:path) => {
        $crate::__endpoints_clauses! {
            __clause_tests ($(#[$attribute])*) ENDPOINTS EndpointsHarness $harness,
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __endpoints_clauses {
    ($then:ident $($given:tt)*) => {
        $crate::$then! { $($given)* [
            every_added_address_gets_requests
            adding_twice_is_once
            a_drained_address_gets_no_request
            the_last_address_can_be_drained
            draining_twice_is_once
            draining_what_is_not_there_is_done
            draining_waits_for_what_is_in_flight
            draining_gives_up_in_time_and_says_how_many_are_left
            no_request_comes_while_draining
            draining_does_not_wait_for_the_others
            a_drained_address_can_be_added_again
            a_dropped_drain_can_be_repeated
        ] }
    };
}

/// The clauses of [`Endpoints`].
pub static ENDPOINTS: &[Clause<dyn EndpointsHarness>] = crate::__endpoints_clauses!(__clause_table);

type Harness = dyn EndpointsHarness;

/// Longer than any test takes, unless it hangs.
const LONG: Duration = Duration::from_secs(60);
/// Enough for any fair way to balance over two addresses to choose both.
const MANY: usize = 64;

/// Two addresses share the requests.
async fn every_added_address_gets_requests(harness: &Harness) {
    let (a, b) = two(harness).await;
    assert_eq!(
        served(harness).await,
        BTreeSet::from([a, b]),
        "both addresses get requests"
    );
}

/// An address that was added twice is gone when it is drained once.
async fn adding_twice_is_once(harness: &Harness) {
    let (a, b) = two(harness).await;
    add(harness, a).await;
    assert_eq!(drain(harness, a, LONG).await, 0, "nothing is in flight");
    assert_eq!(
        served(harness).await,
        BTreeSet::from([b]),
        "the other address gets all requests"
    );
}

/// From the moment that `drain` returns all requests go elsewhere.
async fn a_drained_address_gets_no_request(harness: &Harness) {
    let (a, b) = two(harness).await;
    assert_eq!(drain(harness, a, LONG).await, 0, "nothing is in flight");
    assert_eq!(
        served(harness).await,
        BTreeSet::from([b]),
        "the other address gets all requests"
    );
}

/// Also the last address goes, and then there is none.
async fn the_last_address_can_be_drained(harness: &Harness) {
    let a = one(harness).await;
    assert_eq!(drain(harness, a, LONG).await, 0, "nothing is in flight");
    assert_eq!(harness.begin().await, None, "no address is left");
}

/// An address that is drained already is drained.
async fn draining_twice_is_once(harness: &Harness) {
    let (a, b) = two(harness).await;
    for _ in 0..2 {
        assert_eq!(drain(harness, a, LONG).await, 0, "nothing is in flight");
    }
    assert_eq!(
        served(harness).await,
        BTreeSet::from([b]),
        "the other address gets all requests"
    );
}

/// Nothing is in flight at an address that never was added.
async fn draining_what_is_not_there_is_done(harness: &Harness) {
    let a = one(harness).await;
    let stranger = harness.server().await;
    assert_eq!(
        drain(harness, stranger, LONG).await,
        0,
        "nothing is in flight"
    );
    assert_eq!(
        served(harness).await,
        BTreeSet::from([a]),
        "the other address gets all requests"
    );
}

/// `drain` returns when the last request in flight is answered, not before.
async fn draining_waits_for_what_is_in_flight(harness: &Harness) {
    let a = one(harness).await;
    for _ in 0..2 {
        begin(harness).await;
    }
    let last = Cell::new(false);
    let draining = async {
        let left = drain(harness, a, LONG).await;
        assert!(last.get(), "drain must wait for the last answer");
        left
    };
    let finishing = async {
        harness.finish(a).await;
        harness.pass(Duration::from_millis(300)).await;
        rest(8).await;
        last.set(true);
        harness.finish(a).await;
    };
    let promptly = within(LONG / 2, join(draining, finishing)).await;
    let Some((left, ())) = promptly else {
        panic!("drain must return soon after the last answer")
    };
    assert_eq!(left, 0, "all requests were answered in time");
}

/// `drain` returns when the time is over, with the count of those that are still in flight.
async fn draining_gives_up_in_time_and_says_how_many_are_left(harness: &Harness) {
    let a = one(harness).await;
    for _ in 0..3 {
        begin(harness).await;
    }
    let short = Duration::from_millis(300);
    let passing = async {
        rest(8).await;
        harness.finish(a).await;
        harness.pass(short * 2).await;
    };
    let (left, ()) = join(drain(harness, a, short), passing).await;
    assert_eq!(left, 2, "one of three requests was answered in time");
    for _ in 0..2 {
        harness.finish(a).await;
    }
}

/// New requests go elsewhere already while `drain` waits.
async fn no_request_comes_while_draining(harness: &Harness) {
    let a = one(harness).await;
    begin(harness).await;
    let b = harness.server().await;
    add(harness, b).await;
    let meanwhile = async {
        rest(8).await;
        let served = served(harness).await;
        harness.finish(a).await;
        served
    };
    let (_, served) = join(drain(harness, a, LONG), meanwhile).await;
    assert_eq!(
        served,
        BTreeSet::from([b]),
        "no new request goes to an address that drains"
    );
}

/// Requests in flight at one address do not delay the draining of another.
async fn draining_does_not_wait_for_the_others(harness: &Harness) {
    let a = one(harness).await;
    begin(harness).await;
    let b = harness.server().await;
    add(harness, b).await;
    let passing = harness.pass(Duration::from_millis(300));
    let (left, ()) = join(drain(harness, b, Duration::from_millis(150)), passing).await;
    assert_eq!(left, 0, "nothing is in flight at the address that drains");
    harness.finish(a).await;
}

/// An address that comes back gets requests again.
async fn a_drained_address_can_be_added_again(harness: &Harness) {
    let a = one(harness).await;
    assert_eq!(drain(harness, a, LONG).await, 0, "nothing is in flight");
    add(harness, a).await;
    assert_eq!(
        served(harness).await,
        BTreeSet::from([a]),
        "the address gets requests again"
    );
}

/// Whenever a `drain` is given up, it can be asked for again.
async fn a_dropped_drain_can_be_repeated(harness: &Harness) {
    let a = one(harness).await;
    for rounds in [0, 1, 2, 7] {
        add(harness, a).await;
        begin(harness).await;
        abandon(
            harness.endpoints().drain(&harness.revision(), a, LONG),
            rounds,
        )
        .await;
        harness.finish(a).await;
        assert_eq!(
            drain(harness, a, LONG).await,
            0,
            "nothing is in flight any more"
        );
        assert_eq!(harness.begin().await, None, "no address is left");
    }
}

async fn one(harness: &Harness) -> SocketAddr {
    let address = harness.server().await;
    add(harness, address).await;
    address
}

async fn two(harness: &Harness) -> (SocketAddr, SocketAddr) {
    (one(harness).await, one(harness).await)
}

async fn add(harness: &Harness, address: SocketAddr) {
    done(
        harness.endpoints().add(&harness.revision(), address).await,
        "add",
    );
}

async fn drain(harness: &Harness, address: SocketAddr, within: Duration) -> u64 {
    done(
        harness
            .endpoints()
            .drain(&harness.revision(), address, within)
            .await,
        "drain",
    )
}

async fn begin(harness: &Harness) -> SocketAddr {
    let Some(address) = harness.begin().await else {
        panic!("a request must find an address")
    };
    address
}

/// Which addresses answer, over many requests.
async fn served(harness: &Harness) -> BTreeSet<SocketAddr> {
    let mut served = BTreeSet::new();
    for _ in 0..MANY {
        let address = begin(harness).await;
        harness.finish(address).await;
        served.insert(address);
    }
    served
}
