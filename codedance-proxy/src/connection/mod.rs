//! The connections of clients.

mod http1;
mod http2;
mod opening;
mod timer;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::debug;

use crate::client::{Client, Peer};
use crate::forward::forward;
use crate::inbound::Guard;
use crate::phase::{Phase, reached};
use crate::server::Plane;
use crate::tls::Acceptor;
use opening::Reopened;

pub(crate) use http1::serve as serve_http1;

/// Which version of HTTP is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    Http1,
    Http2,
}

/// Serves a client until it is done or the proxy is over.
pub(crate) async fn serve_client(
    plane: Arc<Plane>,
    stream: TcpStream,
    address: SocketAddr,
    phase: watch::Receiver<Phase>,
) {
    let is_secure = plane.tls.is_some();
    let peer = Peer { address, is_secure };
    match plane.tls.clone() {
        None => open(plane, stream, peer, phase).await,
        // Apart, because it would make the tasks of all clients larger.
        Some(tls) => Box::pin(serve_securely(plane, tls, stream, peer, phase)).await,
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
    match accepted {
        Some((stream, Some(speaks))) => {
            serve(plane, Reopened::unread(stream), speaks, peer, phase).await;
        }
        Some((stream, None)) => open(plane, stream, peer, phase).await,
        None => {}
    }
}

/// Serves a client that shows by what it sends which version it speaks.
async fn open<S>(plane: Arc<Plane>, stream: S, peer: Peer, mut phase: watch::Receiver<Phase>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let opened = {
        let limit = plane.config.header_timeout;
        let mut opening = pin!(timeout(limit, opening::read(stream)));
        tokio::select! {
            biased;
            opened = &mut opening => opened,
            () = reached(&mut phase, Phase::Finishing) => return,
        }
    };
    match opened {
        Ok(Ok((stream, speaks))) => serve(plane, stream, speaks, peer, phase).await,
        Ok(Err(error)) => debug!(%error, "a client's connection ended at its beginning"),
        // Nothing has come in all that time, or a few bytes that look like HTTP/2.
        Err(_) => {}
    }
}

async fn serve<S>(
    plane: Arc<Plane>,
    stream: Reopened<S>,
    speaks: Speaks,
    peer: Peer,
    phase: watch::Receiver<Phase>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match speaks {
        Speaks::Http1 => speak_http1(plane, stream, peer, phase).await,
        Speaks::Http2 => Box::pin(http2::serve(plane, stream, peer, phase)).await,
    }
}

async fn speak_http1<S>(plane: Arc<Plane>, stream: S, peer: Peer, phase: watch::Receiver<Phase>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = plane.config.limits;
    let stream = Guard::new(stream, limits, plane.config.send_timeout);
    let plane = &*plane;
    let client = &Client::new(peer, plane.trust.clone(), stream.verdict());
    let answer =
        |request| async move { Ok::<_, Infallible>(forward(plane, client, request).await) };
    let header_timeout = plane.config.header_timeout;
    let tunnel = || client.tunnel();
    serve_http1(stream, limits, header_timeout, phase, answer, tunnel).await;
}

fn note_end(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        debug!(%error, "a client's connection ended badly");
    }
}
