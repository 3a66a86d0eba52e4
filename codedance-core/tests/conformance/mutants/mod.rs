//! The suites are tested: for each clause there is an adapter that breaks it, and the table beside each
//! adapter says exactly which clauses notice.

mod endpoints;
mod executor;
mod journal;
mod metrics;
mod router;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use codedance_core::testing::{Clause, check};
use codedance_core::{Error, ErrorKind, Result};

/// Checks that each fault is noticed by the clauses beside it and by no other, and that no clause is
/// without a fault.
fn each_is_noticed<H: ?Sized, F: Debug + Copy>(
    clauses: &'static [Clause<H>],
    faults: &[(F, &[&'static str])],
    harness: impl Fn(F) -> Box<H>,
) {
    let mut wrong = Vec::new();
    for (fault, expected) in faults {
        let breaks = |name| {
            let run = || check(clauses, name, async { harness(*fault) });
            catch_unwind(AssertUnwindSafe(run)).is_err()
        };
        let noticed = clauses.iter().map(Clause::name).filter(|name| breaks(name));
        let noticed = noticed.collect::<Vec<_>>();
        if noticed != *expected {
            wrong.push(format!("({fault:?}, &{noticed:#?}),"));
        }
    }
    assert!(
        wrong.is_empty(),
        "other clauses than those listed notice:\n{}",
        wrong.join("\n")
    );
    let noticing = faults.iter().flat_map(|(_, names)| names.iter().copied());
    let noticing = noticing.collect::<BTreeSet<_>>();
    let all = clauses.iter().map(Clause::name).collect::<BTreeSet<_>>();
    assert_eq!(noticing, all, "each clause must notice some fault");
}

/// A lock that a dropped call never gives back.
#[derive(Debug, Default)]
struct Busy(AtomicBool);

impl Busy {
    async fn hold(&self) -> Result<()> {
        if self.0.swap(true, Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Conflict, "wait for the call before"));
        }
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
        self.0.store(false, Ordering::SeqCst);
        Ok(())
    }
}
