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
/// let transport = Transport::new().with_http2().with_tls(tls);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transport {
    /// Which version of HTTP is spoken. Default [`HttpVersion::Http1`].
    pub version: HttpVersion,
    /// Whether TLS is spoken, and what an endpoint has to prove then. Default `None`: requests are
    /// sent in clear text.
    pub tls: Option<EndpointTls>,
}

/// A version of HTTP that endpoints are spoken to in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpVersion {
    /// HTTP/1.1: a connection for each request under way.
    #[default]
    Http1,
    /// HTTP/2: up to 100 requests share a connection, or as many as the endpoint allows.
    ///
    /// In clear text endpoints must know that it comes (prior knowledge); over TLS it must be agreed
    /// on (ALPN). There is no way to switch to another protocol: requests that ask for one are sent
    /// without it.
    ///
    /// What an endpoint says that it has not looked at, because it refuses the request or ends the
    /// connection before it (REFUSED_STREAM, GOAWAY), is sent again: any request without a body, and
    /// others as long as no more than 64 KiB of their body had been read.
    Http2,
}

impl Transport {
    /// HTTP/1.1 in clear text.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Speaks HTTP/2.
    #[must_use]
    pub fn with_http2(mut self) -> Self {
        self.version = HttpVersion::Http2;
        self
    }

    /// Speaks TLS.
    #[must_use]
    pub fn with_tls(mut self, tls: EndpointTls) -> Self {
        self.tls = Some(tls);
        self
    }
}
