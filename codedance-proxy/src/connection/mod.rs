//! The connections of clients.

mod http1;
mod http2;
mod lingering;
mod opening;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Response;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::either::Either;
use tracing::debug;

use crate::answer::Answer;
use crate::client::{Client, Peer};
use crate::forward::{forward, turn_down};
use crate::phase::{Phase, reached};
use crate::server::Plane;
use crate::tls::Acceptor;
use crate::tunnel::Tunnel;
use opening::Reopened;

pub(crate) use http1::{Question, Service, Terms, serve as serve_http1};
pub(crate) use lingering::send_off;

/// Which version of HTTP is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    Http1,
    Http2,
}

/// Serves a client until it is done or the proxy is over.
///
/// There are as many of these as clients, and most of them wait: what they hold then decides how much
/// memory the proxy needs. So they are blocks that use what they have captured where it lies, and
/// whatever serves clients that are not waiting is boxed.
pub(crate) fn serve_client(
    plane: Arc<Plane>,
    stream: TcpStream,
    address: SocketAddr,
    phase: watch::Receiver<Phase>,
) -> impl Future<Output = ()> + Send {
    let is_secure = plane.tls.is_some();
    let peer = Peer { address, is_secure };
    match plane.tls.clone() {
        None => Either::Left(serve(plane, Reopened::unread(stream), None, peer, phase)),
        Some(tls) => Either::Right(Box::pin(serve_securely(plane, tls, stream, peer, phase))),
    }
}

async fn serve_securely(
    plane: Arc<Plane>,
    tls: Arc<Acceptor>,
    stream: TcpStream,
    peer: Peer,
    mut phase: watch::Receiver<Phase>,
) {
    let accepted = tokio::select! {
        biased;
        accepted = tls.accept(stream) => accepted,
        () = reached(&mut phase, Phase::Finishing) => return,
    };
    if let Some((stream, speaks)) = accepted {
        serve(plane, Reopened::unread(stream), speaks, peer, phase).await;
    }
}

/// Serves a client that may show only by what it sends which version it speaks.
#[expect(
    clippy::manual_async_fn,
    reason = "a function would hold its arguments twice"
)]
fn serve<S>(
    plane: Arc<Plane>,
    mut stream: Reopened<S>,
    speaks: Option<Speaks>,
    peer: Peer,
    mut phase: watch::Receiver<Phase>,
) -> impl Future<Output = ()> + Send
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    async move {
        let mut until = Instant::now() + plane.config.header_timeout;
        let speaks = match speaks {
            Some(speaks) => Some(speaks),
            None => in_time(|cx| stream.poll_begin(cx), until, &mut phase).await,
        };
        match speaks {
            // Nothing has come in all that time, or a few bytes that look like HTTP/2.
            None => return,
            Some(Speaks::Http2) => return Box::pin(http2::serve(plane, stream, peer, phase)).await,
            Some(Speaks::Http1) => {}
        }
        loop {
            let service = Served {
                plane: &plane,
                client: Client::new(peer, plane.trust.clone()),
            };
            let terms = Terms::of_client(&plane.config);
            let serving = serve_http1(stream, service, terms, Some(until), phase.clone());
            (stream, until) = match Box::pin(serving).await {
                Some(quiet) => (quiet.stream, quiet.until),
                None => return,
            };
            if in_time(|cx| stream.poll_resume(cx), until, &mut phase).await != Some(true) {
                return stream.leave().await;
            }
        }
    }
}

/// What is read by then, if the proxy goes on that long.
async fn in_time<T>(
    mut read: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>>,
    until: Instant,
    phase: &mut watch::Receiver<Phase>,
) -> Option<T> {
    let mut finishing = pin!(reached(phase, Phase::Finishing));
    let mut late = pin!(sleep_until(until));
    poll_fn(|cx| {
        if let Poll::Ready(read) = read(cx) {
            return Poll::Ready(read.map_err(note_silence).ok());
        }
        let is_over = finishing.as_mut().poll(cx).is_ready() || late.as_mut().poll(cx).is_ready();
        if is_over {
            Poll::Ready(None)
        } else {
            Poll::Pending
        }
    })
    .await
}

fn note_silence(error: io::Error) {
    debug!(%error, "a client's connection ended before a request");
}

/// Answers what one client asks.
struct Served<'p> {
    plane: &'p Plane,
    client: Client,
}

impl Service for Served<'_> {
    type Body = Answer;

    async fn answer(&self, question: Question) -> Response<Answer> {
        match question {
            Ok(request) => forward(self.plane, &self.client, request).await,
            Err(refusal) => turn_down(self.plane, &self.client, refusal),
        }
    }

    fn tunnel(&self) -> Option<Tunnel> {
        self.client.tunnel()
    }
}
