//! Throughput, latency and processor time, in rounds in which every proxy has its turn.

use std::net::SocketAddr;

use anyhow::Result;

use super::{
    Site,
    contenders::{RIVALS, Rival},
    load::{Load, Mix, Seen},
    machine::Server,
};
use crate::bench::figure::{Figure, Goal};

/// What clients ask for, and over how many connections.
const LOADS: [(&str, &str, u32); 4] = [
    ("1k_64", "/1k", 64),
    ("1k_1000", "/1k", 1_000),
    ("64k_64", "/64k", 64),
    ("64k_1000", "/64k", 1_000),
];
const ROUNDS: usize = 7;
const SECONDS: u32 = 2;

/// A proxy's turn in a round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    pub(super) seen: Seen,
    /// The processor time that a request takes, in microseconds.
    pub(super) micros_each: f64,
}

impl Turn {
    /// Loads a proxy and watches what it uses.
    ///
    /// # Errors
    ///
    /// If it answers nothing, or is gone.
    pub(super) fn of(
        site: &Site,
        server: &Server,
        address: SocketAddr,
        load: Load,
    ) -> Result<Self> {
        let before = server.processor_micros()?;
        let seen = site.client.send(&address.to_string(), load)?;
        let used = server.processor_micros()? - before;
        Ok(Self {
            seen,
            micros_each: used / seen.answers as f64,
        })
    }

    fn show(&self, name: &str) -> String {
        format!(
            "  {name} {:.0}/s, P99 {:.2} ms, {:.2} µs each",
            self.seen.per_second(),
            self.seen.p99_micros / 1e3,
            self.micros_each
        )
    }
}

/// Compares our proxy with each rival under each load.
///
/// # Errors
///
/// If our proxy or nginx fails.
pub(super) fn measure(site: &Site) -> Result<Vec<Figure>> {
    let ours = site.ours()?;
    let mut rivals = Vec::new();
    for name in RIVALS {
        rivals.push((
            name,
            Rival::start(name, &site.cores.one(), &site.behind, &site.folder),
        ));
    }

    let mut figures = Vec::new();
    let mut failed = 0;
    for (label, path, connections) in LOADS {
        let load = Load {
            path,
            mix: Mix::Users,
            connections,
            seconds: SECONDS,
        };
        let mut our_turns = Vec::new();
        let mut their_turns = vec![Vec::new(); rivals.len()];
        for round in 1..=ROUNDS {
            let turn = Turn::of(site, &ours.server, ours.address, load)?;
            print!("{label} {round}:{}", turn.show("ours"));
            failed += turn.seen.failed;
            our_turns.push(turn);
            for ((name, rival), turns) in rivals.iter().zip(&mut their_turns) {
                if let Ok(rival) = rival {
                    let turn = Turn::of(site, rival.server(), rival.address(), load)?;
                    print!("{}", turn.show(name));
                    turns.push(turn);
                }
            }
            println!();
        }
        for ((name, rival), turns) in rivals.iter().zip(&their_turns) {
            figures.extend(match rival {
                Ok(_) => compared(label, name, &our_turns, turns),
                Err(error) => {
                    let why = format!("not measured: {error:#}");
                    vec![Figure::missing(row("throughput", label, name), "1/s", why)]
                }
            });
        }
    }
    figures.push(Figure::alone(
        "failed_in_rounds",
        "requests",
        failed as f64,
        Goal::AtMost(0.0),
    ));
    Ok(figures)
}

fn row(what: &str, label: &str, rival: &str) -> String {
    format!("{what}_{label}_{rival}")
}

/// The goals are for throughput beside nginx and HAProxy, and for latency beside nginx.
fn compared(label: &str, rival: &str, ours: &[Turn], theirs: &[Turn]) -> Vec<Figure> {
    let (throughput, latency) = match rival {
        "nginx" => (Goal::AtLeast(1.0), Goal::AtMost(1.2)),
        "haproxy" => (Goal::AtLeast(0.9), Goal::None),
        _ => (Goal::None, Goal::None),
    };
    let compare = |what, unit, goal, of: fn(&Turn) -> f64| {
        let values = |turns: &[Turn]| turns.iter().map(of).collect::<Vec<_>>();
        let (ours, theirs) = (values(ours), values(theirs));
        Figure::beside(row(what, label, rival), unit, &ours, &theirs, goal)
    };
    vec![
        compare("throughput", "1/s", throughput, |turn| {
            turn.seen.per_second()
        }),
        compare("p99", "ms", latency, |turn| turn.seen.p99_micros / 1e3),
        compare("processor_time", "µs", Goal::None, |turn| turn.micros_each),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(answers: u64) -> Turn {
        Turn {
            seen: Seen {
                answers,
                micros: 1e6,
                p99_micros: 2_000.0,
                failed: 0,
            },
            micros_each: 10.0,
        }
    }

    #[test]
    fn more_is_better_for_throughput_alone() {
        let met = |ours, rival| {
            let figures = compared("1k_64", rival, &[turn(ours)], &[turn(100)]);
            figures.iter().map(|figure| figure.met).collect::<Vec<_>>()
        };
        assert_eq!(met(101, "nginx"), [Some(true), Some(true), None]);
        assert_eq!(met(99, "nginx"), [Some(false), Some(true), None]);
        assert_eq!(met(91, "haproxy"), [Some(true), None, None]);
        assert_eq!(met(1, "envoy"), [None, None, None]);
    }
}
