//! A connection that has stopped speaking HTTP.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tracing::debug;

use crate::dial::Stream;
use crate::endpoint::Flight;

/// A client and an endpoint that agreed on another protocol, of which the proxy knows nothing: it
/// passes on what comes, both ways. In flight until both have closed, or one broke off.
#[derive(Debug)]
pub(crate) struct Tunnel {
    endpoint: Stream,
    /// What the endpoint sent right behind its answer.
    greeting: BytesMut,
    flight: Flight,
}

impl Tunnel {
    pub(crate) const fn new(endpoint: Stream, greeting: BytesMut, flight: Flight) -> Self {
        Self {
            endpoint,
            greeting,
            flight,
        }
    }

    /// Passes on until it is over. `sent` is what the client has sent behind its request.
    pub(crate) async fn run(self, client: impl AsyncRead + AsyncWrite + Unpin, sent: Bytes) {
        let address = self.flight.endpoint().address;
        if let Err(error) = self.pass_on(client, sent).await {
            debug!(%address, %error, "a tunnel broke off");
        }
    }

    async fn pass_on(
        mut self,
        mut client: impl AsyncRead + AsyncWrite + Unpin,
        sent: Bytes,
    ) -> io::Result<()> {
        client.write_all(&self.greeting).await?;
        drop(self.greeting);
        self.endpoint.write_all(&sent).await?;
        drop(sent);
        copy_bidirectional(&mut client, &mut self.endpoint).await?;
        Ok(())
    }
}
