//! The beginning of a connection to an endpoint.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::endpoint::EndpointTls;
use super::error::TlsError;
use super::{HTTP_1_1, HTTP_2, pem};
use crate::transport::HttpVersion;

/// Agrees with endpoints on keys.
#[derive(Clone)]
pub(crate) struct Connector {
    tls: TlsConnector,
    version: HttpVersion,
    /// `None`: the address itself.
    server_name: Option<ServerName<'static>>,
}

impl Connector {
    /// One that insists on this version of HTTP.
    pub(crate) async fn load(config: &EndpointTls, version: HttpVersion) -> Result<Self, TlsError> {
        let server_name = config.server_name.as_ref().map(|name| {
            let parsed = ServerName::try_from(name.clone());
            parsed.map_err(|_| TlsError::ServerName(name.clone()))
        });
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(TlsError::Setup)?
            .with_root_certificates(roots(config).await?);
        let mut tls = match &config.certificate {
            None => builder.with_no_client_auth(),
            Some(files) => {
                let own = files.parse(&files.read().await?, &provider)?;
                let own: Arc<dyn ResolvesClientCert> = Arc::new(SingleCertAndKey::from(own));
                builder.with_client_cert_resolver(own)
            }
        };
        tls.alpn_protocols = vec![match version {
            HttpVersion::Http1 => HTTP_1_1.to_vec(),
            HttpVersion::Http2 => HTTP_2.to_vec(),
        }];
        Ok(Self {
            tls: Arc::new(tls).into(),
            version,
            server_name: server_name.transpose()?,
        })
    }

    pub(crate) async fn connect(
        &self,
        address: SocketAddr,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => ServerName::from(address.ip()),
        };
        let stream = self.tls.connect(name, stream).await?;
        // A server that has not heard of this choice says nothing, and means HTTP/1.1.
        let agreed = stream.get_ref().1.alpn_protocol();
        if self.version == HttpVersion::Http2 && agreed != Some(HTTP_2) {
            return Err(io::Error::other(rustls::Error::NoApplicationProtocol));
        }
        Ok(stream)
    }
}

async fn roots(config: &EndpointTls) -> Result<RootCertStore, TlsError> {
    let Some(path) = &config.authorities else {
        let roots = webpki_roots::TLS_SERVER_ROOTS.iter().cloned();
        return Ok(roots.collect());
    };
    let mut roots = RootCertStore::empty();
    for authority in pem::certificates(path, &pem::read(path).await?)? {
        roots.add(authority).map_err(|source| TlsError::Authority {
            path: path.clone(),
            source,
        })?;
    }
    Ok(roots)
}

/// What a client is told about a handshake that failed; `None` if it was not TLS that failed.
pub(crate) fn reason(error: &io::Error) -> Option<&'static str> {
    use CertificateError as Bad;
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let bad = match error {
        rustls::Error::InvalidCertificate(bad) => bad,
        rustls::Error::NoApplicationProtocol
        | rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            return Some("the server behind this proxy speaks another version of HTTP over TLS");
        }
        _ => return Some("the server behind this proxy does not agree on TLS with it"),
    };
    Some(match bad {
        Bad::Expired | Bad::ExpiredContext { .. } => {
            "the certificate of the server behind this proxy has expired"
        }
        Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
            "the certificate of the server behind this proxy is for another name"
        }
        Bad::UnknownIssuer => {
            "the certificate of the server behind this proxy is signed by an authority that is not \
             trusted"
        }
        _ => "the certificate of the server behind this proxy is not valid",
    })
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}
