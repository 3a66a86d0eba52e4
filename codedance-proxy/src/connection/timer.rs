//! One timer for all the deadlines of a connection.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};
use tokio::time;

/// A client that has asked for nothing for so long may not ask again soon.
const QUIET: Duration = Duration::from_secs(1);

/// Gives hyper its deadlines, and knows by them whether it waits for a client.
///
/// Hyper makes a deadline for the head of each request and drops it when the head is there, in time as a
/// rule. Entering each into the runtime's wheel and taking it out again costs more than to let one alarm
/// stand there: it may ring too early, and is then set to the deadline in force.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionTimer {
    /// So long before a deadline its client is quiet.
    quiet: Duration,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    alarm: Mutex<Alarm>,
    /// There is a deadline, and it has not been met for [`QUIET`].
    is_quiet: AtomicBool,
}

#[derive(Debug)]
struct Alarm {
    sleep: Pin<Box<time::Sleep>>,
    /// The first deadline is no later than this.
    first: Option<time::Instant>,
}

struct Deadline {
    at: time::Instant,
    quiet_at: time::Instant,
    shared: Arc<Shared>,
}

impl ConnectionTimer {
    /// For a client that is never quiet.
    ///
    /// # Panics
    /// Outside a tokio runtime with time enabled.
    pub(crate) fn new() -> Self {
        let alarm = Alarm {
            sleep: Box::pin(time::sleep(Duration::ZERO)),
            first: None,
        };
        Self {
            quiet: Duration::ZERO,
            shared: Arc::new(Shared {
                alarm: Mutex::new(alarm),
                is_quiet: AtomicBool::new(false),
            }),
        }
    }

    /// For a client that has until `first` to send a head, and `patience` for each that follows.
    ///
    /// # Panics
    /// Outside a tokio runtime with time enabled.
    pub(crate) fn for_client(first: time::Instant, patience: Duration) -> Self {
        let mut timer = Self::new();
        timer.quiet = patience.saturating_sub(QUIET);
        timer.shared.alarm().first = Some(first);
        timer
    }

    /// Whether hyper has been waiting for a head for a while.
    pub(crate) fn is_quiet(&self) -> bool {
        self.shared.is_quiet.load(Relaxed)
    }

    /// The deadline of a client that is quiet.
    pub(crate) fn deadline(&self) -> time::Instant {
        // The alarm was set to it when it rang the last time.
        self.shared.alarm().sleep.deadline()
    }
}

impl Shared {
    /// All of this happens in the task of one connection: nobody ever waits for the lock.
    fn alarm(&self) -> MutexGuard<'_, Alarm> {
        self.alarm.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Timer for ConnectionTimer {
    fn sleep(&self, length: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + length)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        let at = time::Instant::from(deadline);
        let first = self.shared.alarm().first.take();
        Box::pin(Deadline {
            at: first.map_or(at, |first| first.min(at)),
            quiet_at: at - self.quiet,
            shared: Arc::clone(&self.shared),
        })
    }

    fn now(&self) -> Instant {
        // The runtime's clock, which tests may have stopped.
        time::Instant::now().into()
    }
}

impl Sleep for Deadline {}

impl Future for Deadline {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { at, quiet_at, .. } = *self;
        let mut alarm = self.shared.alarm();
        let alarm = &mut alarm.sleep;
        let mut next = match self.shared.is_quiet.load(Relaxed) {
            true => at,
            false => at.min(quiet_at),
        };
        if alarm.deadline() > next {
            alarm.as_mut().reset(next);
        }
        while alarm.as_mut().poll(cx).is_ready() {
            let now = time::Instant::now();
            if now >= at {
                return Poll::Ready(());
            }
            if now >= quiet_at {
                self.shared.is_quiet.store(true, Relaxed);
                next = at;
            }
            alarm.as_mut().reset(next);
        }
        Poll::Pending
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.shared.is_quiet.store(false, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long the runtime's clock, which jumps from timer to timer, takes to the deadline.
    async fn slept(deadline: Pin<Box<dyn Sleep>>) -> Duration {
        let begun = time::Instant::now();
        deadline.await;
        begun.elapsed().min(Duration::from_secs(3_600))
    }

    #[tokio::test(start_paused = true)]
    async fn deadlines_are_kept_whatever_came_before_them() {
        let timer = ConnectionTimer::new();
        let second = Duration::from_secs(1);
        // Dropped unused, as when the head is there at once; then a later one, then an earlier one.
        drop(timer.sleep(second));
        assert!(slept(timer.sleep(60 * second)).await >= 60 * second);
        let mut unused = timer.sleep(60 * second);
        let noop = &mut Context::from_waker(std::task::Waker::noop());
        assert!(unused.as_mut().poll(noop).is_pending());
        drop(unused);
        let slept_short = slept(timer.sleep(5 * second)).await;
        assert!(
            (5 * second..6 * second).contains(&slept_short),
            "{slept_short:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_early_alarm_is_set_again() {
        let timer = ConnectionTimer::new();
        let second = Duration::from_secs(1);
        let mut early = timer.sleep(2 * second);
        let noop = &mut Context::from_waker(std::task::Waker::noop());
        assert!(early.as_mut().poll(noop).is_pending());
        drop(early);
        // The alarm still stands at two seconds.
        assert!(slept(timer.sleep(9 * second)).await >= 9 * second);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_second_is_quiet_until_the_deadline_is_met() {
        let second = Duration::from_secs(1);
        let first = time::Instant::now() + 5 * second;
        let timer = ConnectionTimer::for_client(first, 9 * second);
        for at in [first, first + 9 * second] {
            let mut deadline = timer.sleep(9 * second);
            let begun = time::Instant::now();
            let noop = &mut Context::from_waker(std::task::Waker::noop());
            while !timer.is_quiet() {
                assert!(deadline.as_mut().poll(noop).is_pending());
                time::advance(second / 10).await;
            }
            assert!((second..2 * second).contains(&begun.elapsed()));
            assert_eq!(timer.deadline(), at);
            deadline.await;
            assert!(!timer.is_quiet());
            assert_eq!(time::Instant::now().duration_since(at).as_secs(), 0);
        }
    }
}
