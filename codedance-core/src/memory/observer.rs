//! Events that are kept.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::open;
use crate::rollout::{Event, Observer};

/// An [`Observer`] that keeps every event. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryObserver {
    events: Arc<Mutex<Vec<Event>>>,
}

impl MemoryObserver {
    /// An observer that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Every event, in the order in which it was told.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        open(&self.events).clone()
    }
}

#[async_trait]
impl Observer for MemoryObserver {
    async fn on_event(&self, event: &Event) {
        open(&self.events).push(event.clone());
    }
}
