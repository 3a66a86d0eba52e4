//! Whole rollouts in virtual time, under every fault at once; each is decided by one seed.

use std::num::NonZeroUsize;

use codedance_core::testing::sim::{self, Tally};

/// The first seed. `cargo xtask sim` takes as many others as there is time for.
const BASE: u64 = 1_000_000;
const SEEDS: u64 = 500;

#[test]
fn no_rollout_breaks_an_invariant() {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get) as u64;
    let every = |first: u64| {
        let mut tally = Tally::default();
        for seed in (first..SEEDS).step_by(cores as usize) {
            match sim::run(BASE + seed) {
                Ok(one) => tally.add(&one),
                Err(broken) => panic!("{broken}"),
            }
        }
        tally
    };
    let mut total = Tally::default();
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..cores)
            .map(|first| scope.spawn(move || every(first)))
            .collect();
        for run in runs {
            match run.join() {
                Ok(tally) => total.add(&tally),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    println!("from seed {BASE} on: {total}");
    assert_eq!(total.runs, SEEDS);
    // Faults that no longer happen test nothing.
    assert_eq!(total.missing(), [""; 0], "{total}");
}

#[test]
fn a_seed_gives_the_same_history_again() {
    for seed in BASE..BASE + 20 {
        assert_eq!(sim::history(seed), sim::history(seed));
        assert_eq!(sim::run(seed), sim::run(seed));
    }
}
