//! What can go wrong while a proxy is set up or told what to do.

use std::io;
use std::net::SocketAddr;

use codedance_core::traffic::CohortKey;
use codedance_core::{Error, ErrorKind};

use crate::network::Network;
use crate::tls::TlsError;

/// A failure of the proxy itself. What goes wrong with a single request is an answer to its client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyError {
    #[error("{key} must be {wanted}")]
    Config {
        key: &'static str,
        wanted: &'static str,
    },
    #[error("cannot listen on {address}")]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("cannot start the thread that writes the access log")]
    AccessLog(#[source] io::Error),
    #[error("`{0}` is not the name of a header")]
    HeaderName(String),
    #[error("`{0}` is not the name of a cookie")]
    CookieName(String),
    #[error("`{0}` is neither an address nor a network of addresses")]
    Network(String),
    #[error("{0} has a rule already")]
    NetworkTwice(Network),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("{0:?} is not a key that this proxy knows")]
    CohortKey(CohortKey),
}

impl ProxyError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Config { .. }
            | Self::HeaderName(_)
            | Self::CookieName(_)
            | Self::Network(_)
            | Self::NetworkTwice(_)
            | Self::Tls(_) => ErrorKind::Invalid,
            Self::CohortKey(_) => ErrorKind::Unsupported,
            Self::AccessLog(_) => ErrorKind::Unavailable,
            Self::Listen { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => ErrorKind::Denied,
                io::ErrorKind::AddrInUse => ErrorKind::Unavailable,
                _ => ErrorKind::Invalid,
            },
        }
    }

    /// The error that users see, `operation` completing "failed to …".
    pub(crate) fn during(self, operation: impl Into<String>) -> Error {
        Error::new(self.kind(), operation.into()).with_source(self)
    }
}
