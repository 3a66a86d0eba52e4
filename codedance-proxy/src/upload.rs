//! The body of a request on its way to an endpoint.

use std::error::Error;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use crate::inbound::{Inbound, InboundError};
use crate::mirror::Copying;
use crate::refusal::Refusal;
use crate::replay::Replay;

/// A request's body, passed on as it comes.
#[derive(Debug)]
pub(crate) enum Upload {
    /// Nothing: the request can be sent again.
    Empty,
    /// What has come in whole; nothing once it has been taken.
    Whole(Bytes),
    /// What the client sends.
    Stream {
        body: Inbound,
        /// So many bytes may still come.
        most: u64,
        progress: Arc<Progress>,
        /// Copied while it passes.
        copy: Option<Box<Copying>>,
    },
    /// What the client sends, of which the beginning can be sent again.
    Kept(Replay<Self>),
}

/// How far a body has come: whose turn it is, and since when.
#[derive(Debug)]
pub(crate) struct Progress {
    begun: Instant,
    moved_after_millis: AtomicU64,
    bytes: AtomicU64,
    state: AtomicU8,
    /// What is wrong with the body itself.
    refusal: OnceLock<Refusal>,
}

/// Who has to move for a request to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    Client,
    Endpoint,
}

const TO_BE_TAKEN: u8 = 0;
const TO_BE_SENT: u8 = 1;
const FAILED: u8 = 2;
const TOO_LARGE: u8 = 3;

impl Progress {
    fn new() -> Self {
        Self {
            begun: Instant::now(),
            moved_after_millis: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            state: AtomicU8::new(TO_BE_TAKEN),
            refusal: OnceLock::new(),
        }
    }

    /// When the endpoint last took something, or the client last sent something.
    pub(crate) fn last_moved(&self) -> Instant {
        self.begun + Duration::from_millis(self.moved_after_millis.load(Relaxed))
    }

    /// How many bytes have been passed on.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Who has to move now.
    pub(crate) fn blame(&self) -> Blame {
        match self.state.load(Relaxed) {
            TO_BE_TAKEN => Blame::Endpoint,
            _ => Blame::Client,
        }
    }

    /// Whether the client broke off.
    pub(crate) fn failed(&self) -> bool {
        self.state.load(Relaxed) == FAILED
    }

    /// What the client is to be told, if what it sent makes no sense.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        self.refusal.get().copied()
    }

    /// Whether more came than may.
    pub(crate) fn is_too_large(&self) -> bool {
        self.state.load(Relaxed) == TOO_LARGE
    }

    fn set(&self, state: u8) {
        let millis = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved_after_millis.store(millis, Relaxed);
        self.state.store(state, Relaxed);
    }
}

impl Upload {
    /// The body of a request that may have so many bytes.
    pub(crate) fn new(body: Inbound, most: Option<u64>) -> Self {
        if body.is_end_stream() {
            Self::Empty
        } else {
            Self::Stream {
                body,
                most: most.unwrap_or(u64::MAX),
                progress: Arc::new(Progress::new()),
                copy: None,
            }
        }
    }

    /// A body that is all there.
    pub(crate) fn whole(body: Bytes) -> Self {
        if body.is_empty() {
            Self::Empty
        } else {
            Self::Whole(body)
        }
    }

    /// The same body once more, if it can be had.
    pub(crate) fn again(&self) -> Option<Self> {
        match self {
            Self::Empty => Some(Self::Empty),
            Self::Whole(body) => Some(Self::Whole(body.clone())),
            Self::Stream { .. } | Self::Kept(_) => None,
        }
    }

    /// Has the body copied while it passes. Gives it back when there is nothing to copy.
    pub(crate) fn copy_to(&mut self, copying: Box<Copying>) -> Option<Box<Copying>> {
        match self {
            Self::Empty | Self::Whole(_) | Self::Kept(_) => Some(copying),
            Self::Stream { copy, .. } => {
                *copy = Some(copying);
                None
            }
        }
    }

