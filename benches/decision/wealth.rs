//! E-processes: bets against a healthy canary. Nobody wins a hundredfold with a chance above 1 %, however
//! often he looks (Ville).
//!
//! A bet is on a ratio of the canary's errors to the stable revision's. Given how many errors a minute
//! had, the canary's part of them is binomial if the requests are independent, so base rate, drift and
//! weight cancel out. Each bet is placed anew, with a part of the stake, where a stage begins: what was
//! lost while a canary was well does not delay what is found when it falls ill.

use crate::judges::Detector;
use crate::references::{ALPHA, ln_beta};
use crate::traffic::{Counts, Minute, Side};

/// The bets: on which ratios, and with which part of the stake each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bets {
    /// The ratio up to which a canary counts as healthy.
    pub(crate) tolerated: f64,
    /// The ratios that are bet on, as multiples of the tolerated one.
    pub(crate) ratios: [f64; 4],
    pub(crate) stakes: [f64; 4],
    pub(crate) noise: Noise,
}

/// Whether minutes are believed to differ by more than chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Noise {
    /// No: requests are independent.
    None,
    /// As much as they did in the past, and by 10 % at least.
    OfThePast,
}

impl Bets {
    const ERRORS: Self = Self {
        tolerated: 1.0,
        ratios: [1.35, 2.0, 4.0, 10.0],
        stakes: [0.2, 0.4, 0.25, 0.15],
        noise: Noise::None,
    };

    /// The exact test: valid for independent requests, and for nothing else.
    pub(crate) const EXACT: Self = Self::ERRORS;

    /// The test that expects noise, of error rates.
    pub(crate) const ROBUST: Self = Self {
        tolerated: 1.1,
        noise: Noise::OfThePast,
        ..Self::ERRORS
    };

    /// The same of latencies.
    pub(crate) const LATENCY: Self = Self {
        ratios: [1.15, 1.5, 2.5, 6.0],
        stakes: [0.25, 0.35, 0.25, 0.15],
        ..Self::ROBUST
    };
}

/// The mean of what was won on all metrics.
#[derive(Debug)]
pub(crate) struct Wealth {
    bets: Bets,
    streams: Vec<Stream>,
}

impl Wealth {
    pub(crate) const fn new(bets: Bets) -> Self {
        Self {
            bets,
            streams: Vec::new(),
        }
    }
}

impl<S: Side> Detector<S> for Wealth {
    fn begin(&mut self, past: &[S]) {
        self.streams.clear();
        let metrics = past.first().map_or(0, |minute| minute.counts().count());
        for metric in 0..metrics {
            let past = past.iter().filter_map(|minute| minute.counts().nth(metric));
            self.streams.push(Stream::new(&self.bets, past));
        }
    }

    fn look(&mut self, minute: &Minute<S>) -> bool {
        let sides = minute.canary.counts().zip(minute.stable.counts());
        for (stream, (canary, stable)) in self.streams.iter_mut().zip(sides) {
            if minute.begins_later_stage() {
                stream.start();
            }
            stream.add(&self.bets, canary, stable);
        }
        let wealth: f64 = self.streams.iter().map(|s| s.wealth(&self.bets)).sum();
        wealth / self.streams.len() as f64 >= 1.0 / ALPHA
    }
}

/// What was won on one metric.
#[derive(Debug)]
struct Stream {
    spread: f64,
    /// The logarithms of what each bet has won since the rollout began.
    now: Won,
    /// What they had won when each of the later stages began.
    starts: Vec<Won>,
    signs: Option<Signs>,
}

/// For each of the bets.
type Won = [f64; 4];

/// The part of the stake that is bet at once; the rest waits for the three later stages.
const AT_ONCE: f64 = 0.7;
const LATER: f64 = 0.1;

impl Stream {
    fn new(bets: &Bets, past: impl Iterator<Item = Counts> + Clone) -> Self {
        let spread = spread(past.clone());
        let (minutes, bad) = past.fold((0, 0), |(n, bad), counts| (n + 1, bad + counts.bad));
        let noisy = bets.noise == Noise::OfThePast && spread > Signs::SPREAD;
        // The canary's first stage has the fewest requests.
        let many = bad as f64 / f64::from(minutes) * 0.05 >= Signs::LEAST;
        Self {
            spread: spread.max(0.1),
            now: [0.0; 4],
            starts: Vec::with_capacity(3),
            signs: (noisy && many).then(Signs::default),
        }
    }

    fn start(&mut self) {
        self.starts.push(self.now);
        if let Some(signs) = &mut self.signs {
            signs.start();
        }
    }

