//! Clauses about which revision is stable, and which is to go.

use super::{Harness, finish, fleet, is_there, reach, status, wait};
use crate::testing::conformance::done;
use crate::workload::{Fleet, GroupStatus, Progress};

/// A promotion that went halfway is taken back by naming the old stable revision stable again; one that
/// was done lets the revisions change places.
pub(super) async fn roles_follow_the_fleet(harness: &Harness) {
    reach(harness, &fleet(harness, 1, 1)).await;
    done(
        harness.executor().promote(&harness.canary()).await,
        "promote",
    );
    reach(harness, &fleet(harness, 2, 0)).await;

    reach(harness, &fleet(harness, 1, 1)).await;
    finish(harness, "promote", &harness.canary()).await;
    let Fleet { stable, canary } = fleet(harness, 1, 2);
    reach(
        harness,
        &Fleet {
            stable: canary,
            canary: stable,
        },
    )
    .await;
}

/// A promotion that is asked for again and again is done in the end.
pub(super) async fn promotion_ends(harness: &Harness) {
    reach(harness, &fleet(harness, 1, 1)).await;
    finish(harness, "promote", &harness.canary()).await;
}

/// The revision that is promoted stays ready all the while.
pub(super) async fn promotion_keeps_what_serves(harness: &Harness) {
    reach(harness, &fleet(harness, 1, 2)).await;
    for _ in 0..=harness.patience() {
        let progress = done(
            harness.executor().promote(&harness.canary()).await,
            "promote",
        );
        let seen = status(harness).await;
        let ready = seen.of(&harness.canary()).ready;
        assert!(
            ready >= 2,
            "the canary must keep serving while it is promoted: {seen:?}"
        );
        if progress == Progress::Done {
            return;
        }
        harness.settle().await;
    }
}

/// It is done already, and answered so.
pub(super) async fn a_second_promotion_changes_nothing(harness: &Harness) {
    let wanted = fleet(harness, 1, 1);
    reach(harness, &wanted).await;
    finish(harness, "promote", &harness.canary()).await;
    let promoted = |status: &_| is_there(status, &wanted);
    let before = wait(harness, "the fleet after the promotion", promoted).await;
    let again = done(
        harness.executor().promote(&harness.canary()).await,
        "promote",
    );
    assert_eq!(again, Progress::Done, "what is promoted is promoted");
    assert_eq!(
        status(harness).await,
        before,
        "a second promotion must change nothing"
    );
}

/// When a retirement is done nothing of the revision is left.
pub(super) async fn a_retired_revision_is_gone(harness: &Harness) {
    promoted(harness).await;
    finish(harness, "retire", &harness.stable()).await;
    let seen = status(harness).await;
    let left = seen.of(&harness.stable());
    assert_eq!(
        left,
        GroupStatus::default(),
        "nothing of a retired revision is left"
    );
}

/// The revision that stays keeps every replica.
pub(super) async fn retirement_leaves_the_others(harness: &Harness) {
    promoted(harness).await;
    finish(harness, "retire", &harness.stable()).await;
    let kept = status(harness).await.of(&harness.canary());
    assert_eq!(
        (kept.desired, kept.ready),
        (2, 2),
        "the other revision must stay: {kept:?}"
    );
}

/// It is done already, and answered so.
pub(super) async fn a_second_retirement_changes_nothing(harness: &Harness) {
    promoted(harness).await;
    finish(harness, "retire", &harness.stable()).await;
    let before = status(harness).await;
    let again = done(harness.executor().retire(&harness.stable()).await, "retire");
    assert_eq!(again, Progress::Done, "what is retired is retired");
    assert_eq!(
        status(harness).await,
        before,
        "a second retirement must change nothing"
    );
}

/// Of a revision that never was, nothing is left.
pub(super) async fn retiring_what_is_not_there_is_done(harness: &Harness) {
    reach(harness, &fleet(harness, 1, 0)).await;
    let progress = done(harness.executor().retire(&harness.other()).await, "retire");
    assert_eq!(
        progress,
        Progress::Done,
        "nothing is left of what never was"
    );
}

/// Two replicas of the canary, promoted, and one of what was stable.
async fn promoted(harness: &Harness) {
    reach(harness, &fleet(harness, 1, 2)).await;
    finish(harness, "promote", &harness.canary()).await;
}
