//! A connection that has stopped speaking HTTP.

use std::io;

use bytes::BytesMut;
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
    endpoint: Stream,
    /// What the endpoint sent right behind its answer.
    greeting: BytesMut,
    flight: Flight,
}

impl Tunnel {
    pub(crate) const fn new(
        client: OnUpgrade,
        endpoint: Stream,
        greeting: BytesMut,
        flight: Flight,
    ) -> Self {
        Self {
            client,
            endpoint,
            greeting,
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

    async fn pass_on(mut self) -> io::Result<()> {
        let client = self.client.await.map_err(io::Error::other)?;
        let mut client = TokioIo::new(client);
        client.write_all(&self.greeting).await?;
        drop(self.greeting);
        copy_bidirectional(&mut client, &mut self.endpoint).await?;
        Ok(())
    }
}