    /// How far it has come; `None` when there is nothing to wait for.
    pub(crate) fn progress(&self) -> Option<Arc<Progress>> {
        match self {
            Self::Empty | Self::Whole(_) => None,
            Self::Stream { progress, .. } => Some(Arc::clone(progress)),
            Self::Kept(replay) => replay.inspect(Self::progress),
        }
    }

    /// The same body, for one attempt to send it: each begins at its beginning.
    pub(crate) fn for_attempt(&mut self) -> Self {
        *self = match std::mem::replace(self, Self::Empty) {
            body @ Self::Stream { .. } => Self::Kept(Replay::new(body)),
            body => body,
        };
        match self {
            Self::Kept(replay) => Self::Kept(replay.again()),
            Self::Whole(body) => Self::Whole(body.clone()),
            Self::Empty | Self::Stream { .. } => Self::Empty,
        }
    }

    /// Whether there is nothing of it that could not be sent again.
    pub(crate) fn is_whole(&self) -> bool {
        match self {
            Self::Empty | Self::Whole(_) => true,
            Self::Stream { .. } => false,
            Self::Kept(replay) => replay.is_whole(),
        }
    }

    /// There will be no further attempt.
    pub(crate) fn forget(&self) {
        if let Self::Kept(replay) = self {
            replay.forget();
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let (body, most, progress, copy) = match self.get_mut() {
            Self::Empty => return Poll::Ready(None),
            Self::Whole(body) if body.is_empty() => return Poll::Ready(None),
            Self::Whole(body) => {
                return Poll::Ready(Some(Ok(Frame::data(std::mem::take(body)))));
            }
            Self::Kept(replay) => return Pin::new(replay).poll_frame(cx),
            Self::Stream {
                body,
                most,
                progress,
                copy,
            } => (body, most, progress, copy),
        };
        // Asked for more, so what there was has been taken: now the client has to send.
        if progress.state.load(Relaxed) == TO_BE_TAKEN {
            progress.set(TO_BE_SENT);
        }
        let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
        if let Some(Ok(part)) = &frame
            && let Some(data) = part.data_ref()
        {
            let Some(rest) = most.checked_sub(data.len() as u64) else {
                progress.set(TOO_LARGE);
                return Poll::Ready(Some(Err("the body is too large".into())));
            };
            *most = rest;
            progress.bytes.fetch_add(data.len() as u64, Relaxed);
        }
        if copy.is_some() {
            pass_on(copy, &frame, body.is_end_stream());
        }
        if let Some(Err(InboundError::Refused(refusal))) = &frame {
            // The first is the last: nothing is read after it.
            _ = progress.refusal.set(*refusal);
        }
        progress.set(match &frame {
            Some(Err(_)) => FAILED,
            Some(Ok(_)) | None => TO_BE_TAKEN,
        });
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole(body) => body.is_empty(),
            Self::Stream { body, .. } => body.is_end_stream(),
            Self::Kept(replay) => replay.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(body) => SizeHint::with_exact(body.len() as u64),
            Self::Stream { body, .. } => body.size_hint(),
            Self::Kept(replay) => replay.size_hint(),
        }
    }
}

/// Adds to the copy what has come, and sends it off when that was all.
fn pass_on<E>(
    copy: &mut Option<Box<Copying>>,
    frame: &Option<Result<Frame<Bytes>, E>>,
    is_end: bool,
) {
    let keeps = match (frame, copy.as_mut()) {
        (Some(Ok(frame)), Some(copying)) => frame.data_ref().is_none_or(|part| copying.add(part)),
        (Some(Err(_)), _) | (_, None) => false,
        (None, Some(_)) => true,
    };
    // Nothing comes after trailers, and nobody asks whether anything does.
    let is_end = match frame {
        Some(Ok(frame)) => is_end || frame.is_trailers(),
        Some(Err(_)) | None => true,
    };
    if !keeps {
        *copy = None;
    } else if is_end && let Some(copying) = copy.take() {
        copying.send();
    }
}
