//! The body of a request, on its way from whoever speaks to the client to whoever reads it.
//!
//! Most requests have none, and most of the others come as a whole with their head: these cost nothing
//! here. Of the rest, the task of the client's connection reads a piece when it is asked for one, and
//! hands it over. Who asks is nearly always that same task, in which the request is answered; but an
//! endpoint of HTTP/2 is spoken to by a task of its own. So what both share stands behind a lock, for
//! which nobody ever waits.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use thiserror::Error;

use crate::refusal::Refusal;

/// The body of a client's request.
#[derive(Debug)]
pub(crate) enum Inbound {
    Empty,
    /// It has come with its head.
    Whole(Bytes),
    /// It is still coming.
    Stream(Taker),
    Http2(Incoming),
}

/// Why a body does not come to its end.
#[derive(Debug, Error)]
pub(crate) enum InboundError {
    #[error("{}", .0.text)]
    Refused(Refusal),
    #[error("the client's connection ended within the body")]
    Cut,
    #[error(transparent)]
    Http2(#[from] hyper::Error),
}

/// Where the connection hands pieces over.
#[derive(Debug)]
pub(crate) struct Giver {
    shared: Arc<Mutex<Shared>>,
}

/// Where the pieces are taken.
#[derive(Debug)]
pub(crate) struct Taker {
    shared: Arc<Mutex<Shared>>,
    /// So many bytes are to come, where that is known.
    left: Option<u64>,
    is_over: bool,
}

#[derive(Debug, Default)]
struct Shared {
    piece: Option<Result<Frame<Bytes>, InboundError>>,
    /// Nothing follows the piece.
    has_ended: bool,
    is_wanted: bool,
    /// Nobody takes anything any more.
    is_forgotten: bool,
    taker: Option<Waker>,
    giver: Option<Waker>,
}

/// What the taker waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demand {
    /// A piece.
    Piece,
    /// Nothing yet. Whoever has asked is woken when that changes.
    Nothing,
    /// It has gone.
    Gone,
}

