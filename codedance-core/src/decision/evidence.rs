//! What a judge is shown.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

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

/// How many bytes most memories take at most; room for so many is made before one is written.
const USUAL: usize = 2_048;

/// How an empty memory is written.
const NOTHING: &str = "null";

/// What a judge keeps from one look to the next: plain data of its own shape, part of the snapshot.
///
/// Kept as JSON text, which takes less room than a tree of values: a process may hold ten thousand.
#[derive(Clone, Debug, Default)]
pub struct Memory(Option<Kept>);

#[derive(Clone, Debug)]
enum Kept {
    Text(Arc<str>),
    /// Several memories, which are written as an array. Kept apart, so that each judge of several finds its
    /// own again without a search.
    Parts(Arc<[Memory]>),
}

impl Memory {
    /// Keeps `value`.
    ///
    /// Keep it small: it lies in every snapshot, which should fit a Kubernetes status (the built-in
    /// judges stay below 2 KiB for 5 metrics; but for [`Kayenta`](super::Kayenta), which keeps up to 4 KB
    /// a metric).
    ///
    /// # Panics
    /// When `value` cannot be written as JSON (a map whose keys are not text): a fault of the judge's
    /// code that its first test shows.
    #[must_use]
    pub fn of<T: Serialize>(value: &T) -> Self {
        let mut text = Vec::with_capacity(USUAL);
        let written = serde_json::to_writer(&mut text, value);
        match written.and_then(|()| String::from_utf8(text).map_err(serde::ser::Error::custom)) {
            Ok(text) => Self::from_text(&text),
            Err(error) => panic!("a judge's memory must be plain data: {error}"),
        }
    }

    /// What was kept, or the default at the first look and after the judge's own shape has changed.
    #[must_use]
    pub fn recall<T: DeserializeOwned + Default>(&self) -> T {
        serde_json::from_str(&self.text()).unwrap_or_default()
    }

    /// Whether nothing was kept yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The part at `index` of what [`Memory::join`] put together; empty if there is none.
    pub(super) fn part(&self, index: usize) -> Self {
        match &self.0 {
            None => Self::default(),
            Some(Kept::Parts(parts)) => parts.get(index).cloned().unwrap_or_default(),
            Some(Kept::Text(text)) => {
                let parts: Vec<&RawValue> = serde_json::from_str(text).unwrap_or_default();
                parts
                    .get(index)
                    .map_or_else(Self::default, |part| Self::from_text(part.get()))
            }
        }
    }

    /// Several memories as one, in their order; empty if there are none.
    pub(super) fn join(parts: Vec<Self>) -> Self {
        Self((!parts.is_empty()).then(|| Kept::Parts(parts.into())))
    }

    fn from_text(text: &str) -> Self {
        Self((text != NOTHING).then(|| Kept::Text(text.into())))
    }

    fn text(&self) -> Cow<'_, str> {
        match &self.0 {
            None => NOTHING.into(),
            Some(Kept::Text(text)) => (&**text).into(),
            Some(Kept::Parts(parts)) => {
                let parts: Vec<_> = parts.iter().map(Self::text).collect();
                format!("[{}]", parts.join(",")).into()
            }
        }
    }

    fn value(&self) -> Value {
        serde_json::from_str(&self.text()).unwrap_or_default()
    }
}

/// A store may put the keys of an object in another order.
impl PartialEq for Memory {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text() || self.value() == other.value()
    }
}

impl Serialize for Memory {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Memory {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Ok(Self::from_text(&value.to_string()))
    }
}
