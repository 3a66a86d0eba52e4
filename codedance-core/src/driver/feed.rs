//! Events to whoever listens, without ever waiting for them.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};

use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::error::Missed;
use super::{lock, panic_text};
use crate::rollout::{Event, Observer};

/// A broadcast that costs nothing until somebody listens: most of ten thousand rollouts have no
/// listener of their own.
#[derive(Debug)]
pub(super) struct Feed {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Silent,
    Open(broadcast::Sender<Event>),
    Closed,
}

impl Feed {
    /// A feed on which a listener may lag `capacity` events behind.
    pub(super) const fn new(capacity: usize) -> Self {
        Self {
            capacity,
            state: Mutex::new(State::Silent),
        }
    }

    pub(super) fn publish(&self, event: &Event) {
        if let State::Open(sender) = &*lock(&self.state) {
            // An error says that the last listener has gone, which is no fault.
            let _ = sender.send(event.clone());
        }
    }

    /// No more events will come; listeners get those that are on their way.
    pub(super) fn close(&self) {
        *lock(&self.state) = State::Closed;
    }

    /// The events from now on, until the feed is closed.
    pub(super) fn subscribe(&self) -> BoxStream<'static, Result<Event, Missed>> {
        let mut state = lock(&self.state);
        let receiver = match &*state {
            State::Open(sender) => sender.subscribe(),
            State::Silent => {
                let (sender, receiver) = broadcast::channel(self.capacity);
                *state = State::Open(sender);
                receiver
            }
            State::Closed => return futures::stream::empty().boxed(),
        };
        futures::stream::unfold(receiver, |mut receiver| async {
            match receiver.recv().await {
                Ok(event) => Some((Ok(event), receiver)),
                Err(RecvError::Lagged(count)) => Some((Err(Missed(count)), receiver)),
                Err(RecvError::Closed) => None,
            }
        })
        .boxed()
    }
}

/// Tells an observer what comes along, until the feed is closed. One that is slow misses the oldest
/// events; one that panics is told the next all the same.
pub(super) async fn tell(
    observer: Arc<dyn Observer>,
    mut events: BoxStream<'static, Result<Event, Missed>>,
) {
    while let Some(next) = events.next().await {
        match next {
            Ok(event) => {
                let told = AssertUnwindSafe(observer.on_event(&event)).catch_unwind();
                if let Err(panic) = told.await {
                    let panic = panic_text(panic.as_ref());
                    tracing::warn!(?observer, %event, panic, "an observer panicked");
                }
            }
            Err(Missed(count)) => {
                tracing::warn!(
                    ?observer,
                    count,
                    "an observer is too slow and missed events"
                );
            }
        }
    }
}
