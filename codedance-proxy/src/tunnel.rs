//! A connection that has stopped speaking HTTP.

use std::io;

use hyper::client::conn::http1::Parts;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tracing::debug;

use crate::dial::Stream;
use crate::endpoint::Flight;

/// A client and an endpoint that agreed on another protocol, of which the proxy knows nothing: it
/// passes on what comes, both ways. In flight until both have closed, or one broke off.
#[derive(Debug)]
pub(crate) struct Tunnel {
    client: OnUpgrade,
    endpoint: Parts<TokioIo<Stream>>,
    flight: Flight,
}

impl Tunnel {
    pub(crate) fn new(client: OnUpgrade, endpoint: Parts<TokioIo<Stream>>, flight: Flight) -> Self {
        Self {
            client,
            endpoint,
            flight,
        }
    }

    /// Passes on until it is over.
    pub(crate) async fn run(self) {
        let address = self.flight.endpoint().address;
        if let Err(error) = self.pass_on().await {
            debug!(%address, %error, "a tunnel broke off");
        }
    }

    async fn pass_on(self) -> io::Result<()> {
        let client = self.client.await.map_err(io::Error::other)?;
        let mut client = TokioIo::new(client);
        // What the endpoint sent right behind its answer.
        client.write_all(&self.endpoint.read_buf).await?;
        copy_bidirectional(&mut client, &mut self.endpoint.io.into_inner()).await?;
        Ok(())
    }
}
