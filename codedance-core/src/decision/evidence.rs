//! What a judge is shown.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::metrics::{Reading, Window};
use crate::percent::Percent;
use crate::workload::GroupStatus;

/// All that a judge may base one assessment on. There is nothing else: no clock, no history but its own
/// [`Memory`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Evidence<'a> {
    /// Over which time the readings were taken.
    pub window: Window,
    /// What was read, one for each metric of the policy, in its order; empty if `failure` is there.
    pub readings: &'a [Reading],
    /// Why nothing could be read.
    pub failure: Option<&'a Failure>,
    /// The replicas of the canary.
    pub canary: GroupStatus,
    /// The replicas of the stable revision.
    pub stable: GroupStatus,
    /// The index of the stage, from 0. Whoever counts per stage starts again when it changes.
    pub stage: usize,
    /// The canary's share of the traffic.
    pub weight: Percent,
    /// How long the stage has baked; zero while it is being reached.
    pub baked: Duration,
    /// What the judge returned as memory at the look before; empty at the first.
    pub memory: &'a Memory,
}

impl<'a> Evidence<'a> {
    /// Evidence of the first look: nothing but readings, at stage 0, with nothing to remember. Judges
    /// are tested with it; the machine fills in the rest.
    #[must_use]
    pub fn new(window: Window, readings: &'a [Reading], memory: &'a Memory) -> Self {
        Self {
            window,
            readings,
            failure: None,
            canary: GroupStatus::default(),
            stable: GroupStatus::default(),
            stage: 0,
            weight: Percent::ZERO,
            baked: Duration::ZERO,
            memory,
        }
    }

    /// The reading of that name.
    #[must_use]
    pub fn reading(&self, name: &str) -> Option<&'a Reading> {
        self.readings.iter().find(|reading| reading.name == name)
    }
}

/// What a judge keeps from one look to the next: plain data of its own shape, part of the snapshot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Memory(serde_json::Value);

impl Memory {
    /// Keeps `value`.
    ///
    /// Keep it small: it lies in every snapshot, which should fit a Kubernetes status (the built-in
    /// judges stay below 2 KiB for 5 metrics).
    ///
    /// # Panics
    /// When `value` cannot be written as JSON (a map whose keys are not text): a fault of the judge's
    /// code that its first test shows.
    #[must_use]
    pub fn of<T: Serialize>(value: &T) -> Self {
        match serde_json::to_value(value) {
            Ok(value) => Self(value),
            Err(error) => panic!("a judge's memory must be plain data: {error}"),
        }
    }

    /// What was kept, or the default at the first look and after the judge's own shape has changed.
    #[must_use]
    pub fn recall<T: DeserializeOwned + Default>(&self) -> T {
        T::deserialize(&self.0).unwrap_or_default()
    }

    /// Whether nothing was kept yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_null()
    }

    /// The part at `index` of what [`Memory::join`] put together; empty if there is none.
    pub(super) fn part(&self, index: usize) -> Self {
        self.0.get(index).cloned().map_or_else(Self::default, Self)
    }

    /// Several memories as one, in their order; empty if there are none.
    pub(super) fn join(parts: Vec<Self>) -> Self {
        if parts.is_empty() {
            return Self::default();
        }
        Self(parts.into_iter().map(|part| part.0).collect())
    }
}
