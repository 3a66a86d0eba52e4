//! The processes that drive the rollout, one after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use super::audit::Actor;
use super::lock;
use super::scenario::{Clocks, Stream};
use super::time::{Leap, ProcessClock};
use super::world::World;
use crate::driver::RolloutHandle;

/// A process with a driver in it.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) number: u32,
    pub(super) clock: ProcessClock,
    /// An entry may be in the journal of which the process does not know.
    pub(super) writing: AtomicBool,
    /// When it last wrote one, in the world's milliseconds: effects stand still while it does.
    pub(super) wrote: AtomicI64,
    dead: AtomicBool,
    acting: AtomicBool,
}

/// The process that drives the rollout now.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) process: Arc<Process>,
    pub(super) handle: RolloutHandle,
}

impl Process {
    pub(super) fn new(world: &World, seed: u64, number: u32) -> Arc<Self> {
        let mut random = Stream::Processes.of(seed.wrapping_add(u64::from(number) << 32));
        let (mut offset, mut leap) = (0, None);
        let at = world.time.now() + Duration::from_secs(random.between(10, 900));
        match world.scenario.clocks {
            Clocks::True => {}
            Clocks::Off => {
                offset = i64::try_from(random.between(0, 240_000)).unwrap_or(0) - 120_000;
                let by = Duration::from_secs(random.between(1, 300));
                leap = random.pick(&[None, Some(Leap::Ahead(at, by)), Some(Leap::Back(at, by))]);
            }
            Clocks::Standing => {
                let length = Duration::from_secs(random.between(1, 120));
                leap = random.one_in(2).then_some(Leap::Stands(at, length));
            }
        }
        // When all is well the clocks are, too.
        if world.is_calm() {
            (offset, leap) = (0, None);
        }
        let mut audit = world.audit();
        if offset != 0 {
            audit.tally.saw("clocks off");
        }
        if let Some(leap) = leap {
            audit.tally.saw(match leap {
                Leap::Ahead(..) => "clocks ahead",
                Leap::Back(..) => "clocks back",
                Leap::Stands(..) => "clocks standing",
            });
        }
        drop(audit);
        Arc::new(Self {
            number,
            clock: ProcessClock::new(Arc::clone(&world.time), offset, leap),
            writing: AtomicBool::new(false),
            wrote: AtomicI64::new(0),
            dead: AtomicBool::new(false),
            acting: AtomicBool::new(false),
        })
    }

    pub(super) fn is_alive(&self) -> bool {
        !self.dead.load(Ordering::Relaxed)
    }

    pub(super) fn dies(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    pub(super) fn actor(&self, world: &World) -> Actor {
        let holder = *lock(&world.holder);
        let now = world.time.now();
        Actor {
            holds_lease: holder
                .is_some_and(|holder| holder.process == self.number && now < holder.expires),
            astray: self.clock.lost_time(),
            punctual: world.scenario.clocks == Clocks::True,
        }
    }

    /// Held while an effect is under way; `None` if one is already.
    pub(super) fn one_at_a_time(&self) -> Option<Acting<'_>> {
        let was = self.acting.swap(true, Ordering::Relaxed);
        (!was).then_some(Acting(&self.acting))
    }
}

/// An effect under way.
#[derive(Debug)]
pub(super) struct Acting<'a>(&'a AtomicBool);

impl Drop for Acting<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Nobody has anything left to do now: what lives is compared with what is written, and time goes on.
pub(super) fn rest(world: &World) {
    let live = lock(&world.live).clone();
    if let Some(live) = live.filter(|live| !live.process.writing.load(Ordering::Relaxed)) {
        let mut audit = world.audit();
        if audit.compared != audit.entries {
            let compared = audit.compare(&live.handle.snapshot());
            drop(audit);
            world.check(compared);
        }
    }
    world.time.advance();
}
