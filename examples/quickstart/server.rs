//! The demo server: one replica of one version, in a process of its own.

use std::convert::Infallible;
use std::os::unix::process::parent_id;
use std::time::Duration;

use bytes::Bytes;
use clap::ValueEnum;
use codedance::workload::Revision;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::time::sleep;

/// The header in which a replica says which version answered.
pub(crate) const VERSION: &str = "x-version";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    version: Version,
    port: u16,
    /// The process that it belongs to: the one that started it may be gone before it can ask who that was.
    parent: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Version {
    /// In service.
    V1,
    /// As good as v1.
    V2,
    /// Answers 5 % of the requests with an error, and the others slowly.
    V3,
    /// Dies after a few seconds.
    V4,
}

impl Version {
    pub(crate) const ALL: [Self; 4] = [Self::V1, Self::V2, Self::V3, Self::V4];

    pub(crate) fn revision(self) -> Revision {
        Revision::new(self.name()).expect("a version's name is visible text")
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
            Self::V3 => "v3",
            Self::V4 => "v4",
        }
    }

    fn takes(self) -> Duration {
        Duration::from_millis(match self {
            Self::V1 | Self::V2 | Self::V4 => fastrand::u64(1..8),
            Self::V3 => fastrand::u64(20..60),
        })
    }
}

/// Serves until the process is told to stop. `SIGTERM` needs no handling: the executor drains a replica
/// before it stops it.
pub(crate) async fn serve(args: Args) -> anyhow::Result<()> {
    let Args {
        version,
        port,
        parent,
    } = args;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    tokio::spawn(end_with(parent));
    if version == Version::V4 {
        tokio::spawn(async {
            sleep(Duration::from_secs(3)).await;
            eprintln!("v4: out of memory, or so");
            std::process::exit(1);
        });
    }
    loop {
        let (stream, _) = listener.accept().await?;
        // Without it each answer on a kept connection may wait 40 ms for an acknowledgement.
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(version, request));
            // A connection that breaks is the client's business.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    version: Version,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let response = Response::builder().header(VERSION, version.name());
    let status = |status: StatusCode, body: Bytes| {
        let response = response.status(status).body(Full::new(body));
        Ok(response.unwrap_or_default())
    };
    if request.uri().path() == "/healthz" {
        return status(StatusCode::OK, Bytes::new());
    }
    // All of the request is read before it is answered, also when the answer is an error.
    let Ok(body) = request.into_body().collect().await else {
        return status(StatusCode::BAD_REQUEST, Bytes::new());
    };
    sleep(version.takes()).await;
    if version == Version::V3 && fastrand::u8(..100) < 5 {
        return status(StatusCode::INTERNAL_SERVER_ERROR, "oh no\n".into());
    }
    status(StatusCode::OK, body.to_bytes())
}

/// A parent that is killed cannot stop its replicas; so they look whether it is there.
async fn end_with(parent: u32) {
    while parent_id() == parent {
        sleep(Duration::from_millis(200)).await;
    }
    std::process::exit(0);
}
