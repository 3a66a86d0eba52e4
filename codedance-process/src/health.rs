//! One health check: an HTTP request on a connection of its own.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, HeaderValue};
use hyper::http::uri::PathAndQuery;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Why a replica is not healthy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ailment {
    #[error("it does not accept connections: {0}")]
    Connect(#[from] std::io::Error),
    #[error("GET {path} got no answer: {source}")]
    NoAnswer {
        path: PathAndQuery,
        source: hyper::Error,
    },
    #[error("GET {path} answered {status}")]
    Status {
        path: PathAndQuery,
        status: StatusCode,
    },
    #[error("GET {path} was not answered within {within:?}")]
    Slow {
        path: PathAndQuery,
        within: Duration,
    },
}

/// Asks once. Healthy is a 2xx answer within the time given.
pub(crate) async fn check(
    address: SocketAddr,
    path: &PathAndQuery,
    within: Duration,
) -> Result<(), Ailment> {
    match timeout(within, status(address, path)).await {
        Ok(Ok(status)) if status.is_success() => Ok(()),
        Ok(Ok(status)) => Err(Ailment::Status {
            path: path.clone(),
            status,
        }),
        Ok(Err(ailment)) => Err(ailment),
        Err(_) => Err(Ailment::Slow {
            path: path.clone(),
            within,
        }),
    }
}

async fn status(address: SocketAddr, path: &PathAndQuery) -> Result<StatusCode, Ailment> {
    let no_answer = |source| Ailment::NoAnswer {
        path: path.clone(),
        source,
    };
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(no_answer)?;
    let mut request = Request::new(String::new());
    *request.uri_mut() = path.clone().into();
    let host = address
        .to_string()
        .parse()
        .expect("an address is a valid header value");
    request.headers_mut().insert(HOST, host);
    request
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));

    // The connection has to be driven for the answer to come; it may end with the answer sent.
    let mut answer = pin!(sender.send_request(request));
    let answer = tokio::select! {
        answer = &mut answer => answer,
        _ = connection => answer.await,
    };
    answer.map(|answer| answer.status()).map_err(no_answer)
}
