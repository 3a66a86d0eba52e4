//! What a user sets.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::ProxyError;

/// TLS towards clients: which certificates the proxy shows, and how long clients may take to agree.
///
/// TLS 1.3 and 1.2 are spoken, with HTTP/2 and HTTP/1.1 as the client prefers (ALPN).
///
/// # Certificates
///
/// Files are in PEM: a chain that begins with the proxy's own certificate, and its private key in
/// PKCS #8, PKCS #1 or SEC 1. They are read again every [`reload_interval`](Self::reload_interval),
/// and what has changed is in use for the next connection. When the new files cannot be used, because
/// one is missing or the key belongs to another certificate, the log says what is wrong with which,
/// `codedance_proxy_outdated_certificates` among the counters is above 0, and the certificate that was
/// there before stays in use.
///
/// ```
/// use codedance_proxy::Tls;
///
/// let tls = Tls::new("/etc/shop/tls.crt", "/etc/shop/tls.key")
///     .with_certificate("/etc/admin/tls.crt", "/etc/admin/tls.key");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tls {
    pub(crate) certificates: Vec<CertificateFiles>,
    /// How long a client may take from its connection to the end of the handshake, before the
    /// connection is closed. Default 10 s.
    pub handshake_timeout: Duration,
    /// How often the files are read again. Default 10 s.
    pub reload_interval: Duration,
}

/// Where a certificate and its key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CertificateFiles {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
}

impl Tls {
    /// Shows the certificate in the file `chain`, whose private key is in the file `key`.
    #[must_use]
    pub fn new(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self {
            certificates: Vec::new(),
            handshake_timeout: Duration::from_secs(10),
            reload_interval: Duration::from_secs(10),
        }
        .with_certificate(chain, key)
    }

    /// Adds a certificate. A client gets the first one that is valid for the name it asks for (SNI),
    /// or the very first when it asks for none, or for one that no certificate has.
    #[must_use]
    pub fn with_certificate(mut self, chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.certificates.push(CertificateFiles {
            chain: chain.into(),
            key: key.into(),
        });
        self
    }

    /// Sets [`Tls::handshake_timeout`].
    #[must_use]
    pub fn with_handshake_timeout(mut self, limit: Duration) -> Self {
        self.handshake_timeout = limit;
        self
    }

    /// Sets [`Tls::reload_interval`].
    #[must_use]
    pub fn with_reload_interval(mut self, interval: Duration) -> Self {
        self.reload_interval = interval;
        self
    }

    pub(crate) fn check(&self) -> Result<(), ProxyError> {
        for (key, length) in [
            ("tls.handshake_timeout", self.handshake_timeout),
            ("tls.reload_interval", self.reload_interval),
        ] {
            if length.is_zero() {
                let wanted = "longer than nothing";
                return Err(ProxyError::Config { key, wanted });
            }
        }
        Ok(())
    }
}
