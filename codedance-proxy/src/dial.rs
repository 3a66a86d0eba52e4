//! Streams to endpoints, before anything is said on them.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::Scheme;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::tls::{self, Connector, TlsError};
use crate::transport::{HttpVersion, Transport};

/// Makes streams to the endpoints of a revision; by default in clear text.
#[derive(Debug, Default)]
pub(crate) struct Dialer {
    version: HttpVersion,
    tls: Option<Connector>,
}

/// Why there is no stream.
#[derive(Clone, Debug)]
pub(crate) enum DialError {
    NotAccepted(Arc<io::Error>),
    /// TLS was not agreed on, and this is what clients are told.
    NotTrusted(Arc<io::Error>, &'static str),
}

impl DialError {
    /// It ended as soon as it had begun.
    pub(crate) fn closed() -> Self {
        io::Error::from(io::ErrorKind::ConnectionAborted).into()
    }
}

impl From<io::Error> for DialError {
    fn from(error: io::Error) -> Self {
        match tls::reason(&error) {
            Some(reason) => Self::NotTrusted(Arc::new(error), reason),
            None => Self::NotAccepted(Arc::new(error)),
        }
    }
}

impl Dialer {
    pub(crate) async fn load(transport: &Transport) -> Result<Self, TlsError> {
        let version = transport.version;
        Ok(Self {
            version,
            tls: match &transport.tls {
                Some(tls) => Some(Connector::load(tls, version).await?),
                None => None,
            },
        })
    }

    pub(crate) const fn version(&self) -> HttpVersion {
        self.version
    }

    /// How addresses of endpoints begin.
    pub(crate) const fn scheme(&self) -> Scheme {
        match self.tls {
            Some(_) => Scheme::HTTPS,
            None => Scheme::HTTP,
        }
    }

    /// Connects within this time, handshake included.
    pub(crate) async fn dial(
        &self,
        address: SocketAddr,
        limit: Duration,
    ) -> Result<Stream, DialError> {
        let connected = timeout(limit, async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(match &self.tls {
                None => Stream::Clear(stream),
                // Apart, because it would make the tasks of all requests larger.
                Some(tls) => {
                    let secured = Box::pin(tls.connect(address, stream)).await?;
                    Stream::Secure(Box::new(secured))
                }
            })
        });
        let connected = connected.await.map_err(io::Error::from).flatten();
        connected.map_err(DialError::from)
    }
}

/// A stream to an endpoint.
#[derive(Debug)]
pub(crate) enum Stream {
    Clear(TcpStream),
    Secure(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Has it closed at once when it is dropped, whatever is under way.
    pub(crate) fn set_zero_linger(&self) -> io::Result<()> {
        match self {
            Self::Clear(stream) => stream.set_zero_linger(),
            Self::Secure(stream) => stream.get_ref().0.set_zero_linger(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Secure(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Secure(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_flush(cx),
            Self::Secure(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Secure(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Self::Secure(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Clear(stream) => stream.is_write_vectored(),
            Self::Secure(stream) => stream.is_write_vectored(),
        }
    }
}
