//! The beginning of a client's connection.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::version::{TLS12, TLS13};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::debug;

use super::certificates::Certificates;
use super::config::Tls;
use super::error::TlsError;
use super::{HTTP_1_1, HTTP_2};
use crate::connection::Speaks;
use crate::phase::{Phase, Phases};

/// Agrees with clients on keys, and on the version of HTTP.
pub(crate) struct Acceptor {
    tls: TlsAcceptor,
    certificates: Arc<Certificates>,
    provider: Arc<CryptoProvider>,
    handshake_timeout: Duration,
    reload_interval: Duration,
    failed: AtomicU64,
}

impl Acceptor {
    pub(crate) async fn load(config: &Tls) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let certificates = Certificates::load(&config.certificates, &provider).await?;
        let certificates = Arc::new(certificates);
        let mut tls = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&certificates) as _);
        tls.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1_1.to_vec()];
        // Clients that come again are spared half of the work, and nothing is kept for them here.
        tls.ticketer = ring::Ticketer::new().map_err(TlsError::Setup)?;
        Ok(Self {
            tls: Arc::new(tls).into(),
            certificates,
            provider,
            handshake_timeout: config.handshake_timeout,
            reload_interval: config.reload_interval,
            failed: AtomicU64::new(0),
        })
    }

    /// The stream behind the handshake, and what is spoken there if the client has said so.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
    ) -> Option<(TlsStream<TcpStream>, Option<Speaks>)> {
        let handshake = timeout(self.handshake_timeout, self.tls.accept(stream));
        let failure = match handshake.await {
            Ok(Ok(stream)) => {
                let speaks = match stream.get_ref().1.alpn_protocol() {
                    Some(HTTP_2) => Some(Speaks::Http2),
                    Some(_) => Some(Speaks::Http1),
                    None => None,
                };
                return Some((stream, speaks));
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it took too long".to_owned(),
        };
        self.failed.fetch_add(1, Relaxed);
        debug!(%failure, "a handshake with a client failed");
        None
    }

    /// Keeps the certificates fresh until the proxy is over.
    pub(crate) async fn keep_fresh(self: Arc<Self>, phases: Phases) {
        let mut over = pin!(phases.reached(Phase::Over));
        let mut ticks = interval(self.reload_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.certificates.reload(&self.provider).await,
                () = &mut over => return,
            }
        }
    }

    /// How many handshakes have failed.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    /// How many certificates are in use although their files can no longer be used.
    pub(crate) fn outdated_certificates(&self) -> usize {
        self.certificates.outdated()
    }
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acceptor")
            .field("certificates", &self.certificates)
            .finish_non_exhaustive()
    }
}
