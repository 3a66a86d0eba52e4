//! One connection, and the exchange on it.

use std::future::poll_fn;
use std::io;
use std::mem::take;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Method, Request, Response};
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::io::poll_read_buf;
use tracing::debug;

use super::body::Remains;
use super::buffers;
use super::chunks::Part;
use super::head::Head;
use super::request::{Broken, Sending};
use crate::dial::Stream;
use crate::failure::SendError;
use crate::upload::{Blame, Progress, Upload};

/// So many interim answers may precede the answer. An endpoint that went on with them would hold the
/// request for as long as it likes: what comes without a pause is never late.
const MOST_INTERIM: u32 = 32;

/// What has been seen of an answer before its head was there.
#[derive(Debug, Default)]
struct Seen {
    /// Up to here no head ends in what has been read.
    searched: usize,
    /// How many interim answers have come.
    interim: u32,
}

/// One connection to an endpoint, driven by the request that holds it.
///
/// Whoever asks for the answer sends what is left of the request; a client that goes away takes the
/// connection down with it. It holds no buffers between two requests.
#[derive(Debug)]
pub(crate) struct Upstream {
    stream: Stream,
    sending: Sending,
    /// What has been read and not been looked at.
    read: BytesMut,
    answer: Remains,
    /// Whether the endpoint keeps the connection open behind its answer.
    persists: bool,
    /// Lives as long as the connection, because moving a timer on is cheaper than a new one.
    timer: Pin<Box<Sleep>>,
    idle_since: Instant,
}

impl Upstream {
    pub(crate) fn over(stream: Stream) -> Box<Self> {
        Box::new(Self {
            stream,
            sending: Sending::default(),
            read: BytesMut::new(),
            answer: Remains::Nothing,
            persists: true,
            timer: Box::pin(sleep(Duration::ZERO)),
            idle_since: Instant::now(),
        })
    }

    /// Sends the request and waits for the head of the answer, at most `limit` after the endpoint
    /// last took something of the request.
    ///
    /// The request loses its body, unless that can be had again, or nothing was sent at all.
    pub(crate) async fn send(
        &mut self,
        request: &mut Request<Upload>,
        progress: Option<&Progress>,
        limit: Duration,
    ) -> Result<Response<()>, SendError> {
        // Closed meanwhile, or something came that is no answer to anything.
        if !self.is_silent() {
            return Err(SendError::Unsent);
        }
        let mut seen = Seen::default();
        self.sending = Sending::begin(request);
        self.timer.as_mut().reset(Instant::now() + limit);
        poll_fn(|cx| {
            if self.poll_send(cx).is_err() {
                let is_too_large = progress.is_some_and(Progress::is_too_large);
                return Poll::Ready(Err(match is_too_large {
                    true => SendError::TooLarge,
                    false => SendError::ClientFailed,
                }));
            }
            if let Poll::Ready(head) = self.poll_head(cx, &mut seen, request.method()) {
                return Poll::Ready(head.map_err(|error| {
                    debug!(%error, "an endpoint gave no answer");
                    SendError::Lost
                }));
            }
            while self.timer.as_mut().poll(cx).is_ready() {
                let deadline = progress.map_or_else(Instant::now, |p| p.last_moved() + limit);
                if deadline <= Instant::now() {
                    let client = progress.is_some_and(|p| p.blame() == Blame::Client)
                        && !self.sending.is_queued();
                    return Poll::Ready(Err(if client {
                        SendError::ClientFailed
                    } else {
                        SendError::TimedOut
                    }));
                }
                self.timer.as_mut().reset(deadline);
            }
            Poll::Pending
        })
        .await
    }

