//! What is played: healthy canaries in every environment, and sick ones.

use crate::judges::Judge;
use crate::latency::Latency;
use crate::simulate::play;
use crate::tally::Tally;
use crate::traffic::{Environment, Errors, MINUTES, Regression};

/// Something that happens to a canary, at some level of traffic.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) table: Table,
    /// What happens, in the words of the tables.
    pub(crate) what: &'static str,
    pub(crate) level: Level,
    world: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Errors(Errors<1>),
    Metrics(Errors<5>),
    Latency(Latency),
}

/// Which table it is shown in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    HealthyErrors,
    SickErrors,
    HealthyLatency,
    SickLatency,
    HealthyMetrics,
    SickMetrics,
}

impl Table {
    pub(crate) const ALL: [Self; 6] = [
        Self::HealthyErrors,
        Self::SickErrors,
        Self::HealthyLatency,
        Self::SickLatency,
        Self::HealthyMetrics,
        Self::SickMetrics,
    ];

    /// Whether every rollback is a mistake.
    pub(crate) const fn is_healthy(self) -> bool {
        matches!(
            self,
            Self::HealthyErrors | Self::HealthyLatency | Self::HealthyMetrics
        )
    }

    /// What is measured, as the names of scenarios begin.
    const fn family(self) -> &'static str {
        match self {
            Self::HealthyErrors | Self::SickErrors => "errors",
            Self::HealthyLatency | Self::SickLatency => "latency",
            Self::HealthyMetrics | Self::SickMetrics => "metrics",
        }
    }
}

/// How much traffic there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Low,
    Mid,
    High,
}

impl Level {
    pub(crate) const ALL: [Self; 3] = [Self::Low, Self::Mid, Self::High];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Mid => "mid",
            Self::High => "high",
        }
    }

    /// Requests a minute, of both sides together.
    pub(crate) const fn traffic(self) -> f64 {
        match self {
            Self::Low => 600.0,
            Self::Mid => 6_000.0,
            Self::High => 60_000.0,
        }
    }
}

/// A scenario and what every judge made of it.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) scenario: Scenario,
    pub(crate) tallies: Vec<(Judge, Tally)>,
}

impl Played {
    /// What a judge made of it, if he was asked.
    pub(crate) fn by(&self, judge: Judge) -> Option<&Tally> {
        let found = self.tallies.iter().find(|(other, _)| *other == judge);
        found.map(|(_, tally)| tally)
    }
}

impl Scenario {
    /// Its name: what is measured, what happens and the traffic, such as `errors_x2_mid`.
    pub(crate) fn name(&self) -> String {
        let words = self.what.replace(['%', ','], "").replace('×', "x");
        let words = words.split_whitespace().collect::<Vec<_>>().join("_");
        format!("{}_{words}_{}", self.table.family(), self.level.name())
    }

    /// Plays it so many times.
    pub(crate) fn play(self, seed: u64, rollouts: usize) -> Played {
        let name = self.name();
        let tallies = match &self.world {
            Kind::Errors(world) => play(world, &name, seed, rollouts),
            Kind::Metrics(world) => play(world, &name, seed, rollouts),
            Kind::Latency(world) => play(world, &name, seed, rollouts),
        };
        Played {
            scenario: self,
            tallies,
        }
    }
}

/// Every scenario, in the order of the tables.
pub(crate) fn all() -> Vec<Scenario> {
    let mut all = Vec::new();
    healthy_errors(&mut all);
    sick_errors(&mut all);
    latency(&mut all);
    metrics(&mut all);
    all
}

/// The share of requests that end badly, unless a scenario says otherwise.
const BASE: f64 = 0.005;

