//! What wakes the connections of clients up, besides what those send.
//!
//! There may be very many of them, and nearly all wait for the same: that somebody asks, that a time is
//! over, which may be a little later, or that the proxy ends. A timer and a listener for each would take
//! twice the memory of all else that a connection holds while it waits. So one task looks after all.

use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::phase::{Phase, Phases};

/// So much later than its deadline a connection is woken up, at most as a rule: looking at all of them
/// more often is not worth it.
const LATE: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct Wakeups {
    pub(crate) phases: Phases,
    list: Mutex<List>,
    /// Somebody is to be woken up sooner than all others.
    sooner: Notify,
}

#[derive(Debug, Default)]
struct List {
    entries: Slab<Entry>,
    /// When the next one is to be woken up; `None` if nobody is.
    next: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    waker: Waker,
    /// `None` once it has been woken up.
    at: Option<Instant>,
}

impl Wakeups {
    pub(crate) fn new(phases: Phases) -> Self {
        Self {
            phases,
            list: Mutex::default(),
            sooner: Notify::new(),
        }
    }

    /// Wakes up whoever is to be woken up, until the proxy is over.
    pub(crate) async fn keep(&self) {
        for phase in [Phase::Finishing, Phase::Over] {
            let mut changed = pin!(self.phases.reached(phase));
            loop {
                let next = self.list().next;
                tokio::select! {
                    biased;
                    () = &mut changed => break,
                    () = self.sooner.notified() => {}
                    Some(()) = until(next) => self.list().ring(Instant::now()),
                }
            }
            for (_, entry) in &self.list().entries {
                entry.waker.wake_by_ref();
            }
        }
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a time, if there is one.
async fn until(time: Option<Instant>) -> Option<()> {
    sleep_until(time?).await;
    Some(())
}

impl List {
    /// Wakes up those whose time has come.
    fn ring(&mut self, now: Instant) {
        let mut next: Option<Instant> = None;
        for (_, entry) in &mut self.entries {
            let Some(at) = entry.at else { continue };
            if at <= now {
                entry.at = None;
                entry.waker.wake_by_ref();
            } else {
                next = Some(next.map_or(at, |next| next.min(at)));
            }
        }
        self.next = next.map(|next| next.max(now + LATE));
    }
}

/// Why a client is waited for no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Enough {
    /// It has not asked in time.
    Late,
    /// It is not to ask any more.
    Finishing,
}

/// What wakes one task up.
#[derive(Debug)]
pub(crate) struct Wakeup<'w> {
    wakeups: &'w Wakeups,
    /// Where it is in the list, and until when it does not have to be entered there again.
    entry: Option<(usize, Instant)>,
}

impl<'w> Wakeup<'w> {
    pub(crate) const fn new(wakeups: &'w Wakeups) -> Self {
        Self {
            wakeups,
            entry: None,
        }
    }

    /// Whether the proxy has come so far. Who asks after [`Wakeup::poll`] is woken up when it does.
    pub(crate) fn is_at(&self, phase: Phase) -> bool {
        self.wakeups.phases.is_at(phase)
    }

    /// Ready when this deadline has come. Is to be polled by one task only.
    ///
    /// Deadlines are nearly never met, and move on with every request. So the list is left as it is
    /// while the task is to be woken up before the deadline: it will ask again then.
    pub(crate) fn poll(&mut self, cx: &Context<'_>, deadline: Instant) -> Poll<()> {
        let now = Instant::now();
        if now >= deadline {
            return Poll::Ready(());
        }
        let is_due = self.entry.is_none_or(|(_, at)| at <= now || at > deadline);
        if is_due {
            self.enter(cx.waker(), deadline);
        }
        Poll::Pending
    }

