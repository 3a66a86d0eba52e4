//! Connections to endpoints: made, kept, used again.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, Sleep, sleep};

use crate::dial::Stream;
use crate::upload::{Blame, Progress, Upload};

type Connection = http1::Connection<TokioIo<Stream>, Upload>;

/// One connection to an endpoint, driven by the request that holds it.
///
/// Hyper's connections are usually driven by a task of their own, at the price of several wake-ups
/// between tasks for each request. Here the task of the client's connection does all the work: it
/// sends, receives and passes on, and a client that goes away takes the connection down with it.
#[derive(Debug)]
pub(crate) struct Upstream {
    sender: http1::SendRequest<Upload>,
    wire: Wire,
    /// Lives as long as the connection, because moving a timer on is cheaper than a new one.
    timer: Pin<Box<Sleep>>,
    idle_since: Instant,
}

#[derive(Debug)]
struct Wire {
    /// `None` once it has ended.
    connection: Option<Connection>,
    after: After,
}

/// What becomes of the stream once HTTP is over on it.
#[derive(Debug)]
enum After {
    Close,
    Keep,
    Kept(http1::Parts<TokioIo<Stream>>),
}

/// Why a request got no answer over a connection.
#[derive(Debug)]
pub(crate) enum SendError {
    /// The connection was closed before any of the request was written: here it is again.
    Unsent(Box<Request<Upload>>),
    /// The endpoint says that it has not looked at the request.
    Unseen,
    /// The endpoint broke off this request, and no other.
    Reset,
    /// The connection broke after something may have been read.
    Lost,
    /// The endpoint stayed silent for too long.
    TimedOut,
    /// The body of the request is larger than it may be.
    TooLarge,
    /// The client stopped sending the body of its request.
    ClientFailed,
}

