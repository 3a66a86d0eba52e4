//! Which version of HTTP a client speaks, by the first bytes that it sends.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::Speaks;

/// What a client of HTTP/2 sends first (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Reads as much as it takes to know, and returns a stream that begins from the beginning.
pub(crate) async fn read<S>(mut stream: S) -> io::Result<(Reopened<S>, Speaks)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut first = [0; PREFACE.len()];
    let mut length = 0;
    while length < PREFACE.len() && first[..length] == PREFACE[..length] {
        let read = stream.read(&mut first[length..]).await?;
        if read == 0 {
            break;
        }
        length += read;
    }
    let speaks = if first == *PREFACE {
        Speaks::Http2
    } else {
        Speaks::Http1
    };
    let stream = Reopened {
        stream,
        first,
        length,
        read: 0,
    };
    Ok((stream, speaks))
}

/// A stream of which the first bytes have been read, and are read again.
#[derive(Debug)]
pub(crate) struct Reopened<S> {
    stream: S,
    first: [u8; PREFACE.len()],
    length: usize,
    /// So many of the first bytes have been read again.
    read: usize,
}

impl<S> Reopened<S> {
    /// A stream of which nothing has been read.
    pub(crate) fn unread(stream: S) -> Self {
        Self {
            stream,
            first: [0; PREFACE.len()],
            length: 0,
            read: 0,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Reopened<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.read == this.length {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        let first = &this.first[this.read..this.length];
        let here = first.len().min(buf.remaining());
        buf.put_slice(&first[..here]);
        this.read += here;
        // What follows has mostly come with it, and together they are a whole message.
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(())),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Reopened<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
