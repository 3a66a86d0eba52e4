//! An hour of a shop's metrics, three times: all is well, the canary is bad, everybody has trouble.
//!
//! A line for every 30 s. The first half hour is before the release, so the stable revision is alone; then
//! the canary gets a tenth of about 200 requests a second.

use fastrand::Rng;

/// 21 November 2026, 10:00 UTC.
const BEGIN: u64 = 1_795_255_200;
const STEP: u64 = 30;
const STEPS: u64 = 120;
/// The canary has requests from this step on.
const RELEASE: u64 = 60;
/// What is usual: so many requests fail.
const USUAL: f64 = 0.002;
/// How long requests take: this share takes no longer than each of these bounds in seconds.
const LATENCIES: [(&str, f64); 8] = [
    ("0.05", 0.1),
    ("0.1", 0.55),
    ("0.15", 0.82),
    ("0.2", 0.93),
    ("0.3", 0.985),
    ("0.5", 0.997),
    ("1", 0.9995),
    ("+Inf", 1.0),
];

/// A recording: its file, and which shares of the canary's and of the stable revision's requests fail, by
/// the minutes since the release.
struct Recording {
    file: &'static str,
    about: &'static str,
    shares: fn(f64) -> [f64; 2],
}

const RECORDINGS: [Recording; 3] = [
    Recording {
        file: "healthy.csv",
        about: "0.2 % of the requests of both revisions fail",
        shares: |_| [USUAL; 2],
    },
    Recording {
        file: "bad-release.csv",
        about: "from minute 5 of the release on, ten times as many of the canary's requests fail",
        shares: |minute| [if minute > 5.0 { 10.0 * USUAL } else { USUAL }, USUAL],
    },
    Recording {
        file: "incident.csv",
        about: "from minute 6 to 11 of the release, twenty times as many requests of both revisions fail",
        shares: |minute| {
            let trouble = minute > 6.0 && minute <= 11.0;
            [if trouble { 20.0 * USUAL } else { USUAL }; 2]
        },
    },
];

/// Every recording by its file name; the same seed gives the same text.
pub(crate) fn all(seed: u64) -> Vec<(&'static str, String)> {
    let mut rng = Rng::with_seed(seed);
    RECORDINGS
        .iter()
        .map(|recording| (recording.file, recording.table(seed, &mut rng)))
        .collect()
}

impl Recording {
    fn table(&self, seed: u64, rng: &mut Rng) -> String {
        let mut table = format!(
            "# {}.\n# Made by `cargo run --example backtest-data -- --seed {seed} examples/backtest/data`.\n\
             time,metric,side,bad,total",
            self.about
        );
        for (bound, _) in LATENCIES {
            table += &format!(",le:{bound}");
        }
        table.push('\n');
        for step in 1..=STEPS {
            let time = BEGIN + step * STEP;
            let minute = (step as f64 - RELEASE as f64) * STEP as f64 / 60.0;
            let requests = 5_700 + rng.u64(0..600);
            let canary = if step > RELEASE { requests / 10 } else { 0 };
            let sides = [("canary", canary), ("stable", requests - canary)];
            for ((side, total), share) in sides.into_iter().zip((self.shares)(minute)) {
                if total == 0 {
                    continue;
                }
                let bad = (0..total).filter(|_| rng.f64() < share).count();
                let (none, empty) = (",".repeat(LATENCIES.len()), ",,");
                table += &format!("{time},errors,{side},{bad},{total}{none}\n");
                table += &format!("{time},p95,{side}{empty}");
                for count in within(total, rng) {
                    table += &format!(",{count}");
                }
                table.push('\n');
            }
        }
        table
    }
}

/// How many of the requests take no longer than each bound.
fn within(total: u64, rng: &mut Rng) -> [u64; LATENCIES.len()] {
    let mut counts = [0; LATENCIES.len()];
    for _ in 0..total {
        let place = rng.f64();
        for (count, (_, share)) in counts.iter_mut().zip(LATENCIES) {
            *count += u64::from(place < share);
        }
    }
    counts
}
