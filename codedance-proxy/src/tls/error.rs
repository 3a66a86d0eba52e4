//! What can be wrong with certificates and keys.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} has no {wanted} in PEM", path.display())]
    Missing { path: PathBuf, wanted: &'static str },
    #[error("{} is not proper PEM: {reason}", path.display())]
    Malformed { path: PathBuf, reason: String },
    #[error("the key in {} is not that of the certificate in {}", key.display(), chain.display())]
    NotItsKey { chain: PathBuf, key: PathBuf },
    #[error("the certificate in {} with the key in {} cannot be used", chain.display(), key.display())]
    Unusable {
        chain: PathBuf,
        key: PathBuf,
        source: rustls::Error,
    },
    #[error("a certificate in {} cannot be that of an authority", path.display())]
    Authority {
        path: PathBuf,
        source: rustls::Error,
    },
    #[error("`{0}` is neither the name of a host nor an address")]
    ServerName(String),
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}
