//! A split that exists in memory only.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use super::open;
use crate::error::Result;
use crate::percent::Percent;
use crate::traffic::{Capability, Split, TrafficRouter};

/// A [`TrafficRouter`] that moves no traffic and remembers what it was told. Clones share one split.
#[derive(Clone, Debug)]
pub struct MemoryRouter {
    capability: Capability,
    world: Arc<Mutex<World>>,
}

#[derive(Debug)]
struct World {
    split: Split,
    history: Vec<Split>,
}

impl MemoryRouter {
    /// A router with `split` in force that can do everything, at once, to the basis point.
    ///
    #[must_use]
    pub fn new(split: Split) -> Self {
        let finest = Percent::ratio(1, 10_000);
        let world = World {
            split,
            history: Vec::new(),
        };
        Self {
            capability: Capability::new(finest, Duration::ZERO).with_cohorts(true),
            world: Arc::new(Mutex::new(world)),
        }
    }

    /// The same with another capability. It is kept as any router keeps it: what goes beyond is refused.
    #[must_use]
    pub fn with_capability(mut self, capability: Capability) -> Self {
        self.capability = capability;
        self
    }

    /// Somebody else changes the split, whatever this router's capability. Not in the
    /// [`history`](Self::history).
    pub fn set_outside(&self, split: Split) {
        open(&self.world).split = split;
    }

    /// The split in force.
    #[must_use]
    pub fn split(&self) -> Split {
        open(&self.world).split.clone()
    }

    /// Every split that was applied, in order, repetitions included.
    #[must_use]
    pub fn history(&self) -> Vec<Split> {
        open(&self.world).history.clone()
    }
}

#[async_trait]
impl TrafficRouter for MemoryRouter {
    fn capability(&self) -> Capability {
        self.capability
    }

    async fn apply(&self, split: &Split) -> Result<()> {
        self.capability.check(split)?;
        let mut world = open(&self.world);
        world.split = split.clone();
        world.history.push(split.clone());
        Ok(())
    }

    async fn observe(&self) -> Result<Split> {
        Ok(self.split())
    }
}
