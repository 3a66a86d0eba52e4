//! The connections of clients.

mod http1;
mod http2;
mod opening;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::debug;

use crate::client::Client;
use crate::forward::forward;
use crate::inbound::Guard;
use crate::phase::{Phase, reached};
use crate::server::Plane;
use opening::Opened;

pub(crate) use http1::serve as serve_http1;

/// Serves a client until it is done or the proxy is over.
pub(crate) async fn serve_client(
    plane: Arc<Plane>,
    stream: TcpStream,
    peer: SocketAddr,
    mut phase: watch::Receiver<Phase>,
) {
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
        Ok(Ok((stream, Opened::Http1))) => speak_http1(plane, stream, peer, phase).await,
        Ok(Ok((stream, Opened::Http2))) => http2::serve(plane, stream, peer, phase).await,
        Ok(Err(error)) => debug!(%error, "a client's connection ended at its beginning"),
        // Nothing has come in all that time, or a few bytes that look like HTTP/2.
        Err(_) => {}
    }
}

async fn speak_http1<S>(
    plane: Arc<Plane>,
    stream: S,
    peer: SocketAddr,
    phase: watch::Receiver<Phase>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = plane.config.limits;
    let stream = Guard::new(stream, limits);
    let plane = &*plane;
    let client = &Client::new(peer, plane.trust.clone(), stream.verdict());
    let answer = |request| async move {
        Ok::<_, Infallible>(forward(&plane.routing, &plane.config, client, request).await)
    };
    let header_timeout = plane.config.header_timeout;
    let tunnel = || client.tunnel();
    serve_http1(stream, limits, header_timeout, phase, answer, tunnel).await;
}

fn note_end(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        debug!(%error, "a client's connection ended badly");
    }
}
