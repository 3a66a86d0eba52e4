//! Clauses about who may write.

use super::{Harness, acquire, append, entry, load, workload};
use crate::error::ErrorKind;
use crate::testing::conformance::{done, refused};

/// Another owner is refused with `Conflict` while the lease lasts.
pub(super) async fn one_owner_holds_at_a_time(harness: &Harness) {
    let web = workload("shop/web");
    acquire(harness, &web, "a").await;
    let other = harness.journal().acquire(&web, "b", harness.term()).await;
    refused(
        other,
        ErrorKind::Conflict,
        "a lease that another owner holds",
    );
}

/// A lease says whose it is and on what, and its owner gets it again.
pub(super) async fn the_same_owner_gets_the_same_token(harness: &Harness) {
    let web = workload("shop/web");
    let first = acquire(harness, &web, "a").await;
    assert_eq!((&first.workload, first.owner.as_str()), (&web, "a"));
    let again = acquire(harness, &web, "a").await;
    assert_eq!(
        again.token, first.token,
        "the same owner gets its lease again"
    );
    append(harness, &first, &entry(0, "under the first")).await;
    append(harness, &again, &entry(1, "under the second")).await;
}

/// At once, with a greater token.
pub(super) async fn a_released_lease_can_be_taken(harness: &Harness) {
    let web = workload("shop/web");
    let first = acquire(harness, &web, "a").await;
    done(harness.journal().release(&first).await, "release");
    let second = acquire(harness, &web, "b").await;
    assert!(
        second.token > first.token,
        "{second:?} comes after {first:?}"
    );
    append(harness, &second, &entry(0, "under the second")).await;
}

/// Without the help of its owner, with a greater token.
pub(super) async fn an_expired_lease_can_be_taken(harness: &Harness) {
    let web = workload("shop/web");
    let first = acquire(harness, &web, "a").await;
    harness.pass(harness.term() * 2).await;
    let second = acquire(harness, &web, "b").await;
    assert!(
        second.token > first.token,
        "{second:?} comes after {first:?}"
    );
    append(harness, &second, &entry(0, "under the second")).await;
}

/// For its new term from the time of renewal, with the same token.
pub(super) async fn a_renewed_lease_lives_on(harness: &Harness) {
    let web = workload("shop/web");
    let first = acquire(harness, &web, "a").await;
    let renewed = done(
        harness.journal().renew(&first, harness.term() * 4).await,
        "renew",
    );
    assert_eq!(
        renewed.token, first.token,
        "a renewed lease is the same lease"
    );
    assert!(
        renewed.expires > first.expires,
        "a renewed lease expires later"
    );
    harness.pass(harness.term() * 2).await;
    let other = harness.journal().acquire(&web, "b", harness.term()).await;
    refused(other, ErrorKind::Conflict, "a lease that was renewed");
    append(harness, &renewed, &entry(0, "under the renewed")).await;
}

/// Each change of hands gives a greater one than any before, also back to the first owner.
pub(super) async fn tokens_never_come_back(harness: &Harness) {
    let web = workload("shop/web");
    let mut last = None;
    for owner in ["a", "b", "a", "b"] {
        let lease = acquire(harness, &web, owner).await;
        assert!(
            Some(lease.token) > last,
            "token {} after {last:?}",
            lease.token
        );
        last = Some(lease.token);
        done(harness.journal().release(&lease).await, "release");
    }
}

/// `LeaseLost`, even if nobody else has taken it, and nothing is written.
pub(super) async fn an_expired_lease_cannot_append(harness: &Harness) {
    let web = workload("shop/web");
    let lease = acquire(harness, &web, "a").await;
    append(harness, &lease, &entry(0, "in time")).await;
    harness.pass(harness.term() * 2).await;
    let late = harness.journal().append(&lease, &entry(1, "late")).await;
    refused(
        late,
        ErrorKind::LeaseLost,
        "an append under an expired lease",
    );
    assert_eq!(load(harness, &web).await, [entry(0, "in time")]);
}

/// `LeaseLost` for the late writer; the new holder is not disturbed.
pub(super) async fn a_lease_that_passed_on_cannot_append(harness: &Harness) {
    let web = workload("shop/web");
    let first = acquire(harness, &web, "a").await;
    done(harness.journal().release(&first).await, "release");
    let second = acquire(harness, &web, "b").await;
    let late = harness.journal().append(&first, &entry(0, "late")).await;
    refused(
        late,
        ErrorKind::LeaseLost,
        "an append under a lease that passed on",
    );
    append(harness, &second, &entry(0, "in time")).await;
    assert_eq!(load(harness, &web).await, [entry(0, "in time")]);
}

/// `LeaseLost`, and the new holder keeps it.
pub(super) async fn a_lost_lease_cannot_be_renewed(harness: &Harness) {
    let web = workload("shop/web");
    let first = acquire(harness, &web, "a").await;
    done(harness.journal().release(&first).await, "release");
    let second = acquire(harness, &web, "b").await;
    let renewed = harness.journal().renew(&first, harness.term()).await;
    refused(renewed, ErrorKind::LeaseLost, "the renewal of a lost lease");
    append(harness, &second, &entry(0, "in time")).await;
}

/// It is not an error, and takes nothing from the new holder.
pub(super) async fn releasing_a_lost_lease_is_no_error(harness: &Harness) {
    let web = workload("shop/web");
    let first = acquire(harness, &web, "a").await;
    done(harness.journal().release(&first).await, "release");
    done(
        harness.journal().release(&first).await,
        "release a lease twice",
    );
    let second = acquire(harness, &web, "b").await;
    done(
        harness.journal().release(&first).await,
        "release a lost lease",
    );
    let third = harness.journal().acquire(&web, "c", harness.term()).await;
    refused(
        third,
        ErrorKind::Conflict,
        "a lease that the second owner holds",
    );
    append(harness, &second, &entry(0, "in time")).await;
}

/// Different owners hold the leases of different workloads.
pub(super) async fn leases_of_workloads_are_apart(harness: &Harness) {
    let (web, api) = (workload("shop/web"), workload("shop/api"));
    let on_web = acquire(harness, &web, "a").await;
    let on_api = acquire(harness, &api, "b").await;
    append(harness, &on_web, &entry(0, "web")).await;
    append(harness, &on_api, &entry(0, "api")).await;
    done(harness.journal().release(&on_web).await, "release");
    append(harness, &on_api, &entry(1, "api")).await;
}