    fn add(&mut self, bets: &Bets, canary: Counts, stable: Counts) {
        let errors = canary.bad + stable.bad;
        if errors == 0 || canary.total == 0 || stable.total == 0 {
            return;
        }
        if let Some(signs) = &mut self.signs {
            signs.add(canary.share() > bets.tolerated * stable.share());
            return;
        }
        let weight = canary.total as f64 / (canary.total + stable.total) as f64;
        let likelihood = Likelihood {
            canary: canary.bad as f64,
            stable: stable.bad as f64,
            weight,
            firmness: match bets.noise {
                Noise::None => None,
                Noise::OfThePast => {
                    let v = 2.0 * self.spread * self.spread * weight * (1.0 - weight);
                    Some((1.0 / v - 1.0).max(1e-3))
                }
            },
        };
        let healthy = likelihood.of(bets.tolerated);
        // No minute may convict by itself, whatever happened in it.
        let most = match bets.noise {
            Noise::None => f64::INFINITY,
            Noise::OfThePast => 20_f64.ln(),
        };
        for (won, ratio) in self.now.iter_mut().zip(bets.ratios) {
            *won += (likelihood.of(bets.tolerated * ratio) - healthy).min(most);
        }
    }

    fn wealth(&self, bets: &Bets) -> f64 {
        if let Some(signs) = &self.signs {
            return signs.wealth();
        }
        let since = |start: &Won| -> f64 {
            let bets = self.now.iter().zip(start).zip(bets.stakes);
            bets.map(|((now, start), stake)| stake * (now - start).exp())
                .sum()
        };
        mixed(since(&[0.0; 4]), self.starts.iter().map(since))
    }
}

/// What all starts together have won; what waits for a stage that has not begun is kept.
fn mixed(first: f64, later: impl ExactSizeIterator<Item = f64>) -> f64 {
    let waiting = 3_usize.saturating_sub(later.len()) as f64;
    AT_ONCE * first + LATER * (later.sum::<f64>() + waiting)
}

/// How likely it is that of a minute's errors so many are the canary's.
struct Likelihood {
    canary: f64,
    stable: f64,
    weight: f64,
    /// How firmly minutes keep to the ratio: the sum of the beta distribution's parameters. None: exactly.
    firmness: Option<f64>,
}

impl Likelihood {
    /// The logarithm, if the canary has `ratio` times the stable revision's errors, but for a constant.
    fn of(&self, ratio: f64) -> f64 {
        let share = self.weight * ratio / (1.0 - self.weight + self.weight * ratio);
        let Some(firmness) = self.firmness else {
            return self.canary * share.ln() + self.stable * (1.0 - share).ln();
        };
        let (a, b) = (firmness * share, firmness * (1.0 - share));
        ln_beta(a + self.canary, b + self.stable) - ln_beta(a, b)
    }
}

/// By how much the minutes of the past differed beyond chance, as a coefficient of variation.
fn spread(past: impl Iterator<Item = Counts> + Clone) -> f64 {
    let past = past.filter(|counts| counts.total > 0);
    let minutes = past.clone().count() as f64;
    let total = past.clone().fold(Counts::default(), |sum, counts| Counts {
        bad: sum.bad + counts.bad,
        total: sum.total + counts.total,
    });
    let mean = total.share();
    if minutes < 2.0 || total.bad == 0 {
        return 0.0;
    }
    // Of neighbours, so that a slow drift is not taken for noise.
    let neighbours = past.clone().zip(past.clone().skip(1));
    let differences = neighbours.map(|(a, b)| (b.share() - a.share()).powi(2));
    let seen = differences.sum::<f64>() / (minutes - 1.0) / 2.0;
    let chance = past.map(|counts| mean / counts.total as f64).sum::<f64>() / minutes;
    (seen - chance).max(0.0).sqrt() / mean
}

/// For very noisy minutes with many errors: bets on how many minutes are worse, and not by how much.
#[derive(Debug, Default)]
struct Signs {
    now: Tally,
    starts: Vec<Tally>,
}

/// Minutes in which the canary was worse, and in which it was not.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    worse: i32,
    better: i32,
}

impl Signs {
    /// Above this spread the past counts as very noisy.
    const SPREAD: f64 = 0.4;
    /// So many errors the canary has to be expected to have in a minute.
    const LEAST: f64 = 5.0;

    fn start(&mut self) {
        self.starts.push(self.now);
    }

    fn add(&mut self, worse: bool) {
        if worse {
            self.now.worse += 1;
        } else {
            self.now.better += 1;
        }
    }

    fn wealth(&self) -> f64 {
        let since = |start: &Tally| -> f64 {
            let worse = self.now.worse - start.worse;
            let better = self.now.better - start.better;
            let won = |q: f64| (2.0 * q).powi(worse) * (2.0 - 2.0 * q).powi(better);
            [0.6, 0.7, 0.8, 0.9, 0.97].map(won).iter().sum::<f64>() / 5.0
        };
        mixed(since(&Tally::default()), self.starts.iter().map(since))
    }
}