    /// The next part of the answer's body, behind its head.
    pub(crate) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.poll_send(cx).is_err() {
            let text = "the client broke off its request while it was answered";
            return Poll::Ready(Some(Err(io::Error::other(text))));
        }
        loop {
            let part = match self.answer.take(&mut self.read) {
                Ok(part) => part,
                Err(error) => return Poll::Ready(Some(Err(error))),
            };
            match part {
                Some(Part::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Some(Part::Trailers(map)) => return Poll::Ready(Some(Ok(Frame::trailers(map)))),
                Some(Part::End) => return Poll::Ready(None),
                None => {}
            }
            let closed = match ready!(self.poll_read(cx)) {
                Ok(1..) => Ok(()),
                Ok(0) => self.answer.close(),
                Err(error) => Err(error),
            };
            if let Err(error) = closed {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }

    /// Whether nothing of the answer is left.
    pub(crate) fn is_end_stream(&self) -> bool {
        self.answer == Remains::Nothing
    }

    /// How much of the answer is left.
    pub(crate) fn size_hint(&self) -> SizeHint {
        self.answer.size_hint()
    }

    /// The stream, and what has been read of it behind an answer that switches protocols.
    pub(crate) fn into_tunnel(self) -> (Stream, BytesMut) {
        (self.stream, self.read)
    }

    /// Makes the connection ready to wait for the next request. False when it cannot: something of
    /// the last exchange is left, or the endpoint closes it.
    pub(crate) fn rest(&mut self) -> bool {
        // The end of the request's body may be all that is missing.
        let _ = self.poll_send(&mut Context::from_waker(Waker::noop()));
        let is_over = self.answer == Remains::Nothing && self.sending.is_sent();
        // What comes unasked for is not the next answer.
        let is_usable = is_over && self.persists && self.read.is_empty();
        buffers::give(take(&mut self.read));
        self.idle_since = Instant::now();
        is_usable
    }

    /// How long it has waited.
    pub(crate) fn idle_for(&self) -> Duration {
        self.idle_since.elapsed()
    }

    /// Whether the endpoint has neither closed a connection that waits nor said anything on it.
    pub(crate) fn is_silent(&mut self) -> bool {
        let mut first = [0];
        match &mut self.stream {
            // Asks the system only if something has happened.
            Stream::Clear(stream) => {
                let read = stream.try_read(&mut first);
                matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            }
            // What comes may be for TLS alone. Nobody is woken, so that the budget of the task must
            // not have a say.
            Stream::Secure(stream) => {
                let mut first = ReadBuf::new(&mut first);
                let cx = &mut Context::from_waker(Waker::noop());
                let look = poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut first));
                std::pin::pin!(tokio::task::coop::unconstrained(look))
                    .poll(cx)
                    .is_pending()
            }
        }
    }

    /// Closes a connection that waits without leaving the port in TIME_WAIT: with one connection for
    /// each request that would use up the ports.
    pub(crate) fn reset(self) {
        // Best effort: if it fails, the port waits its minute.
        let _ = self.stream.set_zero_linger();
    }

    /// Sends what can be sent now. An error means that the client has broken off.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Result<(), ()> {
        if self.sending.is_over() {
            return Ok(());
        }
        match self.sending.poll(&mut self.stream, cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => {
                buffers::give(self.sending.take_buffer());
            }
            Poll::Ready(Err(Broken::Stream(error))) => {
                // It may have answered before it closed its side.
                debug!(%error, "an endpoint takes no more of a request");
                self.sending.give_up();
            }
            Poll::Ready(Err(Broken::Body)) => {
                self.sending.give_up();
                return Err(());
            }
        }
        Ok(())
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        seen: &mut Seen,
        method: &Method,
    ) -> Poll<io::Result<Response<()>>> {
        loop {
            while let Some(head) = Head::take(&mut self.read, &mut seen.searched, method)? {
                let status = head.response.status();
                // Nobody waits for an answer that another one follows (RFC 9110, 15.2).
                if status.is_informational() && status != http::StatusCode::SWITCHING_PROTOCOLS {
                    seen.interim += 1;
                    if seen.interim > MOST_INTERIM {
                        let text = "the endpoint goes on announcing an answer";
                        return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, text)));
                    }
                    continue;
                }
                self.answer = head.body;
                self.persists = head.persists;
                return Poll::Ready(Ok(head.response));
            }
            if ready!(self.poll_read(cx))? == 0 {
                let text = "the endpoint closed the connection without an answer";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, text)));
            }
        }
    }

    /// Reads what there is. Nothing is read at the end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut self.stream);
        buffers::poll_read(&mut self.read, |room| poll_read_buf(stream, cx, room))
    }
}

