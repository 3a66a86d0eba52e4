//! Simulates rollouts on all cores: `sim SEEDS [FIRST]`, or `sim --seed SEED` for one with its history.
//! `cargo xtask sim` builds it optimised and runs it.

use std::io::{IsTerminal, Write};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use codedance_core::testing::sim::{self, Broken, Tally};

/// So many seeds are taken at once: few enough that the last ones are soon done.
const CHUNK: u64 = 64;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    let second = arguments.next().and_then(|text| text.parse().ok());
    let end = match (first.as_deref(), second) {
        (Some("--seed"), Some(seed)) => one(seed),
        (Some(seeds), base) if seeds.parse::<u64>().is_ok() => {
            many(seeds.parse().unwrap_or(0), base.unwrap_or(0))
        }
        _ => {
            eprintln!("usage: sim SEEDS [FIRST] | sim --seed SEED");
            return ExitCode::FAILURE;
        }
    };
    match end {
        Ok(()) => ExitCode::SUCCESS,
        Err(broken) => {
            eprintln!("\n{broken}");
            ExitCode::FAILURE
        }
    }
}

/// One rollout, with the last of what happens in it.
fn one(seed: u64) -> Result<(), Broken> {
    for line in sim::history(seed)? {
        println!("{line}");
    }
    println!("seed {seed}: {}", sim::run(seed)?);
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "how fast it is takes a real clock"
)]
fn many(seeds: u64, base: u64) -> Result<(), Broken> {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let total: Mutex<Result<Tally, Broken>> = Mutex::new(Ok(Tally::default()));
    let began = Instant::now();
    let live = std::io::stdout().is_terminal();
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let from = next.fetch_add(CHUNK, Ordering::Relaxed);
            if from >= seeds {
                return;
            }
            let mut tally = Tally::default();
            for seed in from..seeds.min(from + CHUNK) {
                match sim::run(base.wrapping_add(seed)) {
                    Ok(one) => tally.add(&one),
                    Err(broken) => {
                        stop.store(true, Ordering::Relaxed);
                        let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
                        if total.is_ok() {
                            *total = Err(broken);
                        }
                        return;
                    }
                }
            }
            let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
            if let Ok(total) = &mut *total {
                total.add(&tally);
                if live {
                    let speed = per_second(total.runs, began.elapsed());
                    print!("\r{} of {seeds} rollouts, {speed:.0} a second", total.runs);
                    std::io::stdout().flush().ok();
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    if live {
        println!();
    }
    let tally = total.into_inner().unwrap_or_else(PoisonError::into_inner)?;
    let took = began.elapsed();
    println!(
        "{tally}\nseeds {base} to {}, in {:.1} s: {:.0} rollouts a second on {cores} cores",
        base.wrapping_add(seeds.saturating_sub(1)),
        took.as_secs_f64(),
        per_second(tally.runs, took)
    );
    Ok(())
}

fn per_second(rollouts: u64, took: Duration) -> f64 {
    rollouts as f64 / took.as_secs_f64().max(1e-9)
}
