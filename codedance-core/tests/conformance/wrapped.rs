//! A wrapper keeps the contract of what it wraps.

use std::time::Duration;

use codedance_core::memory::{MemoryJournal, MemoryRequests};
use codedance_core::testing::Faulty;
use codedance_core::traffic::Capability;
use codedance_core::wrapper::{All, DryRun, Failover};
use codedance_core::{ErrorKind, Percent};

use crate::memory::{Books, Fleets, Splits, Traffic, executor_world, router_world};

/// A port whose every fault is over, or is healed before it is used.
fn healed<T>(inner: T) -> Faulty<T> {
    let half = Percent::ratio(1, 2);
    let faulty = Faulty::new(inner, 7)
        .with_errors(half)
        .with_lost_replies(half);
    faulty.heal();
    faulty
}

mod all_executors {
    use super::{All, Fleets, executor_world};

    async fn harness() -> Fleets {
        let (fast, slow) = (executor_world(), executor_world());
        slow.ready_after(3);
        slow.promotion_takes(2);
        slow.retirement_takes(3);
        let port = Box::new(All::new("fast", fast.clone()).with("slow", slow.clone()));
        Fleets {
            port,
            worlds: vec![fast, slow],
        }
    }

    codedance_core::testing::executor_conformance!(harness);
}

mod all_routers {
    use super::{All, Capability, Duration, Percent, Splits, router_world};

    async fn harness() -> Splits {
        let percent = Capability::new(Percent::ratio(1, 100), Duration::from_secs(3));
        let coarse = router_world().with_capability(percent.with_cohorts(true));
        let fine = router_world();
        let port = Box::new(All::new("coarse", coarse.clone()).with("fine", fine.clone()));
        Splits {
            port,
            worlds: vec![coarse, fine],
        }
    }

    codedance_core::testing::router_conformance!(harness);
}

/// One of two members drifts: the wrapper must see it whichever it is.
mod all_routers_of_which_the_last_drifts {
    use super::{All, Splits, router_world};

    async fn harness() -> Splits {
        let (first, last) = (router_world(), router_world());
        let port = Box::new(All::new("first", first).with("last", last.clone()));
        Splits {
            port,
            worlds: vec![last],
        }
    }

    codedance_core::testing::router_conformance!(harness);
}

mod failover_to_the_second {
    use super::{ErrorKind, Failover, Faulty, MemoryRequests, Traffic};

    async fn harness() -> Traffic {
        let world = MemoryRequests::new();
        let (first, second) = (Faulty::new(world.clone(), 0), Faulty::new(world.clone(), 0));
        first.break_with(ErrorKind::Unavailable);
        let port = Failover::new("first", first).or("second", second);
        Traffic::new(Box::new(port), world)
    }

    // A query that is refused by a second source while the first is down may be good for the first, so
    // the whole may be tried again.
    mod but_for_the_kind_of_a_refusal {
        use codedance_core::testing::{METRICS, MetricsHarness, check};

        #[test]
        fn every_clause_but_one_is_kept() {
            for clause in METRICS.iter().map(codedance_core::testing::Clause::name) {
                if clause != "a_malformed_query_is_invalid_and_named" {
                    check(METRICS, clause, async {
                        Box::new(super::harness().await) as Box<dyn MetricsHarness>
                    });
                }
            }
        }
    }
}

mod failover_on_the_first {
    use super::{Failover, MemoryRequests, Traffic};

    async fn harness() -> Traffic {
        let world = MemoryRequests::new();
        let port = Failover::new("first", world.clone()).or("second", world.clone());
        Traffic::new(Box::new(port), world)
    }

    codedance_core::testing::metrics_conformance!(harness);
}

mod healed_executor {
    use super::{Fleets, executor_world, healed};

    async fn harness() -> Fleets {
        let world = executor_world();
        Fleets {
            port: Box::new(healed(world.clone())),
            worlds: vec![world],
        }
    }

    codedance_core::testing::executor_conformance!(harness);
}

mod healed_router {
    use super::{Splits, healed, router_world};

    async fn harness() -> Splits {
        let world = router_world();
        Splits {
            port: Box::new(healed(world.clone())),
            worlds: vec![world],
        }
    }

    codedance_core::testing::router_conformance!(harness);
}

/// Done twice is the same as once, so that duplicates break no clause.
mod duplicating_router {
    use super::{Faulty, Percent, Splits, router_world};

    async fn harness() -> Splits {
        let world = router_world();
        let port = Faulty::new(world.clone(), 3).with_duplicates(Percent::HUNDRED);
        Splits {
            port: Box::new(port),
            worlds: vec![world],
        }
    }

    codedance_core::testing::router_conformance!(harness);
}

mod duplicating_executor {
    use super::{Faulty, Fleets, Percent, executor_world};

    async fn harness() -> Fleets {
        let world = executor_world();
        let port = Faulty::new(world.clone(), 3).with_duplicates(Percent::HUNDRED);
        Fleets {
            port: Box::new(port),
            worlds: vec![world],
        }
    }

    codedance_core::testing::executor_conformance!(harness);
}

mod duplicating_journal {
    use super::{Books, Faulty, MemoryJournal, Percent};

    async fn harness() -> Books {
        let world = MemoryJournal::new();
        let port = Faulty::new(world.clone(), 3).with_duplicates(Percent::HUNDRED);
        Books {
            port: Box::new(port),
            world,
            tears_badly: false,
        }
    }

    codedance_core::testing::journal_conformance!(harness);
}

/// What is pretended keeps the contract too, as far as a world that cannot fail can.
mod dry_run_router {
    use codedance_core::testing::{Clause, ROUTER, RouterHarness, check};

    use super::{DryRun, Splits, router_world};

    #[test]
    fn every_clause_is_kept_but_that_it_sees_outside_changes() {
        for clause in ROUTER.iter().map(Clause::name) {
            if clause != "an_outside_change_is_observed" {
                check(ROUTER, clause, async {
                    let world = router_world();
                    let port = Box::new(DryRun::new(world.clone()));
                    Box::new(Splits {
                        port,
                        worlds: vec![world],
                    }) as Box<dyn RouterHarness>
                });
            }
        }
    }
}
