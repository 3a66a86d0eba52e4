//! What an endpoint has to prove.

use std::path::PathBuf;

use super::config::CertificateFiles;

/// TLS towards endpoints: who vouches for them, and by which name.
///
/// TLS 1.3 and 1.2 are spoken. A connection whose certificate cannot be verified is never used: the
/// request goes to another endpoint, or is answered with 502 and the reason, and
/// [`Totals::failed_handshakes`](crate::Totals::failed_handshakes) counts it. Files are in PEM, and are
/// read when the transport is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointTls {
    pub(super) authorities: Option<PathBuf>,
    pub(super) server_name: Option<String>,
    pub(super) certificate: Option<CertificateFiles>,
}

impl EndpointTls {
    /// Endpoints have a certificate for their address, signed by an authority that Mozilla trusts.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the authorities whose certificates are in the file, and no others.
    #[must_use]
    pub fn with_authorities(mut self, file: impl Into<PathBuf>) -> Self {
        self.authorities = Some(file.into());
        self
    }

    /// Asks for this name (SNI), a DNS name or an IP address, and has the endpoint prove that it is
    /// its own.
    #[must_use]
    pub fn with_server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Shows endpoints that ask for one the certificate in the file `chain`, whose private key is in
    /// the file `key`.
    #[must_use]
    pub fn with_client_certificate(
        mut self,
        chain: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.certificate = Some(CertificateFiles {
            chain: chain.into(),
            key: key.into(),
        });
        self
    }
}
