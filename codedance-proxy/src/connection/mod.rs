//! The connections of clients.

mod http1;
mod http2;
mod lingering;
mod opening;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::BytesMut;
use http::Response;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::answer::Answer;
use crate::client::{Client, Peer};
use crate::forward::{forward, turn_down};
use crate::phase::Phase;
use crate::server::Plane;
use crate::tls::Acceptor;
use crate::tunnel::Tunnel;
use crate::wakeups::Wakeups;
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
/// whatever serves clients that are not waiting is boxed. They are boxed themselves, because a task
/// begins at a multiple of 128 bytes, for which allocators waste a good deal.
pub(crate) fn serve_client(
    plane: Arc<Plane>,
    stream: TcpStream,
    address: SocketAddr,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    let is_secure = plane.tls.is_some();
    let client = Client::new(Peer { address, is_secure }, plane.trust.clone());
    let served = Served { plane, client };
    match served.plane.tls.clone() {
        None => Box::pin(serve(served, stream, None)),
        Some(tls) => Box::pin(serve_securely(served, tls, stream)),
    }
}

async fn serve_securely(served: Served, tls: Arc<Acceptor>, stream: TcpStream) {
    let accepted = tokio::select! {
        biased;
        accepted = tls.accept(stream) => accepted,
        () = served.plane.wakeups.phases.reached(Phase::Finishing) => return,
    };
    if let Some((stream, speaks)) = accepted {
        serve(served, stream, speaks).await;
    }
}

/// Serves a client that may show only by what it sends which version it speaks.
#[expect(
    clippy::manual_async_fn,
    reason = "a function would hold its arguments twice"
)]
fn serve<S>(
    served: Served,
    mut stream: S,
    speaks: Option<Speaks>,
) -> impl Future<Output = ()> + Send
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    async move {
        let first = match speaks {
            Some(Speaks::Http2) => Some(BytesMut::new()),
            speaks => serve_http1(&mut stream, &served, speaks.is_some()).await,
        };
        let rest = first.map(|first| {
            let stream = Reopened::new(stream, first);
            Box::pin(http2::serve(served.plane, stream, served.client))
        });
        if let Some(rest) = rest {
            rest.await;
        }
    }
}

/// A client of the proxy, whose requests are passed on.
struct Served {
    plane: Arc<Plane>,
    client: Client,
}

impl Service for Served {
    type Body = Answer;

    fn terms(&self) -> Terms {
        Terms::of_client(&self.plane.config)
    }

    fn wakeups(&self) -> &Wakeups {
        &self.plane.wakeups
    }

    async fn answer(&self, question: Question) -> Response<Answer> {
        match question {
            Ok(request) => forward(&self.plane, &self.client, request).await,
            Err(refusal) => turn_down(&self.plane, &self.client, refusal),
        }
    }

    fn tunnel(&self) -> Option<Tunnel> {
        self.client.tunnel()
    }
}
