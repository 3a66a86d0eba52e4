//! A body that can be sent again.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame, SizeHint};

/// So much of a body is kept until its request is answered.
const KEPT_BYTES: usize = 64 * 1024;

/// A body of which the beginning is kept, in case that an endpoint says that it has not seen it.
///
/// Clones read the same body, each from its beginning.
#[derive(Debug)]
pub(crate) struct Replay<B> {
    shared: Arc<Mutex<Kept<B>>>,
    /// So many parts this clone has read.
    read: usize,
    /// Of the body as a whole.
    size: SizeHint,
}

#[derive(Debug)]
struct Kept<B> {
    body: B,
    /// The first parts, as long as all of them are kept.
    parts: Option<Vec<Part>>,
    bytes: usize,
    /// How many parts have been read by anybody.
    read: usize,
    has_ended: bool,
}

#[derive(Clone, Debug)]
enum Part {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl<B: Body> Replay<B> {
    pub(crate) fn new(body: B) -> Self {
        Self {
            size: body.size_hint(),
            shared: Arc::new(Mutex::new(Kept {
                body,
                parts: Some(Vec::new()),
                bytes: 0,
                read: 0,
                has_ended: false,
            })),
            read: 0,
        }
    }

    /// The same body from its beginning.
    pub(crate) fn again(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            read: 0,
            size: self.size,
        }
    }

    /// Looks at the body behind it.
    pub(crate) fn inspect<T>(&self, look: impl FnOnce(&B) -> T) -> T {
        look(&self.lock().body)
    }

    /// Whether it can be read from its beginning.
    pub(crate) fn is_whole(&self) -> bool {
        self.lock().parts.is_some()
    }

    /// Keeps nothing any more: nobody will ask for it.
    pub(crate) fn forget(&self) {
        self.lock().parts = None;
    }

    fn lock(&self) -> MutexGuard<'_, Kept<B>> {
        // Whatever panicked while it held the lock left what is kept whole.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> Kept<B> {
    fn keep(&mut self, frame: &Frame<Bytes>) {
        self.read += 1;
        let Some(parts) = &mut self.parts else { return };
        let part = match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) => {
                self.bytes += data.len();
                Some(Part::Data(data.clone()))
            }
            (None, trailers) => trailers.cloned().map(Part::Trailers),
        };
        parts.extend(part);
        // Small parts cost something too.
        if self.bytes > KEPT_BYTES || parts.len() > KEPT_BYTES / 64 {
            self.parts = None;
        }
    }
}

impl<B> Body for Replay<B>
where
    B: Body<Data = Bytes, Error: From<&'static str>> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let mut kept = this.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if this.read < kept.read {
            let part = kept.parts.as_ref().and_then(|parts| parts.get(this.read));
            let Some(part) = part.cloned() else {
                let gone = "the beginning of the body has been forgotten";
                return Poll::Ready(Some(Err(gone.into())));
            };
            this.read += 1;
            return Poll::Ready(Some(Ok(match part {
                Part::Data(data) => Frame::data(data),
                Part::Trailers(trailers) => Frame::trailers(trailers),
            })));
        }
        if kept.has_ended {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut kept.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                kept.keep(frame);
                this.read += 1;
            }
            Some(Err(_)) => {}
            None => kept.has_ended = true,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let kept = self.lock();
        self.read == kept.read && (kept.has_ended || kept.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.size
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use http_body_util::channel::Channel;

    use super::*;

    type Error = Box<dyn std::error::Error + Send + Sync>;

    async fn parts<B>(body: &mut Replay<B>, count: usize) -> Result<usize, Error>
    where
        B: Body<Data = Bytes, Error = Error> + Unpin,
    {
        let mut bytes = 0;
        for _ in 0..count {
            let frame = body.frame().await.ok_or("it has ended")??;
            bytes += frame.data_ref().map_or(0, Bytes::len);
        }
        Ok(bytes)
    }

    #[tokio::test]
    async fn each_attempt_reads_from_the_beginning_as_long_as_it_is_kept() {
        let (mut sender, body) = Channel::<Bytes, Error>::new(100);
        let kept = Replay::new(body);
        for _ in 0..3 {
            sender
                .send_data(Bytes::from(vec![0; 30_000]))
                .await
                .unwrap();
        }
        let mut first = kept.again();
        assert_eq!(parts(&mut first, 1).await.unwrap(), 30_000);
        let mut second = kept.again();
        assert_eq!(parts(&mut second, 2).await.unwrap(), 60_000);
        assert_eq!(parts(&mut first, 1).await.unwrap(), 30_000);
        assert!(kept.is_whole());

        // This is more than is kept: only who has come so far can go on.
        assert_eq!(parts(&mut second, 1).await.unwrap(), 30_000);
        assert!(!kept.is_whole());
        assert!(parts(&mut first, 1).await.is_err());
        sender.send_data("end".into()).await.unwrap();
        drop(sender);
        assert_eq!(parts(&mut second, 1).await.unwrap(), 3);
        assert!(second.frame().await.is_none() && second.is_end_stream());
        assert!(parts(&mut kept.again(), 1).await.is_err());
    }

    #[tokio::test]
    async fn an_end_and_trailers_are_read_again_too() {
        let (mut sender, body) = Channel::<Bytes, Error>::new(100);
        let kept = Replay::new(body);
        sender.send_data("x".into()).await.unwrap();
        let trailers = HeaderMap::from_iter([("a".parse().unwrap(), "b".parse().unwrap())]);
        sender.send_trailers(trailers.clone()).await.unwrap();
        drop(sender);
        for _ in 0..2 {
            let read = kept.again().collect().await.unwrap();
            assert_eq!(read.trailers(), Some(&trailers));
            assert_eq!(read.to_bytes(), "x");
        }
        kept.forget();
        assert!(kept.again().collect().await.is_err());
    }
}
