//! One timer for all the deadlines of a connection.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// Rings at deadlines that are nearly never met.
///
/// Entering each deadline into the runtime's wheel and taking it out again costs more than to let one
/// timer stand there: it may ring too early, and is then set to the deadline in force.
#[derive(Debug)]
pub(super) struct Alarm {
    sleep: Pin<Box<Sleep>>,
}

impl Alarm {
    /// # Panics
    /// Outside a tokio runtime with time enabled.
    pub(super) fn new() -> Self {
        Self {
            sleep: Box::pin(sleep(Duration::ZERO)),
        }
    }

    /// Ready when this deadline has come.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        if self.sleep.deadline() > deadline {
            self.sleep.as_mut().reset(deadline);
        }
        while self.sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Looks whether the deadline has come.
    fn look(alarm: &mut Alarm, deadline: Instant) -> bool {
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        alarm.poll(cx, deadline).is_ready()
    }

    /// How many seconds of the runtime's clock, which jumps from timer to timer, it takes to ring.
    async fn waited(alarm: &mut Alarm, seconds: u32) -> u64 {
        let begun = Instant::now();
        let deadline = begun + seconds * SECOND;
        poll_fn(|cx| alarm.poll(cx, deadline)).await;
        begun.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn deadlines_are_kept_whatever_came_before_them() {
        let mut alarm = Alarm::new();
        assert!(!look(&mut alarm, Instant::now() + SECOND));
        assert_eq!(waited(&mut alarm, 60).await, 60, "after an earlier one");
        assert!(!look(&mut alarm, Instant::now() + 60 * SECOND));
        assert_eq!(waited(&mut alarm, 5).await, 5, "before a later one");
        assert!(look(&mut alarm, Instant::now()));
    }
}
