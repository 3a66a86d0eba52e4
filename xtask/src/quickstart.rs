//! The quickstart: once as the README has it, once killed again and again.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::sh::Cmd;

/// How long it may take, its build not counted.
const LIMIT: Duration = Duration::from_secs(60);

/// How long it may take together when it is killed again and again, and started as often.
const KILLED_LIMIT: Duration = Duration::from_secs(180);

/// How long it lives before it is killed, in milliseconds.
const LIFE: std::ops::Range<u64> = 500..5_000;

/// Runs it both ways.
///
/// # Errors
///
/// If it does not end well, or not in time.
pub(crate) fn run() -> Result<()> {
    let quickstart = Cmd::new("cargo run --release --example quickstart");
    if let Some(build) = quickstart.build() {
        build.run("The quickstart does not build")?;
    }
    undisturbed(&quickstart)?;
    killed(&quickstart)
}

fn undisturbed(quickstart: &Cmd) -> Result<()> {
    // The limit is checked afterwards as well as enforced: how late it was is worth knowing.
    let took = quickstart.run_for("The quickstart does not succeed", 3 * LIMIT, 0)?;
    if took >= LIMIT {
        let sentence = format!(
            "The quickstart took {:.1} s; it has to end in under {} s.",
            took.as_secs_f64(),
            LIMIT.as_secs(),
        );
        return Err(quickstart.failed(sentence).into());
    }
    println!("The quickstart took {:.1} s.", took.as_secs_f64());
    Ok(())
}

/// Kills it at random moments and starts it again with the same journal, until it ends by itself. Its
/// exit code says whether every version has ended as it should.
fn killed(quickstart: &Cmd) -> Result<()> {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let state = std::env::temp_dir().join(format!("codedance-state-{}", std::process::id()));
    let state_text = state.to_string_lossy().into_owned();
    let quickstart = quickstart.clone().with_arg("--").with_arg("--state");
    let quickstart = quickstart.with_arg(&state_text);
    println!("Killed at moments that the seed {seed} gives:");
    let begun = Instant::now();
    let mut kills = 0;
    let ended = loop {
        let life = Duration::from_millis(random.u64(LIFE));
        let what = format!("The quickstart, killed {kills} times, does not go on");
        if quickstart.run_until_killed(&what, life)? {
            break Ok(());
        }
        kills += 1;
        if begun.elapsed() > KILLED_LIMIT {
            let sentence = format!(
                "The quickstart, killed {kills} times within {} s, did not come to its end.",
                KILLED_LIMIT.as_secs()
            );
            break Err(quickstart.failed(sentence).into());
        }
    };
    // What a failure leaves behind can be looked at, and gone on with.
    if ended.is_ok() {
        std::fs::remove_dir_all(&state).with_context(|| state_text.clone())?;
        let took = begun.elapsed().as_secs_f64();
        println!("The quickstart, killed {kills} times, came to its end after {took:.1} s.");
    }
    ended
}
