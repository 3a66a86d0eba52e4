//! Waits for several futures at once.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

pub(super) type Boxed<'a, R> = Pin<Box<dyn Future<Output = R> + Send + 'a>>;

/// Runs the futures side by side in the calling task; the results are in their order.
///
/// Every wake polls each that is not done: for the handful of members that move together that is
/// cheaper than a waker for each.
pub(super) async fn all<R>(mut futures: Vec<Boxed<'_, R>>) -> Vec<R> {
    let mut results = futures.iter().map(|_| None).collect::<Vec<_>>();
    poll_fn(|context| {
        for (future, result) in futures.iter_mut().zip(&mut results) {
            if result.is_none()
                && let Poll::Ready(value) = future.as_mut().poll(context)
            {
                *result = Some(value);
            }
        }
        if results.iter().all(Option::is_some) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    results.into_iter().flatten().collect()
}
