//! How endpoints are spoken to.

use crate::tls::EndpointTls;

/// How the endpoints of a revision are spoken to.
///
/// ```
/// use codedance_proxy::{EndpointTls, Transport};
///
/// let tls = EndpointTls::new()
///     .with_authorities("/etc/shop/authorities.crt")
///     .with_server_name("shop.internal");
/// let transport = Transport::new().with_tls(tls);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transport {
    /// Whether TLS is spoken, and what an endpoint has to prove then. Default `None`: requests are
    /// sent in clear text.
    pub tls: Option<EndpointTls>,
}

impl Transport {
    /// HTTP/1.1 in clear text.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Speaks TLS.
    #[must_use]
    pub fn with_tls(mut self, tls: EndpointTls) -> Self {
        self.tls = Some(tls);
        self
    }
}
