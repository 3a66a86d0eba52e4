//! Time that passes only when nobody has anything left to do.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;

use super::lock;
use crate::driver::Clock;
use crate::time::Timestamp;

/// Where the world's clock starts: late enough that a clock behind it still tells a time.
pub(super) const START: Timestamp = Timestamp::from_millis(1_000_000_000);

/// The world's clock. It is read, waited for, and moved on to the next moment that somebody waits for.
#[derive(Debug)]
pub(super) struct Time {
    now: AtomicI64,
    tickets: AtomicU64,
    waiting: Mutex<BTreeMap<(i64, u64), Waker>>,
}

impl Default for Time {
    fn default() -> Self {
        Self {
            now: AtomicI64::new(START.as_millis()),
            tickets: AtomicU64::default(),
            waiting: Mutex::default(),
        }
    }
}

impl Time {
    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::Relaxed))
    }

    pub(super) fn passed(&self) -> Duration {
        self.now().since(START)
    }

    pub(super) fn until(self: &Arc<Self>, at: Timestamp) -> Wait {
        Wait {
            time: Arc::clone(self),
            at: at.as_millis(),
            ticket: None,
        }
    }

    pub(super) fn sleep(self: &Arc<Self>, length: Duration) -> Wait {
        self.until(self.now() + length)
    }

    /// Leaps to the next moment that somebody waits for, and wakes all who do.
    pub(super) fn advance(&self) {
        let mut waiting = lock(&self.waiting);
        let Some(((at, _), _)) = waiting.first_key_value() else {
            return;
        };
        let at = *at;
        self.now.fetch_max(at, Ordering::Relaxed);
        let later = waiting.split_off(&(at + 1, 0));
        let due = std::mem::replace(&mut *waiting, later);
        drop(waiting);
        due.into_values().for_each(Waker::wake);
    }
}

/// Waits for a moment of the world's clock.
#[derive(Debug)]
pub(super) struct Wait {
    time: Arc<Time>,
    at: i64,
    ticket: Option<u64>,
}

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.time.now.load(Ordering::Relaxed) >= self.at {
            return Poll::Ready(());
        }
        let ticket = match self.ticket {
            Some(ticket) => ticket,
            None => self.time.tickets.fetch_add(1, Ordering::Relaxed),
        };
        self.ticket = Some(ticket);
        let key = (self.at, ticket);
        lock(&self.time.waiting)
            .entry(key)
            .and_modify(|waker| waker.clone_from(context.waker()))
            .or_insert_with(|| context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            lock(&self.time.waiting).remove(&(self.at, ticket));
        }
    }
}

/// One process's clock: somewhat off, and not always by the same amount.
#[derive(Clone, Debug)]
pub(super) struct ProcessClock {
    time: Arc<Time>,
    /// From the start on it is ahead of the world by so many milliseconds, or behind.
    offset: i64,
    leap: Option<Leap>,
}

/// Something that happens to a process's clock.
#[derive(Clone, Copy, Debug)]
pub(super) enum Leap {
    /// At this moment of the world it jumps ahead.
    Ahead(Timestamp, Duration),
    /// At this moment of the world it is set back.
    Back(Timestamp, Duration),
    /// From this moment on it stands still for so long, and stays behind by as much.
    Stands(Timestamp, Duration),
}

impl ProcessClock {
    pub(super) const fn new(time: Arc<Time>, offset: i64, leap: Option<Leap>) -> Self {
        Self { time, offset, leap }
    }

    /// Whether it has lost time: its process cannot know how long its lease lasts.
    pub(super) fn lost_time(&self) -> bool {
        matches!(
            self.leap,
            Some(Leap::Back(at, _) | Leap::Stands(at, _)) if self.time.now() >= at
        )
    }

    fn tells(&self, world: Timestamp) -> Timestamp {
        let leapt = match self.leap {
            Some(Leap::Ahead(at, by)) if world >= at => millis(by),
            Some(Leap::Back(at, by)) if world >= at => -millis(by),
            Some(Leap::Stands(at, length)) if world >= at => -millis(world.since(at).min(length)),
            Some(_) | None => 0,
        };
        Timestamp::from_millis(world.as_millis() + self.offset + leapt)
    }

    /// The next moment of the world after which the clock goes differently.
    fn changes_after(&self, world: Timestamp) -> Option<Timestamp> {
        let changes = match self.leap {
            Some(Leap::Ahead(at, _) | Leap::Back(at, _)) => [at, at],
            Some(Leap::Stands(at, length)) => [at, at + length],
            None => return None,
        };
        changes.into_iter().find(|at| *at > world)
    }
}

fn millis(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}

#[async_trait]
impl Clock for ProcessClock {
    fn now(&self) -> Timestamp {
        self.tells(self.time.now())
    }

    async fn sleep_until(&self, at: Timestamp) {
        loop {
            let (world, now) = (self.time.now(), self.now());
            if now >= at {
                return;
            }
            let regular = world + at.since(now);
            let wake = self
                .changes_after(world)
                .map_or(regular, |change| change.min(regular));
            self.time.until(wake).await;
        }
    }
}