#[cfg(test)]
mod tests {
    use hyper::body::Body;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// A connection, and the endpoint's side of it.
    async fn connect() -> (Box<Upstream>, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let (endpoint, _) = listener.accept().await.unwrap();
        (Upstream::over(Stream::Clear(stream)), endpoint)
    }

    /// Waits until something has come, or the end.
    async fn hear(upstream: &Upstream) {
        let Stream::Clear(stream) = &upstream.stream else {
            panic!("it is in clear text");
        };
        stream.readable().await.unwrap();
    }

    fn post(body: &'static str) -> Request<Upload> {
        let body = Upload::whole(Bytes::from_static(body.as_bytes()));
        Request::post("/here").body(body).unwrap()
    }

    #[tokio::test]
    async fn a_request_that_meets_a_connection_that_is_not_silent_is_not_touched() {
        for said in ["", "HTTP/1.1 408 Too Late\r\n\r\n"] {
            let (mut upstream, mut endpoint) = connect().await;
            endpoint.write_all(said.as_bytes()).await.unwrap();
            endpoint.shutdown().await.unwrap();
            hear(&upstream).await;

            let mut request = post("body");
            let sent = upstream.send(&mut request, None, PATIENCE).await;
            assert!(matches!(sent, Err(SendError::Unsent)), "{sent:?}");
            assert_eq!(request.body().size_hint().exact(), Some(4));
            drop(upstream);
            let mut seen = Vec::new();
            // What it said was never read, which resets the connection.
            let _ = endpoint.read_to_end(&mut seen).await;
            assert!(seen.is_empty(), "{seen:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_counts_though_the_endpoint_takes_no_more_of_the_request() {
        let (mut upstream, mut endpoint) = connect().await;
        let body = Upload::whole(vec![b'x'; 16_000_000].into());
        let mut request = Request::post("/").body(body).unwrap();
        let answering = async move {
            endpoint.read_exact(&mut [0; 128]).await.unwrap();
            let answer = b"HTTP/1.1 413 No\r\ncontent-length: 0\r\n\r\n";
            endpoint.write_all(answer).await.unwrap();
            // Closing with something unread breaks the connection.
        };
        let (sent, ()) = tokio::join!(upstream.send(&mut request, None, PATIENCE), answering);
        assert_eq!(sent.unwrap().status(), 413);
        assert!(!upstream.rest());
    }

    #[tokio::test]
    async fn a_connection_that_rests_holds_no_buffers() {
        let (mut upstream, mut endpoint) = connect().await;
        for _ in 0..2 {
            let answering = async {
                let mut request = [0; 128];
                let length = endpoint.read(&mut request).await.unwrap();
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                endpoint.write_all(answer).await.unwrap();
                String::from_utf8_lossy(&request[..length]).into_owned()
            };
            let mut request = post("body");
            let (sent, seen) = tokio::join!(upstream.send(&mut request, None, PATIENCE), answering);
            assert_eq!(sent.unwrap().status(), 200);
            assert_eq!(seen, "POST /here HTTP/1.1\r\ncontent-length: 4\r\n\r\nbody");
            let body = poll_fn(|cx| upstream.poll_body(cx)).await.unwrap().unwrap();
            assert_eq!(body.into_data().unwrap(), "ok");
            assert!(upstream.is_end_stream() && upstream.rest());
            let held = upstream.read.capacity() + upstream.sending.take_buffer().capacity();
            assert_eq!(held, 0);
        }
    }
}
