//! What every router must do.

use async_trait::async_trait;

use super::{Clause, abandon, done, refused};
use crate::error::ErrorKind;
use crate::percent::Percent;
use crate::traffic::{CohortKey, Split, TrafficRouter};
use crate::workload::Revision;

/// The world of a router under test, new for each test, with any split in force.
#[async_trait]
pub trait RouterHarness: Send + Sync {
    /// What is tested.
    fn router(&self) -> &dyn TrafficRouter;

    /// The revision that gets the rest. Default `v1`.
    fn stable(&self) -> Revision {
        revision("v1")
    }

    /// The revision that gets a share. Default `v2`.
    fn canary(&self) -> Revision {
        revision("v2")
    }

    /// Changes the split behind the router's back: in the back end, or, where the router is the back end
    /// itself, by another handle on it. The suite asks for what the capability allows.
    async fn set_outside(&self, split: &Split);

    /// Everything else that the back end holds beside the shares, such as time-outs and retries, as text
    /// to compare. Empty where there is nothing else.
    async fn other_settings(&self) -> String;
}

fn revision(name: &str) -> Revision {
    Revision::new(name).unwrap_or_else(|error| panic!("{error}"))
}

/// One test for each clause of the contract of [`TrafficRouter`]: `router_conformance!(harness)`, where
/// `harness` is the path of an `async fn() -> impl RouterHarness`.
#[doc(hidden)]
#[macro_export]
macro_rules! __router_conformance {
    ($(#[$attribute:meta])* $harness:path) => {
        $crate::__router_clauses! {
            __clause_tests ($(#[$attribute])*) ROUTER RouterHarness $harness,
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __router_clauses {
    ($then:ident $($given:tt)*) => {
        $crate::$then! { $($given)* [
            an_applied_split_is_observed
            applying_twice_is_once
            every_weight_of_the_granularity_is_exact
            everything_can_go_to_the_canary
            a_canary_at_zero_equals_none
            a_finer_weight_is_refused
            cohorts_are_kept_or_refused
            shares_total_the_whole
            the_roles_can_change
            an_outside_change_is_observed
            an_outside_change_is_overruled
            observing_changes_nothing
            the_capability_is_constant
            other_settings_stay
            a_dropped_call_leaves_the_old_split_or_the_new
        ] }
    };
}

/// The clauses of [`TrafficRouter`].
pub static ROUTER: &[Clause<dyn RouterHarness>] = crate::__router_clauses!(__clause_table);

type Harness = dyn RouterHarness;

/// What was applied is what is read back.
async fn an_applied_split_is_observed(harness: &Harness) {
    for split in [low(harness), high(harness)] {
        apply(harness, &split).await;
        observe_is(harness, &split).await;
    }
}

/// The same split again is accepted and changes nothing.
async fn applying_twice_is_once(harness: &Harness) {
    let split = low(harness);
    apply(harness, &split).await;
    apply(harness, &split).await;
    observe_is(harness, &split).await;
}

/// No weight that the capability promises is rounded. Of many weights some hundred are tried.
async fn every_weight_of_the_granularity_is_exact(harness: &Harness) {
    let step = harness
        .router()
        .capability()
        .granularity
        .basis_points()
        .max(1);
    let steps = 10_000 / step;
    let stride = usize::from((steps / 100).max(1));
    // Beside an even spread, the ends and the odd third, where rounding shows.
    let odd = [1, 2, steps / 3, steps.saturating_sub(1)];
    for multiple in (0..steps)
        .step_by(stride)
        .chain(odd)
        .filter(|multiple| *multiple < steps)
    {
        let split = of_points(harness, multiple * step);
        apply(harness, &split).await;
        let observed = observe(harness).await;
        assert!(
            observed.agrees_with(&split),
            "asked for {split}, read back {observed}"
        );
    }
}

/// The whole is possible whatever the granularity.
async fn everything_can_go_to_the_canary(harness: &Harness) {
    let split = of_points(harness, 10_000);
    apply(harness, &split).await;
    observe_is(harness, &split).await;
}

/// No canary, or one without traffic: the stable revision gets everything.
async fn a_canary_at_zero_equals_none(harness: &Harness) {
    let (none, zero) = (Split::all(harness.stable()), of_points(harness, 0));
    for split in [&zero, &none] {
        apply(harness, &high(harness)).await;
        apply(harness, split).await;
        observe_is(harness, &zero).await;
        observe_is(harness, &none).await;
    }
}

/// What cannot be set exactly is refused as `Unsupported`, and changes nothing. Where a basis point can
/// be set there is nothing finer, and that it can is what is tested.
async fn a_finer_weight_is_refused(harness: &Harness) {
    let before = high(harness);
    apply(harness, &before).await;
    let step = harness.router().capability().granularity.basis_points();
    let finer = of_points(
        harness,
        if step == 10_000 {
            5_000
        } else {
            step.max(1) + 1
        },
    );
    if step <= 1 {
        apply(harness, &finer).await;
        return observe_is(harness, &finer).await;
    }
    let answer = harness.router().apply(&finer).await;
    refused(
        answer,
        ErrorKind::Unsupported,
        &format!("a weight of {}", finer.weight()),
    );
    observe_is(harness, &before).await;
}

/// Each kind of key is kept and read back, or refused as `Unsupported` without a change.
async fn cohorts_are_kept_or_refused(harness: &Harness) {
    let before = high(harness);
    for cohort in [
        CohortKey::Header("x-user".to_owned()),
        CohortKey::Cookie("session".to_owned()),
        CohortKey::ClientAddress,
    ] {
        apply(harness, &before).await;
        let split = low(harness).with_cohort(Some(cohort));
        let answer = harness.router().apply(&split).await;
        if harness.router().capability().cohorts {
            done(answer, "apply with a cohort");
            observe_is(harness, &split).await;
            let cohort = observe(harness).await.cohort;
            assert_eq!(cohort, split.cohort, "a cohort must be read back");
        } else {
            refused(answer, ErrorKind::Unsupported, "a cohort");
            observe_is(harness, &before).await;
        }
    }
}

/// The two revisions have all of the traffic, between them.
async fn shares_total_the_whole(harness: &Harness) {
    for split in [
        of_points(harness, 0),
        low(harness),
        of_points(harness, 10_000),
    ] {
        apply(harness, &split).await;
        let observed = observe(harness).await;
        let shares = [harness.stable(), harness.canary()].map(|r| observed.share_of(&r));
        let total = shares.iter().map(|share| share.basis_points()).sum::<u16>();
        assert_eq!(
            total, 10_000,
            "the shares of {observed} must total the whole"
        );
    }
}

/// Either revision can be the stable one, as after a promotion.
async fn the_roles_can_change(harness: &Harness) {
    apply(harness, &of_points(harness, 10_000)).await;
    let promoted = Split::all(harness.canary());
    apply(harness, &promoted).await;
    observe_is(harness, &promoted).await;
    let weight = low(harness).weight();
    let back = Split::new(harness.canary(), harness.stable(), weight);
    apply(harness, &back).await;
    observe_is(harness, &back).await;
}

/// `observe` reads the back end, not the router's memory.
async fn an_outside_change_is_observed(harness: &Harness) {
    apply(harness, &low(harness)).await;
    let outside = high(harness);
    harness.set_outside(&outside).await;
    observe_is(harness, &outside).await;
}

/// The split that was in force before is put back by applying it again.
async fn an_outside_change_is_overruled(harness: &Harness) {
    let wanted = low(harness);
    apply(harness, &wanted).await;
    harness.set_outside(&high(harness)).await;
    apply(harness, &wanted).await;
    observe_is(harness, &wanted).await;
}

/// `observe` again and again shows the same when nothing happens.
async fn observing_changes_nothing(harness: &Harness) {
    let split = low(harness);
    apply(harness, &split).await;
    for _ in 0..5 {
        observe_is(harness, &split).await;
    }
}

/// What a router can do does not depend on what it did.
async fn the_capability_is_constant(harness: &Harness) {
    let before = harness.router().capability();
    for split in [
        of_points(harness, 0),
        low(harness),
        of_points(harness, 10_000),
    ] {
        apply(harness, &split).await;
        observe(harness).await;
        assert_eq!(
            harness.router().capability(),
            before,
            "the capability must not change"
        );
    }
}

/// Only the shares are changed.
async fn other_settings_stay(harness: &Harness) {
    let before = harness.other_settings().await;
    for split in [
        low(harness),
        of_points(harness, 10_000),
        of_points(harness, 0),
    ] {
        apply(harness, &split).await;
        assert_eq!(
            harness.other_settings().await,
            before,
            "other settings must stay"
        );
    }
}

/// Whenever an `apply` is given up, one of the two splits is in force, and the next call works.
async fn a_dropped_call_leaves_the_old_split_or_the_new(harness: &Harness) {
    for rounds in [0, 1, 2, 7] {
        let (old, new) = (low(harness), high(harness));
        apply(harness, &old).await;
        abandon(harness.router().apply(&new), rounds).await;
        let observed = observe(harness).await;
        let whole = observed.agrees_with(&old) || observed.agrees_with(&new);
        assert!(whole, "neither {old} nor {new} is in force, but {observed}");
        abandon(harness.router().observe(), rounds).await;
    }
    let last = of_points(harness, 0);
    apply(harness, &last).await;
    observe_is(harness, &last).await;
}

/// A fifth to the canary, as near as the granularity comes from below.
fn low(harness: &Harness) -> Split {
    let step = harness
        .router()
        .capability()
        .granularity
        .basis_points()
        .max(1);
    of_points(harness, 10_000 / step / 5 * step)
}

/// Half to the canary likewise, but always more than [`low`].
fn high(harness: &Harness) -> Split {
    let step = harness
        .router()
        .capability()
        .granularity
        .basis_points()
        .max(1);
    let half = 10_000 / step / 2 * step;
    of_points(harness, if half == 0 { 10_000 } else { half })
}

fn of_points(harness: &Harness, points: u16) -> Split {
    let weight = Percent::from_basis_points(points).unwrap_or_else(|error| panic!("{error}"));
    Split::new(harness.stable(), harness.canary(), weight)
}

async fn apply(harness: &Harness, split: &Split) {
    done(
        harness.router().apply(split).await,
        &format!("apply {split}"),
    );
}

async fn observe(harness: &Harness) -> Split {
    done(harness.router().observe().await, "observe")
}

async fn observe_is(harness: &Harness, wanted: &Split) {
    let observed = observe(harness).await;
    assert!(
        observed.agrees_with(wanted),
        "{wanted} must be in force, not {observed}"
    );
}
