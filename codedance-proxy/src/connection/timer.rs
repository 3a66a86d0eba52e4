//! One timer for all the deadlines of a connection.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};

/// Gives hyper its deadlines.
///
/// Hyper makes a deadline for the head of each request and drops it when the head is there, in time as a
/// rule. Entering each into the runtime's wheel and taking it out again costs more than to let one alarm
/// stand there: it may ring too early, and is then set to the deadline in force.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionTimer {
    alarm: Arc<Mutex<Alarm>>,
}

type Alarm = Pin<Box<tokio::time::Sleep>>;

struct Deadline {
    at: tokio::time::Instant,
    alarm: Arc<Mutex<Alarm>>,
}

impl ConnectionTimer {
    /// # Panics
    /// Outside a tokio runtime with time enabled.
    pub(crate) fn new() -> Self {
        let alarm = Box::pin(tokio::time::sleep(Duration::ZERO));
        Self {
            alarm: Arc::new(Mutex::new(alarm)),
        }
    }
}

impl Timer for ConnectionTimer {
    fn sleep(&self, length: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + length)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Deadline {
            at: deadline.into(),
            alarm: Arc::clone(&self.alarm),
        })
    }

    fn now(&self) -> Instant {
        // The runtime's clock, which tests may have stopped.
        tokio::time::Instant::now().into()
    }
}

impl Sleep for Deadline {}

impl Future for Deadline {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // A deadline is polled by its connection alone: nobody else waits for the lock.
        let mut alarm = self.alarm.lock().unwrap_or_else(PoisonError::into_inner);
        if alarm.deadline() > self.at {
            alarm.as_mut().reset(self.at);
        }
        while alarm.as_mut().poll(cx).is_ready() {
            if tokio::time::Instant::now() >= self.at {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(self.at);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long the runtime's clock, which jumps from timer to timer, takes to the deadline.
    async fn slept(deadline: Pin<Box<dyn Sleep>>) -> Duration {
        let begun = tokio::time::Instant::now();
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
}
