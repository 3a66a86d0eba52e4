//! Clauses about how many replicas there are.

use super::{Harness, fleet, is_there, reach, scale, status, wait};
use crate::error::ErrorKind;
use crate::testing::conformance::{abandon, within};
use crate::workload::{Fleet, Group, Revision};

/// Wherever it begins, up, down or both at once, it ends at the counts that were asked for.
pub(super) async fn scaling_is_a_desired_end(harness: &Harness) {
    for (stable, canary) in [(1, 0), (1, 2), (2, 1)] {
        reach(harness, &fleet(harness, stable, canary)).await;
    }
}

/// The same fleet again, at once and when it is there, starts and ends nothing.
pub(super) async fn scaling_twice_is_once(harness: &Harness) {
    let wanted = fleet(harness, 1, 1);
    scale(harness, &wanted).await;
    let before = reach(harness, &wanted).await;
    scale(harness, &wanted).await;
    let after = wait(harness, "the same fleet", |status| {
        is_there(status, &wanted)
    })
    .await;
    assert_eq!(after, before, "the same fleet again must change nothing");
}

/// A fleet that never becomes ready is answered all the same.
pub(super) async fn scaling_returns_without_waiting(harness: &Harness) {
    let never_ready = beside_stable(harness, harness.broken());
    let call = harness.executor().scale(&never_ready);
    let answer = within(harness.promptness(), call).await;
    assert!(
        answer.is_some(),
        "scale must not wait for replicas that never become ready"
    );
}

/// The answer to `scale` says what is wanted now, of every revision of the fleet.
pub(super) async fn scaling_answers_with_what_is_there(harness: &Harness) {
    let answer = scale(harness, &fleet(harness, 2, 1)).await;
    let (stable, canary) = (answer.of(&harness.stable()), answer.of(&harness.canary()));
    assert_eq!(
        (stable.desired, canary.desired),
        (2, 1),
        "the answer of scale: {answer:?}"
    );
    let answer = reach(harness, &fleet(harness, 2, 1)).await;
    let again = scale(harness, &fleet(harness, 2, 1)).await;
    assert_eq!(
        again, answer,
        "the answer of scale must be what status says"
    );
}

/// What is above the count goes, and what is scaled to nothing is gone.
pub(super) async fn scaling_down_removes(harness: &Harness) {
    reach(harness, &fleet(harness, 2, 2)).await;
    reach(harness, &fleet(harness, 1, 0)).await;
}

/// Replicas that were lost meanwhile are replaced by asking for the same fleet again.
pub(super) async fn scaling_goes_on_where_the_world_is(harness: &Harness) {
    let wanted = fleet(harness, 1, 2);
    reach(harness, &wanted).await;
    harness.disturb(&harness.canary()).await;
    for _ in 0..harness.patience() {
        harness.settle().await;
        scale(harness, &wanted).await;
        if is_there(&status(harness).await, &wanted) {
            return;
        }
    }
    panic!(
        "a lost replica must be replaced: {:?}",
        status(harness).await
    );
}

/// A group without a count keeps what it has, in either role.
pub(super) async fn an_unmanaged_count_is_left_alone(harness: &Harness) {
    reach(harness, &fleet(harness, 2, 1)).await;
    let mut wanted = fleet(harness, 0, 2);
    wanted.stable.replicas = None;
    reach(harness, &wanted).await;
    let kept = fleet(harness, 2, 2);
    wait(harness, "an unmanaged stable count", |status| {
        is_there(status, &kept)
    })
    .await;

    let mut wanted = fleet(harness, 1, 0);
    wanted.canary.replicas = None;
    reach(harness, &wanted).await;
    let kept = fleet(harness, 1, 2);
    wait(harness, "an unmanaged canary count", |status| {
        is_there(status, &kept)
    })
    .await;
}

/// A revision that the fleet does not name keeps its replicas.
pub(super) async fn unnamed_revisions_are_left_alone(harness: &Harness) {
    reach(harness, &fleet(harness, 1, 1)).await;
    reach(harness, &beside_stable(harness, harness.other())).await;
    let kept = fleet(harness, 1, 1);
    wait(harness, "the revision that was not named", |status| {
        is_there(status, &kept)
    })
    .await;
}

/// It shows as a failed replica, and never as ready.
pub(super) async fn a_replica_that_cannot_start_is_failed_not_an_error(harness: &Harness) {
    let broken = harness.broken();
    scale(harness, &beside_stable(harness, broken.clone())).await;
    let failed = wait(harness, "a failed replica", |status| {
        status.of(&broken).failed > 0
    })
    .await;
    assert_eq!(
        failed.of(&broken).ready,
        0,
        "what cannot start is not ready: {failed:?}"
    );
}

/// The other revision of the fleet becomes and stays ready.
pub(super) async fn a_replica_that_cannot_start_harms_no_other(harness: &Harness) {
    let wanted = beside_stable(harness, harness.broken());
    scale(harness, &wanted).await;
    let stable = harness.stable();
    wait(harness, "the other revision", |status| {
        status.of(&stable).ready == 1
    })
    .await;
    harness.settle().await;
    scale(harness, &wanted).await;
    let after = status(harness).await;
    assert_eq!(
        after.of(&stable).ready,
        1,
        "the other revision must stay ready: {after:?}"
    );
}

/// It is refused for good, or its replicas fail; it never looks as if trying again helped.
pub(super) async fn a_revision_that_does_not_exist_never_serves(harness: &Harness) {
    let missing = harness.missing();
    match harness
        .executor()
        .scale(&beside_stable(harness, missing.clone()))
        .await
    {
        Err(error) => assert!(
            matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Invalid),
            "a revision that does not exist is not found or invalid: {error}"
        ),
        Ok(_) => {
            let failed = |status: &crate::workload::FleetStatus| status.of(&missing).failed > 0;
            let status = wait(harness, "the failure of what does not exist", failed).await;
            assert_eq!(
                status.of(&missing).ready,
                0,
                "what does not exist serves: {status:?}"
            );
        }
    }
}

/// `status` again and again shows the same when nothing happens.
pub(super) async fn looking_changes_nothing(harness: &Harness) {
    let before = reach(harness, &fleet(harness, 2, 1)).await;
    for _ in 0..5 {
        assert_eq!(status(harness).await, before, "a look must change nothing");
    }
}

/// Whenever a call is given up, the next one reaches what it asks for.
pub(super) async fn a_dropped_call_leaves_a_usable_state(harness: &Harness) {
    for rounds in [0, 1, 2, 7] {
        let (up, down) = (fleet(harness, 1, 2), fleet(harness, 1, 0));
        abandon(harness.executor().scale(&up), rounds).await;
        reach(harness, &down).await;
        abandon(harness.executor().status(), rounds).await;
        abandon(harness.executor().promote(&harness.stable()), rounds).await;
        abandon(harness.executor().retire(&harness.other()), rounds).await;
        reach(harness, &fleet(harness, 1, 1)).await;
    }
}

fn beside_stable(harness: &Harness, revision: Revision) -> Fleet {
    let canary = Group {
        revision,
        replicas: Some(1),
    };
    Fleet {
        canary,
        ..fleet(harness, 1, 0)
    }
}