/// The two ends of a body that is still coming.
pub(crate) fn hand_over(left: Option<u64>) -> (Giver, Taker) {
    let shared = Arc::<Mutex<Shared>>::default();
    let giver = Giver {
        shared: Arc::clone(&shared),
    };
    let taker = Taker {
        shared,
        left,
        is_over: false,
    };
    (giver, taker)
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    // Whatever panicked while it held the lock left what is shared whole.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wakes who waits, unless it is who has come here: that one is awake.
fn wake_other(waiting: Option<Waker>, cx: &Context<'_>) {
    if let Some(waker) = waiting.filter(|waker| !waker.will_wake(cx.waker())) {
        waker.wake();
    }
}

impl Giver {
    pub(crate) fn demand(&self, cx: &Context<'_>) -> Demand {
        let mut shared = lock(&self.shared);
        match (shared.is_forgotten, shared.is_wanted) {
            (true, _) => Demand::Gone,
            (false, true) => Demand::Piece,
            (false, false) => {
                match &mut shared.giver {
                    Some(waker) => waker.clone_from(cx.waker()),
                    giver => *giver = Some(cx.waker().clone()),
                }
                Demand::Nothing
            }
        }
    }

    /// Hands over what was asked for. A taker of the same task is not woken: it has to be polled.
    pub(crate) fn give(&self, piece: Result<Frame<Bytes>, InboundError>, cx: &Context<'_>) {
        let mut shared = lock(&self.shared);
        shared.piece = Some(piece);
        shared.is_wanted = false;
        let taker = shared.taker.take();
        drop(shared);
        wake_other(taker, cx);
    }

    /// Says that nothing follows, as does dropping it with an error.
    pub(crate) fn end(self, cx: &Context<'_>) {
        let mut shared = lock(&self.shared);
        shared.has_ended = true;
        let taker = shared.taker.take();
        drop(shared);
        wake_other(taker, cx);
    }
}

impl Drop for Giver {
    fn drop(&mut self) {
        let mut shared = lock(&self.shared);
        if !shared.has_ended {
            shared.has_ended = true;
            shared.piece.get_or_insert(Err(InboundError::Cut));
            let taker = shared.taker.take();
            drop(shared);
            taker.into_iter().for_each(Waker::wake);
        }
    }
}

impl Taker {
    fn poll_take(&mut self, cx: &Context<'_>) -> Poll<Option<Result<Frame<Bytes>, InboundError>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let mut shared = lock(&self.shared);
        if let Some(piece) = shared.piece.take() {
            let data = piece.as_ref().ok().and_then(Frame::data_ref);
            if let (Some(left), Some(data)) = (&mut self.left, data) {
                *left -= data.len() as u64;
            }
            self.is_over = data.is_none();
            return Poll::Ready(Some(piece));
        }
        if shared.has_ended {
            self.is_over = true;
            return Poll::Ready(None);
        }
        shared.is_wanted = true;
        match &mut shared.taker {
            Some(waker) => waker.clone_from(cx.waker()),
            taker => *taker = Some(cx.waker().clone()),
        }
        let giver = shared.giver.take();
        drop(shared);
        wake_other(giver, cx);
        Poll::Pending
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        let mut shared = lock(&self.shared);
        shared.is_forgotten = true;
        shared.piece = None;
        let giver = shared.giver.take();
        drop(shared);
        giver.into_iter().for_each(Waker::wake);
    }
}

impl Body for Inbound {
    type Data = Bytes;
    type Error = InboundError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, InboundError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            whole @ Self::Whole(_) => match std::mem::replace(whole, Self::Empty) {
                Self::Whole(body) => Poll::Ready(Some(Ok(Frame::data(body)))),
                _ => Poll::Ready(None),
            },
            Self::Stream(taker) => taker.poll_take(cx),
            Self::Http2(body) => Pin::new(body).poll_frame(cx).map_err(InboundError::from),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole(_) => false,
            Self::Stream(taker) => taker.is_over || taker.left == Some(0),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(body) => SizeHint::with_exact(body.len() as u64),
            Self::Stream(taker) => taker.left.map_or_else(SizeHint::new, SizeHint::with_exact),
            Self::Http2(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::task::yield_now;

    use super::*;

    /// Gives a piece as soon as it is asked for.
    async fn give(giver: &Giver, piece: Result<Frame<Bytes>, InboundError>) -> Demand {
        let mut piece = Some(piece);
        std::future::poll_fn(|cx| match giver.demand(cx) {
            Demand::Nothing => Poll::Pending,
            Demand::Gone => Poll::Ready(Demand::Gone),
            Demand::Piece => {
                giver.give(piece.take().unwrap(), cx);
                Poll::Ready(Demand::Piece)
            }
        })
        .await
    }

    #[tokio::test]
    async fn another_task_gets_one_piece_after_the_other() {
        let (giver, taker) = hand_over(None);
        let taking = tokio::spawn(async move {
            let body = Inbound::Stream(taker).collect().await.unwrap();
            let trailers = body.trailers().map(http::HeaderMap::len);
            (body.to_bytes(), trailers)
        });
        for text in ["a", "b"] {
            assert_eq!(
                give(&giver, Ok(Frame::data(text.into()))).await,
                Demand::Piece
            );
            yield_now().await;
        }
        let trailers = [("x".parse().unwrap(), "1".parse().unwrap())];
        give(&giver, Ok(Frame::trailers(trailers.into_iter().collect()))).await;
        drop(giver);
        assert_eq!(taking.await.unwrap(), ("ab".into(), Some(1)));
    }

    #[tokio::test]
    async fn who_stops_on_either_side_is_noticed_on_the_other() {
        let (giver, taker) = hand_over(Some(2));
        let taking = tokio::spawn(Inbound::Stream(taker).collect());
        give(&giver, Ok(Frame::data("a".into()))).await;
        yield_now().await;
        drop(giver);
        let error = taking.await.unwrap().unwrap_err();
        assert!(matches!(error, InboundError::Cut), "{error}");

        let (giver, taker) = hand_over(Some(2));
        let waiting = tokio::spawn(async move { give(&giver, Ok(Frame::data("a".into()))).await });
        yield_now().await;
        assert!(!waiting.is_finished());
        drop(taker);
        assert_eq!(waiting.await.unwrap(), Demand::Gone);
    }
}
