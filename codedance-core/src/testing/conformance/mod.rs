//! One suite for each port: a harness that the adapter's tests supply, and the clauses.

mod endpoints;
mod executor;
mod journal;
mod metrics;
mod router;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

pub use endpoints::{ENDPOINTS, EndpointsHarness};
pub use executor::{EXECUTOR, ExecutorHarness};
pub use journal::{JOURNAL, JournalHarness};
pub use metrics::{METRICS, MetricsHarness, Requests};
pub use router::{ROUTER, RouterHarness};

use crate::error::{ErrorKind, Failure, Result};

/// How long a clause may take on a real back end before it counts as hanging.
const LIMIT: Duration = Duration::from_secs(300);
/// How long whatever a clause left running may take to end.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// One clause of a port's contract, as a test.
///
/// Adapters use the macros; this is for those who run clauses in another way.
pub struct Clause<H: ?Sized + 'static> {
    name: &'static str,
    check: for<'a> fn(&'a H) -> Checked<'a>,
}

type Checked<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

impl<H: ?Sized> Clause<H> {
    #[doc(hidden)]
    #[must_use]
    pub const fn __new(name: &'static str, check: for<'a> fn(&'a H) -> Checked<'a>) -> Self {
        Self { name, check }
    }

    /// The clause as the name of a test, such as `applied_split_is_observed`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Tests it in the world of `harness`, on a tokio runtime with time enabled.
    ///
    /// # Panics
    /// When the port breaks the clause; the message says how.
    pub async fn check(&self, harness: &H) {
        (self.check)(harness).await;
    }
}

impl<H: ?Sized> fmt::Debug for Clause<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clause").field(&self.name).finish()
    }
}

/// Tests the clause of this name in a new world, on a runtime of its own: what each test that a macro
/// makes does.
///
/// # Panics
/// When the port breaks the clause, when the clause takes more than five minutes, or when there is no
/// clause of this name.
pub fn check<H: ?Sized>(clauses: &[Clause<H>], name: &str, harness: impl Future<Output = Box<H>>) {
    let clause = clauses.iter().find(|clause| clause.name == name);
    let Some(clause) = clause else {
        panic!("there is no clause `{name}`")
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
    let checked = runtime.block_on(async {
        let harness = harness.await;
        within(LIMIT, clause.check(&harness)).await
    });
    runtime.shutdown_timeout(SHUTDOWN);
    assert!(
        checked.is_some(),
        "`{name}` hangs: it took more than {LIMIT:?}"
    );
}

/// Makes a table of clauses from their names.
#[doc(hidden)]
#[macro_export]
macro_rules! __clause_table {
    ([$($clause:ident)*]) => {
        &[$($crate::testing::Clause::__new(stringify!($clause), |harness| {
            ::std::boxed::Box::pin($clause(harness))
        })),*]
    };
}

/// Makes a test of each clause.
#[doc(hidden)]
#[macro_export]
macro_rules! __clause_tests {
    (($(#[$attribute:meta])*) $table:ident $trait:ident $harness:path, [$($clause:ident)*]) => {
        $crate::__clause_tests! { @each ($(#[$attribute])*) $table $trait ($harness) $($clause)* }
    };
    (@each $attributes:tt $table:ident $trait:ident $harness:tt $($clause:ident)*) => {
        $($crate::__clause_tests! { @one $attributes $table $trait $harness $clause })*
    };
    (@one ($(#[$attribute:meta])*) $table:ident $trait:ident ($harness:path) $clause:ident) => {
        #[test]
        $(#[$attribute])*
        fn $clause() {
            $crate::testing::check($crate::testing::$table, stringify!($clause), async {
                let harness = $harness().await;
                ::std::boxed::Box::new(harness) as ::std::boxed::Box<dyn $crate::testing::$trait>
            });
        }
    };
}

/// Gives a call up after its first poll and so many rounds of the runtime, as a deadline or a shutdown
/// would.
async fn abandon<R>(call: impl Future<Output = R>, rounds: usize) {
    tokio::select! {
        biased;
        _ = call => {}
        () = rest(rounds) => {}
    }
}

/// The answer of a call, if it comes in time.
#[expect(
    clippy::disallowed_methods,
    reason = "a suite runs against the real world, in real time"
)]
async fn within<R>(limit: Duration, call: impl Future<Output = R>) -> Option<R> {
    tokio::time::timeout(limit, call).await.ok()
}

async fn rest(rounds: usize) {
    for _ in 0..rounds {
        tokio::task::yield_now().await;
    }
}

/// The answer of a call that must succeed.
#[track_caller]
fn done<R>(answer: Result<R>, call: &str) -> R {
    match answer {
        Ok(answer) => answer,
        Err(error) => panic!("{call} must succeed: {}", Failure::from(&error)),
    }
}

/// Checks that a call failed in the right way.
#[track_caller]
fn refused<R: fmt::Debug>(answer: Result<R>, kind: ErrorKind, call: &str) -> Failure {
    match answer {
        Ok(answer) => panic!("{call} must be refused as {kind}, not answered with {answer:?}"),
        Err(error) => {
            let failure = Failure::from(&error);
            assert_eq!(
                error.kind(),
                kind,
                "{call} must be refused as {kind}: {failure}"
            );
            failure
        }
    }
}
