//! One request for all who ask the same at once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};

/// The requests under way, by what they ask.
///
/// Nothing is kept of one that is over. A request goes on as long as anybody waits for it, whoever asked
/// first, and ends with the last who waits: it is driven by those who wait, not by a task of its own.
pub(super) struct Flights<K, T>(Arc<Mutex<BTreeMap<K, Flight<T>>>>);

struct Flight<T> {
    /// Tells it from a later one of the same key.
    ticket: Arc<()>,
    request: WeakShared<BoxFuture<'static, T>>,
}

impl<K, T> Flights<K, T>
where
    K: Clone + Ord + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    /// What the request under way for `key` comes to, or what this one does if there is none.
    pub(super) fn join<F>(&self, key: K, request: F) -> Shared<BoxFuture<'static, T>>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut flights = lock(&self.0);
        let under_way = flights.get(&key);
        if let Some(request) = under_way.and_then(|flight| flight.request.upgrade()) {
            return request;
        }
        let ticket = Arc::new(());
        let landing = Landing {
            flights: Arc::clone(&self.0),
            key: key.clone(),
            ticket: Arc::clone(&ticket),
        };
        let request = async move {
            // Dropped with the request, whether it came to its end or nobody waited any longer.
            let _landing = landing;
            request.await
        };
        let request = request.boxed().shared();
        if let Some(weak) = request.downgrade() {
            let flight = Flight {
                ticket,
                request: weak,
            };
            flights.insert(key, flight);
        }
        request
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        lock(&self.0).len()
    }
}

impl<K, T: Clone> Clone for Flights<K, T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, T> fmt::Debug for Flights<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Flights")
            .field(&lock(&self.0).len())
            .finish()
    }
}

/// Forgets a request when it is over.
struct Landing<K: Ord, T> {
    flights: Arc<Mutex<BTreeMap<K, Flight<T>>>>,
    key: K,
    ticket: Arc<()>,
}

impl<K: Ord, T> Drop for Landing<K, T> {
    fn drop(&mut self) {
        let mut flights = lock(&self.flights);
        let own = |flight: &Flight<T>| Arc::ptr_eq(&flight.ticket, &self.ticket);
        if flights.get(&self.key).is_some_and(own) {
            flights.remove(&self.key);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    type Answers = Flights<&'static str, Option<u32>>;

    async fn until(answer: oneshot::Receiver<u32>) -> Option<u32> {
        answer.await.ok()
    }

    async fn never() -> Option<u32> {
        std::future::pending().await
    }

    #[tokio::test]
    async fn who_asked_first_may_go_and_the_others_are_answered() {
        let flights = Answers::new();
        let (answer, answered) = oneshot::channel();
        let mut first = flights.join("up", until(answered));
        assert!((&mut first).now_or_never().is_none(), "it is under way");
        let second = flights.join("up", never());
        let third = flights.join("up", never());
        let waiting = tokio::spawn(second);
        drop(first);
        answer.send(7).unwrap();
        assert_eq!(waiting.await.unwrap(), Some(7));
        assert_eq!(third.await, Some(7));
        assert_eq!(flights.count(), 0);
    }

    #[tokio::test]
    async fn other_questions_and_later_ones_are_asked_anew() {
        let flights = Answers::new();
        assert_eq!(flights.join("up", async { Some(1) }).await, Some(1));
        assert_eq!(flights.join("up", async { Some(2) }).await, Some(2));
        let waiting = flights.join("up", never());
        assert_eq!(flights.join("down", async { Some(3) }).await, Some(3));
        assert_eq!(flights.count(), 1);
        drop(waiting);
        assert_eq!(flights.count(), 0);
    }

    #[tokio::test]
    async fn with_the_last_who_waits_the_request_ends() {
        let flights = Answers::new();
        let (answer, answered) = oneshot::channel();
        let mut first = flights.join("up", until(answered));
        assert!((&mut first).now_or_never().is_none());
        drop(first);
        assert!(answer.send(7).is_err(), "nobody waits for it");
        assert_eq!(flights.join("up", async { Some(8) }).await, Some(8));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn however_they_come_and_go_nobody_is_left_and_nothing_is_kept() {
        let flights = Flights::<u32, u32>::new();
        let comers = (0..8_u32).map(|comer| {
            let flights = flights.clone();
            tokio::spawn(async move {
                for turn in 0..2_000 {
                    let key = turn % 3;
                    let mut answer = flights.join(key, async move {
                        tokio::task::yield_now().await;
                        key
                    });
                    if (turn + comer) % 4 == 0 {
                        // Goes before, or with, or after the others.
                        let _ = (&mut answer).now_or_never();
                    } else {
                        assert_eq!(answer.await, key);
                    }
                }
            })
        });
        for comer in comers.collect::<Vec<_>>() {
            comer.await.unwrap();
        }
        assert_eq!(flights.count(), 0);
    }
}
