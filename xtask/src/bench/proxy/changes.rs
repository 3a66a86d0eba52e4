//! The weight: what it loses when it changes, and whether it is kept.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Instant,
};

use anyhow::{Result, anyhow, ensure};

use super::{
    Site,
    contenders::{CANARY_POINTS, Ours},
    load::{Load, Mix},
    nginx::Nginx,
};
use crate::bench::figure::{Figure, Goal};

/// How many requests have to come through while the weight changes.
const REQUESTS: u64 = 1_000_000;
const CHANGES_PER_SECOND: f64 = 100.0;
/// Our proxy is asked for a hundred; timers of a busy machine are late at the end.
const TOLERATED: f64 = 0.99;
/// The loads that the requests come in, with all changes going on; so many may be needed at most.
const LOADS: usize = 20;
const LOAD: Load = Load {
    path: "/1k",
    mix: Mix::Mixed,
    connections: 64,
    seconds: 10,
};

/// The shares that are checked, in basis points, and by how many requests.
const SHARES: [u16; 3] = [100, 1_000, 5_000];
const SHARE_REQUESTS: u64 = 100_000;
/// How many standard deviations a share may be off: chance does more in one run of five thousand.
const DEVIATIONS: f64 = 4.0;

/// What the client saw while the weight changed.
#[derive(Debug, Default)]
struct Change {
    requests: u64,
    failed: u64,
    changes: u64,
    seconds: f64,
}

impl Change {
    fn per_second(&self) -> f64 {
        self.changes as f64 / self.seconds
    }
}

/// Changes the weight under load, and checks it when it rests.
///
/// # Errors
///
/// If a proxy fails, or does not answer enough requests.
pub(super) fn measure(site: &Site) -> Result<Vec<Figure>> {
    let mut proxy = site.ours()?;
    let mut figures = shares(site, &mut proxy)?;
    let ours = ours(site, &mut proxy)?;
    drop(proxy);
    let nginx = nginx(site)?;
    let note = format!(
        "GET and POST; nginx loses {} of {} with as many reloads as it bears",
        nginx.failed, nginx.requests
    );
    figures.extend([
        Figure {
            rival: Some(nginx.per_second()),
            ..Figure::alone(
                "weight_changes",
                "1/s",
                ours.per_second(),
                Goal::AtLeast(TOLERATED * CHANGES_PER_SECOND),
            )
        },
        Figure::alone(
            "weight_changes_requests",
            "requests",
            ours.requests as f64,
            Goal::AtLeast(REQUESTS as f64),
        ),
        Figure {
            rival: Some(nginx.failed as f64),
            ..Figure::alone(
                "weight_changes_failed",
                "requests",
                ours.failed as f64,
                Goal::AtMost(0.0),
            )
        }
        .with_note(note),
    ]);
    Ok(figures)
}

/// How far the shares are off, counted where the requests arrive.
fn shares(site: &Site, proxy: &mut Ours) -> Result<Vec<Figure>> {
    let load = Load {
        mix: Mix::Users,
        seconds: 2,
        ..LOAD
    };
    let mut figures = Vec::new();
    for points in SHARES {
        proxy.order(&format!("draw {points}"))?;
        let counted = || -> Result<(u64, u64)> {
            let behind = &site.behind;
            Ok((behind.stable.requests()?, behind.canary.requests()?))
        };
        let before = counted()?;
        let (mut stable, mut canary) = (0, 0);
        for asked in 1..=LOADS as u64 {
            site.client.send(&proxy.address.to_string(), load)?;
            let after = counted()?;
            // Asking for the count is a request, too.
            (stable, canary) = (after.0 - before.0 - asked, after.1 - before.1 - asked);
            if stable + canary >= SHARE_REQUESTS {
                break;
            }
        }
        let (all, share) = ((stable + canary) as f64, f64::from(points) / 10_000.0);
        ensure!(
            all >= SHARE_REQUESTS as f64,
            "only {all} requests came through at a weight of {points} basis points"
        );
        let found = canary as f64 / all;
        let off = (found - share).abs() / (share * (1.0 - share) / all).sqrt();
        let name = format!("split_at_{points}_basis_points");
        let note = format!("{:.3} % of {all} requests", 100.0 * found);
        let figure = Figure::alone(name, "sigma", off, Goal::AtMost(DEVIATIONS));
        figures.push(figure.with_note(note));
    }
    Ok(figures)
}

fn ours(site: &Site, proxy: &mut Ours) -> Result<Change> {
    let mut change = Change::default();
    let before = proxy.order("change")?;
    let begun = Instant::now();
    for _ in 0..LOADS {
        let seen = site.client.send(&proxy.address.to_string(), LOAD)?;
        change.requests += seen.answers;
        change.failed += seen.failed;
        if change.requests >= REQUESTS {
            break;
        }
    }
    change.seconds = begun.elapsed().as_secs_f64();
    let after = proxy.order("totals")?;
    change.changes = after.changes - before.changes;
    // What the proxy knows to have failed counts even if the client had gone by then.
    change.failed = change.failed.max(after.failed - before.failed);
    ensure!(
        after.requests - before.requests >= change.requests,
        "the proxy counted {} requests, the client had {} answers",
        after.requests - before.requests,
        change.requests
    );
    Ok(change)
}

/// nginx changes its weight by a new configuration and a reload, one after the other.
fn nginx(site: &Site) -> Result<Change> {
    let folder = site.folder.join("nginx-changes");
    let nginx = Nginx::proxy(folder, &site.cores.one(), &site.behind, CANARY_POINTS)?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let reloads = scope.spawn(|| -> Result<u64> {
            let mut generation = 0;
            while !over.load(Relaxed) {
                generation += 1;
                nginx.change(&site.behind, generation * 137 % 10_001, generation)?;
            }
            Ok(u64::from(generation))
        });
        let begun = Instant::now();
        let seen = site.client.send(&nginx.address.to_string(), LOAD);
        over.store(true, Relaxed);
        let changes = reloads.join().map_err(|_| anyhow!("reloads panicked"))??;
        let seen = seen?;
        Ok(Change {
            requests: seen.answers,
            failed: seen.failed,
            changes,
            seconds: begun.elapsed().as_secs_f64(),
        })
    })
}
