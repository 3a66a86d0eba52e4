//! Transport layer security: who the proxy is to its clients, and who endpoints are to it.

mod acceptor;
mod certificates;
mod config;
mod connector;
mod endpoint;
mod error;
mod pem;

pub(crate) use acceptor::Acceptor;
pub use config::Tls;
pub(crate) use connector::{Connector, reason};
pub use endpoint::EndpointTls;
pub(crate) use error::TlsError;

/// The names of the versions of HTTP (RFC 7301, 6).
const HTTP_2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";