fn healthy_errors(all: &mut Vec<Scenario>) {
    for (what, base, environment) in [
        ("stationary", BASE, Environment::Stationary),
        ("drift", BASE, Environment::Drift),
        ("shared noise", BASE, Environment::SharedNoise),
        ("incident", BASE, Environment::Incident),
        ("arm noise 0.2", BASE, Environment::ArmNoise(0.2)),
        ("arm noise 0.35", BASE, Environment::ArmNoise(0.35)),
        ("arm noise 0.5", BASE, Environment::ArmNoise(0.5)),
        ("arm noise 0.8", BASE, Environment::ArmNoise(0.8)),
        ("offset 1.1", BASE, Environment::Offset(1.1)),
        ("base 0.1 %", BASE / 5.0, Environment::Stationary),
        (
            "base 0.1 %, arm noise 0.5",
            BASE / 5.0,
            Environment::ArmNoise(0.5),
        ),
    ] {
        for level in Level::ALL {
            let world = errors(level, base, environment, Regression::NONE);
            all.push(Scenario {
                table: Table::HealthyErrors,
                what,
                level,
                world: Kind::Errors(world),
            });
        }
    }
}

fn sick_errors(all: &mut Vec<Scenario>) {
    use Level::{High, Low, Mid};
    let steady = Environment::Stationary;
    let late = Regression {
        from: MINUTES / 2,
        ..Regression::of(2.0)
    };
    for (level, what, base, environment, regression) in [
        (Low, "×2", BASE, steady, Regression::of(2.0)),
        (Low, "×3", BASE, steady, Regression::of(3.0)),
        (Low, "×5", BASE, steady, Regression::of(5.0)),
        (Mid, "×1.5", BASE, steady, Regression::of(1.5)),
        (Mid, "×2", BASE, steady, Regression::of(2.0)),
        (Mid, "×5", BASE, steady, Regression::of(5.0)),
        (
            Mid,
            "×2, base 0.1 %",
            BASE / 5.0,
            steady,
            Regression::of(2.0),
        ),
        (Mid, "×2 from minute 30", BASE, steady, late),
        (
            Mid,
            "×2, arm noise 0.2",
            BASE,
            Environment::ArmNoise(0.2),
            Regression::of(2.0),
        ),
        (High, "×1.25", BASE, steady, Regression::of(1.25)),
        (High, "×2", BASE, steady, Regression::of(2.0)),
        (
            High,
            "×2, arm noise 0.5",
            BASE,
            Environment::ArmNoise(0.5),
            Regression::of(2.0),
        ),
    ] {
        let world = errors(level, base, environment, regression);
        all.push(Scenario {
            table: Table::SickErrors,
            what,
            level,
            world: Kind::Errors(world),
        });
    }
}

fn latency(all: &mut Vec<Scenario>) {
    use Table::{HealthyLatency, SickLatency};
    for (table, what, noise, slower, tail) in [
        (HealthyLatency, "stationary", 0.0, 1.0, 0.0),
        (HealthyLatency, "offset 1.03", 0.0, 1.03, 0.0),
        (HealthyLatency, "arm noise 0.1", 0.1, 1.0, 0.0),
        (HealthyLatency, "arm noise 0.25", 0.25, 1.0, 0.0),
        (SickLatency, "×1.25", 0.0, 1.25, 0.0),
        (SickLatency, "×1.1", 0.0, 1.1, 0.0),
        (SickLatency, "slow tail", 0.0, 1.0, 0.02),
    ] {
        for level in Level::ALL {
            let world = Latency {
                traffic: level.traffic(),
                noise,
                slower,
                tail,
            };
            all.push(Scenario {
                table,
                what,
                level,
                world: Kind::Latency(world),
            });
        }
    }
}

fn metrics(all: &mut Vec<Scenario>) {
    use Table::{HealthyMetrics, SickMetrics};
    let sick = |metrics| Regression {
        metrics,
        ..Regression::of(2.0)
    };
    for (table, what, regression) in [
        (HealthyMetrics, "stationary", Regression::NONE),
        (SickMetrics, "×2 in 1 of 5", sick(1)),
        (SickMetrics, "×2 in 2 of 5", sick(2)),
    ] {
        for level in Level::ALL {
            let world = errors(level, BASE, Environment::Stationary, regression);
            all.push(Scenario {
                table,
                what,
                level,
                world: Kind::Metrics(world),
            });
        }
    }
}

const fn errors<const N: usize>(
    level: Level,
    base: f64,
    environment: Environment,
    regression: Regression,
) -> Errors<N> {
    Errors {
        traffic: level.traffic(),
        base,
        environment,
        regression,
    }
}
