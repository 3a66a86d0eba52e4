//! Where connections come from.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use http::StatusCode;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::connection::send_off;
use crate::error::ProxyError;
use crate::phase::{Phase, Phases};
use crate::refusal::Refusal;

/// How many clients beyond [`Limits::connections`](crate::Limits::connections) are told so at once.
pub(crate) const SURPLUS: usize = 64;

pub(crate) async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ProxyError> {
    let bound = TcpListener::bind(address).await;
    bound
        .and_then(|listener| listener.local_addr().map(|local| (listener, local)))
        .map_err(|source| ProxyError::Listen { address, source })
}

/// Accepts connections until the proxy comes to `end`.
pub(crate) async fn accept(
    listener: TcpListener,
    phases: Phases,
    end: Phase,
    serve: impl Fn(TcpStream, SocketAddr),
) {
    let mut over = pin!(phases.reached(end));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut over => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Best effort: without it answers are later, not wrong.
                let _ = stream.set_nodelay(true);
                serve(stream, peer);
            }
            Err(error) if concerns_one_connection(&error) => {
                debug!(%error, "a client gave up before it was accepted");
            }
            Err(error) => {
                // Out of file descriptors or memory: asking again at once would only burn a core.
                warn!(%error, "cannot accept connections");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

/// Tells one client too many to come later.
pub(crate) async fn turn_away(stream: TcpStream, phases: Phases, _permit: OwnedSemaphorePermit) {
    debug!("a client too many was turned away");
    let text = "there are too many connections";
    let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text);
    tokio::select! {
        () = send_off(stream, refusal) => {}
        () = phases.reached(Phase::Finishing) => {}
    }
}