    /// Ready when a client is to be waited for no longer, until this deadline at most.
    pub(crate) fn poll_enough(&mut self, cx: &Context<'_>, deadline: Instant) -> Poll<Enough> {
        match self.poll(cx, deadline) {
            Poll::Ready(()) => Poll::Ready(Enough::Late),
            Poll::Pending if self.is_at(Phase::Finishing) => Poll::Ready(Enough::Finishing),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Has the task woken up by each phase of the proxy, and once in between.
    pub(crate) fn join(&mut self, cx: &Context<'_>, at: Instant) {
        if self.entry.is_none() {
            self.enter(cx.waker(), at);
        }
    }

    fn enter(&mut self, waker: &Waker, at: Instant) {
        let mut list = self.wakeups.list();
        let entry = Entry {
            waker: waker.clone(),
            at: Some(at),
        };
        let place = match self.entry {
            Some((place, _)) => {
                list.entries[place] = entry;
                place
            }
            None => list.entries.insert(entry),
        };
        self.entry = Some((place, at));
        if list.next.is_none_or(|next| at < next) {
            list.next = Some(at);
            self.wakeups.sooner.notify_one();
        }
    }
}

impl Drop for Wakeup<'_> {
    fn drop(&mut self) {
        if let Some((place, _)) = self.entry {
            self.wakeups.list().entries.remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;

    use tokio::task::{JoinHandle, yield_now};
    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn kept() -> Arc<Wakeups> {
        let wakeups = Arc::new(Wakeups::new(Phases::default()));
        let keeper = Arc::clone(&wakeups);
        tokio::spawn(async move { keeper.keep().await });
        wakeups
    }

    /// Waits for these deadlines, one after the other, and tells when each had come.
    fn wait(wakeups: &Arc<Wakeups>, deadlines: &[u32]) -> JoinHandle<Vec<u64>> {
        let (wakeups, begun) = (Arc::clone(wakeups), Instant::now());
        let deadlines: Vec<_> = deadlines.iter().map(|s| begun + *s * SECOND).collect();
        tokio::spawn(async move {
            let mut wakeup = Wakeup::new(&wakeups);
            let mut come = Vec::new();
            for deadline in deadlines {
                poll_fn(|cx| wakeup.poll(cx, deadline)).await;
                come.push(begun.elapsed().as_secs());
            }
            come
        })
    }

    #[tokio::test(start_paused = true)]
    async fn deadlines_are_kept_whatever_came_before_them() {
        let wakeups = kept();
        let some = [60, 5, 7, 5].map(|seconds| wait(&wakeups, &[seconds, seconds + 10]));
        let mut come = Vec::new();
        for one in some {
            come.push(one.await.unwrap());
        }
        assert_eq!(come, [[60, 70], [5, 15], [7, 17], [5, 15]]);
        assert!(wakeups.list().entries.is_empty(), "they are gone");
        assert_eq!(wait(&wakeups, &[3]).await.unwrap(), [3], "after a pause");
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_may_be_moved() {
        let wakeups = kept();
        let mut wakeup = Wakeup::new(&wakeups);
        let begun = Instant::now();
        let mut look = |seconds| {
            let cx = &Context::from_waker(Waker::noop());
            wakeup.poll(cx, begun + seconds * SECOND).is_ready()
        };
        assert!(!look(5) && !look(60));
        assert_eq!(wakeups.list().next, Some(begun + 5 * SECOND));
        assert!(!look(2));
        assert_eq!(wakeups.list().next, Some(begun + 2 * SECOND));
        sleep(3 * SECOND).await;
        assert!(look(2) && !look(60));
        assert_eq!(wakeups.list().next, Some(begun + 60 * SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn each_phase_wakes_all() {
        let wakeups = kept();
        let waiters = [Phase::Finishing, Phase::Over].map(|phase| {
            let wakeups = Arc::clone(&wakeups);
            tokio::spawn(async move {
                let mut wakeup = Wakeup::new(&wakeups);
                let deadline = Instant::now() + 1_000 * SECOND;
                poll_fn(|cx| match wakeup.poll(cx, deadline) {
                    Poll::Pending if wakeup.is_at(phase) => Poll::Ready(()),
                    pending => pending,
                })
                .await;
                Instant::now()
            })
        });
        yield_now().await;
        let begun = Instant::now();
        for (waiter, phase) in waiters.into_iter().zip([Phase::Finishing, Phase::Over]) {
            sleep(SECOND).await;
            assert!(!waiter.is_finished());
            wakeups.phases.enter(phase);
            waiter.await.unwrap();
        }
        assert_eq!(begun.elapsed(), 2 * SECOND);
    }
}
