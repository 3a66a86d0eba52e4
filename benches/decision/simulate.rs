//! Plays rollouts, on all processors at once.

use std::sync::Mutex;
use std::thread;

use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::judges::Judge;
use crate::tally::Tally;
use crate::traffic::World;

/// How many rollouts a thread takes at a time.
const PORTION: usize = 16;

/// When a rollout was sent back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    /// After how many minutes.
    pub(crate) minute: usize,
    /// After how many requests to the canary.
    pub(crate) requests: u64,
}

/// Plays `rollouts` rollouts of a world, and shows every one of them to every judge.
///
/// The stream of random numbers belongs to the seed, the scenario's name and the rollout's number: all
/// judges see the same traffic, whoever else judges and however many threads there are.
pub(crate) fn play<W: World>(
    world: &W,
    name: &str,
    seed: u64,
    rollouts: usize,
) -> Vec<(Judge, Tally)> {
    let judges = W::JUDGES;
    let mut hits = vec![None; rollouts * judges.len()];
    let portions = hits.chunks_mut(PORTION * judges.len()).enumerate();
    let portions = Mutex::new(portions);
    let next = || portions.lock().ok()?.next();
    let work = || {
        let mut detectors: Vec<_> = judges.iter().map(|judge| judge.detector::<W>()).collect();
        while let Some((portion, hits)) = next() {
            for (offset, hits) in hits.chunks_mut(judges.len()).enumerate() {
                let number = portion * PORTION + offset;
                let rollout = world.rollout(&mut stream(seed, name, number));
                for (detector, hit) in detectors.iter_mut().zip(hits) {
                    detector.begin(&rollout.past);
                    let found = rollout
                        .minutes
                        .iter()
                        .position(|minute| detector.look(minute));
                    *hit = found.map(|index| Hit {
                        minute: index + 1,
                        requests: rollout.canary_requests(index),
                    });
                }
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    let of = |judge: usize| hits.iter().skip(judge).step_by(judges.len()).copied();
    judges
        .iter()
        .enumerate()
        .map(|(index, judge)| (*judge, Tally::new(of(index))))
        .collect()
}

/// The random numbers of one rollout.
fn stream(seed: u64, name: &str, number: usize) -> Xoshiro256PlusPlus {
    // FNV-1a, which is the same everywhere; the generator mixes what comes of it.
    let bytes = seed.to_le_bytes().into_iter();
    let bytes = bytes.chain(name.bytes()).chain(number.to_le_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    Xoshiro256PlusPlus::seed_from_u64(hash)
}
