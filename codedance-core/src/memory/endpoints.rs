//! Addresses that serve nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;

use super::open;
use crate::error::Result;
use crate::traffic::Endpoints;
use crate::workload::Revision;

/// [`Endpoints`] over which a test sends requests by hand: [`begin`](Self::begin) one,
/// [`finish`](Self::finish) it. Time passes only by [`pass`](Self::pass). Clones share the addresses.
#[derive(Clone, Debug, Default)]
pub struct MemoryEndpoints {
    world: Arc<Mutex<World>>,
}

#[derive(Debug, Default)]
struct World {
    serving: BTreeSet<(Revision, SocketAddr)>,
    in_flight: BTreeMap<(Revision, SocketAddr), u64>,
    begun: usize,
    passed: Duration,
    waiting: Vec<Waker>,
}

impl MemoryEndpoints {
    /// No addresses yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The addresses that get requests for `revision`, in their order.
    #[must_use]
    pub fn serving(&self, revision: &Revision) -> Vec<SocketAddr> {
        open(&self.world).serving(revision)
    }

    /// Begins a request to `revision`, to its addresses in turn, and says which one has it; `None` when
    /// there is none.
    pub fn begin(&self, revision: &Revision) -> Option<SocketAddr> {
        let mut world = open(&self.world);
        let serving = world.serving(revision);
        let address = *serving.get(world.begun % serving.len().max(1))?;
        world.begun += 1;
        *world
            .in_flight
            .entry((revision.clone(), address))
            .or_default() += 1;
        Some(address)
    }

    /// Finishes a request that `address` has, if it has one.
    pub fn finish(&self, revision: &Revision, address: SocketAddr) {
        let mut world = open(&self.world);
        if let Some(count) = world.in_flight.get_mut(&(revision.clone(), address)) {
            *count = count.saturating_sub(1);
        }
        world.wake();
    }

    /// Lets time pass for those who drain.
    pub fn pass(&self, length: Duration) {
        let mut world = open(&self.world);
        world.passed = world.passed.saturating_add(length);
        world.wake();
    }
}

impl World {
    fn serving(&self, revision: &Revision) -> Vec<SocketAddr> {
        let of_revision = self.serving.iter().filter(|(of, _)| of == revision);
        of_revision.map(|(_, address)| *address).collect()
    }

    fn wake(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }
}

#[async_trait]
impl Endpoints for MemoryEndpoints {
    async fn add(&self, revision: &Revision, address: SocketAddr) -> Result<()> {
        open(&self.world)
            .serving
            .insert((revision.clone(), address));
        Ok(())
    }

    async fn drain(
        &self,
        revision: &Revision,
        address: SocketAddr,
        within: Duration,
    ) -> Result<u64> {
        let endpoint = (revision.clone(), address);
        let deadline = {
            let mut world = open(&self.world);
            world.serving.remove(&endpoint);
            world.passed.saturating_add(within)
        };
        let left = poll_fn(|context| {
            let mut world = open(&self.world);
            let left = world.in_flight.get(&endpoint).copied().unwrap_or(0);
            if left == 0 || world.passed >= deadline {
                return Poll::Ready(left);
            }
            world.waiting.push(context.waker().clone());
            Poll::Pending
        });
        Ok(left.await)
    }
}
