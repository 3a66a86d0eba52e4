//! A client that speaks HTTP/1.1.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::note_end;
use super::timer::ConnectionTimer;
use crate::inbound::Guard;
use crate::limits::Limits;
use crate::phase::{Phase, reached};
use crate::tunnel::Tunnel;

/// Serves one connection until its client is done or the proxy is over.
pub(crate) async fn serve<S, F, B>(
    stream: Guard<S>,
    limits: Limits,
    header_timeout: Duration,
    mut phase: watch::Receiver<Phase>,
    answer: impl Fn(Request<Incoming>) -> F,
    tunnel: impl Fn() -> Option<Tunnel>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = Result<Response<B>, Infallible>>,
    B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>> + 'static,
{
    let mut builder = http1::Builder::new();
    // Only where it is more than hyper allows anyway: it would allocate the list of headers then.
    if limits.headers > 100 {
        builder.max_headers(limits.headers);
    }
    let mut connection = builder
        .timer(ConnectionTimer::new())
        .header_read_timeout(header_timeout)
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .with_upgrades();
    let finished = {
        let mut finishing = pin!(reached(&mut phase, Phase::Finishing));
        tokio::select! {
            // In this order: while it serves, the connection has nearly always more to do.
            biased;
            ended = &mut connection => Some(ended),
            () = &mut finishing => None,
        }
    };
    let finish = async {
        let ended = match finished {
            Some(ended) => ended,
            None => {
                Pin::new(&mut connection).graceful_shutdown();
                (&mut connection).await
            }
        };
        let late = matches!(&ended, Err(error) if error.is_timeout());
        note_end(ended);
        match (connection.into_parts(), tunnel()) {
            (Some(parts), _) if late => parts.io.into_inner().close_late().await,
            (Some(parts), _) => parts.io.into_inner().close().await,
            (None, Some(tunnel)) => tunnel.run().await,
            (None, None) => {}
        }
    };
    tokio::select! {
        biased;
        () = finish => {}
        () = reached(&mut phase, Phase::Over) => {}
    }
}
