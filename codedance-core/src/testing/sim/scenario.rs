//! What one seed stands for: a plan, a policy, and all that will go wrong.

use std::time::Duration;

use super::plans;
use crate::decision::Policy;
use crate::percent::Percent;
use crate::plan::Plan;
use crate::testing::random::Random;
use crate::traffic::Capability;

/// Independent streams of randomness, so that a draw more in one does not shift the others.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stream {
    Scenario = 1,
    Ports,
    Journal,
    Nature,
    Operators,
    Processes,
}

impl Stream {
    pub(super) const fn of(self, seed: u64) -> Random {
        let mut random = Random::new(seed ^ (self as u64).wrapping_mul(0xA076_1D64_78BD_642F));
        Random::new(random.next())
    }
}

/// How often calls go wrong while the storm lasts, each out of ten thousand.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weather {
    /// Errors that say that trying again may help.
    pub(super) errors: u64,
    /// Errors that say that it will not, and panics.
    pub(super) useless: u64,
    pub(super) lost_replies: u64,
    pub(super) duplicates: u64,
    /// Calls and answers that take up to a minute.
    pub(super) slow: u64,
    /// The process dies, before or after the call is carried out.
    pub(super) deaths: u64,
}

impl Weather {
    fn draw(random: &mut Random) -> Self {
        if random.one_in(4) {
            return Self::default();
        }
        let mut share = |most: u64| match random.below(3) {
            0 => 0,
            _ => random.below(most),
        };
        Self {
            errors: share(2_500),
            useless: share(40),
            lost_replies: share(1_500),
            duplicates: share(1_000),
            slow: share(600),
            deaths: share(120),
        }
    }
}

/// How the clocks of the processes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clocks {
    True,
    /// Each process's clock is off by some minutes, and may jump ahead or be set back.
    Off,
    /// They stand still for a while, as that of a machine that is suspended.
    Standing,
}

/// About how many seconds lie between two troubles of each kind; `None`: there are none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Troubles {
    pub(super) crash: Option<u64>,
    pub(super) meddle: Option<u64>,
    pub(super) operator: Option<u64>,
    pub(super) restart: Option<u64>,
    pub(super) outage: Option<u64>,
    pub(super) mood: Option<u64>,
}

/// What the canary's requests look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Healthy,
    Bad,
    NoData,
}

/// Everything that a seed decides before the rollout begins.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) plan: Plan,
    pub(super) policy: Policy,
    pub(super) capability: Capability,
    /// How long things go wrong.
    pub(super) storm: Duration,
    pub(super) ports: Weather,
    pub(super) journal: Weather,
    pub(super) troubles: Troubles,
    pub(super) clocks: Clocks,
    pub(super) mood: Mood,
    /// How long a replica takes to become ready, in milliseconds.
    pub(super) starting: (u64, u64),
    pub(super) canary_cannot_start: bool,
    pub(super) slow_books: u32,
    pub(super) watched: bool,
    pub(super) same_owner: bool,
    pub(super) snapshot_every: u32,
    pub(super) effect_deadline: Duration,
    pub(super) attempts: u32,
    pub(super) lease: Duration,
    /// Whether every entry is also written and read as it is stored, which takes its time.
    pub(super) reads_back: bool,
}

impl Scenario {
    pub(super) fn draw(seed: u64) -> Self {
        let random = &mut Stream::Scenario.of(seed);
        let plan = plans::plan(random, "v1", "v2");
        let policy = plans::policy(random);
        let finest = random.pick(&[1, 1, 1, 1, 1, 100, 500]);
        let finest = Percent::from_basis_points(finest).unwrap_or(Percent::HUNDRED);
        let propagation = Duration::from_millis(random.pick(&[0, 100, 3_300]));
        let troubles = {
            let mut every = |odds: u64, least: u64, most: u64| {
                random
                    .one_in(odds)
                    .then_some(0)
                    .map(|_| random.between(least, most))
            };
            Troubles {
                crash: every(4, 120, 1_200),
                meddle: every(5, 200, 1_500),
                operator: every(2, 60, 1_500),
                restart: every(2, 100, 1_500),
                outage: every(3, 200, 1_500),
                mood: every(3, 60, 900),
            }
        };
        let clocks = random.pick(&[Clocks::True, Clocks::True, Clocks::Off, Clocks::Standing]);
        let readiness = random.pick(&[1_000, 5_000, 20_000, 60_000]);
        Self {
            capability: Capability::new(finest, propagation).with_cohorts(true),
            storm: Duration::from_secs(random.between(1_800, 3_600)),
            ports: Weather::draw(random),
            journal: Weather::draw(random),
            mood: match random.below(8) {
                0 => Mood::Bad,
                1 => Mood::NoData,
                _ => Mood::Healthy,
            },
            starting: (readiness / 10, readiness),
            canary_cannot_start: random.one_in(16),
            slow_books: random.pick(&[0, 0, 2]),
            watched: random.one_in(2),
            same_owner: clocks != Clocks::Standing && random.one_in(2),
            snapshot_every: random.pick(&[1, 5, 16, 64, 64]),
            effect_deadline: Duration::from_secs(random.between(5, 30)),
            attempts: u32::try_from(random.between(1, 5)).unwrap_or(1),
            lease: Duration::from_secs(random.between(5, 30)),
            reads_back: random.one_in(4),
            plan,
            policy,
            troubles,
            clocks,
        }
    }
}