impl Upstream {
    pub(crate) async fn over(stream: Stream) -> io::Result<Box<Self>> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        Ok(Box::new(Self {
            sender,
            wire: Wire {
                connection: Some(connection),
                after: After::Close,
            },
            timer: Box::pin(sleep(Duration::ZERO)),
            idle_since: Instant::now(),
        }))
    }

    /// Sends the request and waits for the head of the answer, at most `limit` after the endpoint
    /// last took something of the request.
    pub(crate) async fn send(
        &mut self,
        request: Request<Upload>,
        progress: Option<&Progress>,
        limit: Duration,
    ) -> Result<Response<Incoming>, SendError> {
        let mut answer = pin!(self.sender.try_send_request(request));
        self.timer.as_mut().reset(Instant::now() + limit);
        poll_fn(|cx| {
            self.wire.drive(cx);
            // Only driving the connection brings an answer, so nobody needs to be woken by it.
            if let Poll::Ready(answer) = look(|cx| answer.as_mut().poll(cx)) {
                return Poll::Ready(answer.map_err(|mut error| match error.take_message() {
                    Some(request) => SendError::Unsent(Box::new(request)),
                    None if progress.is_some_and(Progress::is_too_large) => SendError::TooLarge,
                    None if progress.is_some_and(Progress::failed) => SendError::ClientFailed,
                    None => SendError::Lost,
                }));
            }
            while self.timer.as_mut().poll(cx).is_ready() {
                let deadline = progress.map_or_else(Instant::now, |p| p.last_moved() + limit);
                if deadline <= Instant::now() {
                    let client = progress.is_some_and(|p| p.blame() == Blame::Client);
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

    /// Reads and writes what can be read and written now.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        self.wire.drive(cx);
    }

    /// Has the stream kept if the endpoint agrees to another protocol.
    pub(crate) fn offer_tunnel(&mut self) {
        self.wire.after = After::Keep;
    }

    /// The stream, and what has been read of it behind an answer that switches protocols. Nothing
    /// when the endpoint has closed it.
    pub(crate) fn into_tunnel(mut self) -> Option<http1::Parts<TokioIo<Stream>>> {
        let _ = look(|cx| {
            self.wire.drive(cx);
            Poll::Ready(())
        });
        match self.wire.after {
            After::Kept(parts) => Some(parts),
            After::Close | After::Keep => None,
        }
    }

    /// Whether another request can be sent: the last exchange is over, and the endpoint has not
    /// closed the connection as far as is known here.
    pub(crate) fn is_reusable(&mut self) -> bool {
        let _ = look(|cx| {
            self.wire.drive(cx);
            Poll::Ready(())
        });
        self.wire.connection.is_some() && self.sender.is_ready()
    }

    /// Closes a connection whose last exchange is over without leaving the port in TIME_WAIT: with
    /// one connection for each request that would use up the ports.
    fn reset(self) {
        if let Some(connection) = self.wire.connection {
            let stream = connection.into_parts().io.into_inner();
            // Best effort: if it fails, the port waits its minute.
            let _ = stream.set_zero_linger();
        }
    }
}

impl Wire {
    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(driven) = &mut self.connection
            && Pin::new(driven).poll(cx).is_ready()
            // Dropping it at once is what hands back a request that it had not begun to send. How it
            // ended, its sender tells.
            && let Some(ended) = self.connection.take()
            && matches!(self.after, After::Keep)
        {
            self.after = After::Kept(ended.into_parts());
        }
    }
}

/// Polls once, without asking to be woken.
///
/// Tokio's cooperative budget must not have a say here: a channel that answers "not yet" because the
/// budget is spent relies on waking the task, which nobody would hear.
pub(crate) fn look<T>(poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    let unconstrained = tokio::task::coop::unconstrained(poll_fn(poll));
    pin!(unconstrained).poll(&mut Context::from_waker(Waker::noop()))
}

/// The connections to one endpoint that wait for the next request.
#[derive(Debug)]
pub(crate) struct Pool {
    /// The longest idle first. `None` once the endpoint is out of rotation.
    idle: Mutex<Option<VecDeque<Box<Upstream>>>>,
    capacity: usize,
    idle_timeout: Duration,
}

impl Pool {
    pub(crate) fn new(capacity: usize, idle_timeout: Duration) -> Self {
        Self {
            idle: Mutex::new(Some(VecDeque::new())),
            capacity,
            idle_timeout,
        }
    }

    /// The connection used last: it is the least likely to be closed meanwhile.
    ///
    /// If the endpoint has closed it, [`Upstream::send`] sees that before it writes anything, and hands
    /// the request back. Looking here as well would see the same, at the price of another poll.
    pub(crate) fn take(&self) -> Option<Box<Upstream>> {
        loop {
            // Not a `while let`: its scrutinee would hold the lock during the body.
            let upstream = self.lock().as_mut()?.pop_back()?;
            if upstream.idle_since.elapsed() < self.idle_timeout {
                return Some(upstream);
            }
        }
    }

    /// Keeps the connection if it can be used again.
    pub(crate) fn put(&self, mut upstream: Box<Upstream>) {
        if !upstream.is_reusable() {
            return;
        }
        upstream.idle_since = Instant::now();
        let surplus = match self.lock().as_mut() {
            None => Some(upstream),
            Some(idle) => {
                idle.push_back(upstream);
                if idle.len() > self.capacity {
                    idle.pop_front()
                } else {
                    None
                }
            }
        };
        if let Some(surplus) = surplus {
            surplus.reset();
        }
    }

    /// Closes connections that were idle for too long, or that the endpoint closed.
    pub(crate) fn sweep(&self) {
        let mut idle = self.lock();
        if let Some(idle) = idle.as_mut() {
            idle.retain_mut(|upstream| {
                upstream.idle_since.elapsed() < self.idle_timeout && upstream.is_reusable()
            });
        }
    }

    pub(crate) const fn idle_timeout(&self) -> Duration {
        self.idle_timeout
    }

    /// Closes all connections, and from now on each one that is put back.
    pub(crate) fn close(&self) {
        self.lock().take();
    }

    fn lock(&self) -> MutexGuard<'_, Option<VecDeque<Box<Upstream>>>> {
        // Whatever panicked while it held the lock left the queue whole.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn a_request_that_meets_a_closed_connection_comes_back() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        drop(listener.accept().await.unwrap());
        stream.readable().await.unwrap();

        let mut upstream = Upstream::over(Stream::Clear(stream)).await.unwrap();
        let request = Request::get("/here").body(Upload::Empty).unwrap();
        let sent = upstream.send(request, None, Duration::from_secs(60)).await;
        let Err(SendError::Unsent(request)) = sent else {
            panic!("{sent:?}");
        };
        assert_eq!(request.uri(), "/here");
        assert!(!upstream.is_reusable());
    }
}
