//! Which version of HTTP a client speaks, by the first bytes that it sends.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Speaks;

/// What a client of HTTP/2 sends first (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

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

impl<S: AsyncRead + AsyncWrite + Unpin> Reopened<S> {
    /// Reads as much from the beginning as it takes to know what is spoken.
    pub(crate) fn poll_begin(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Speaks>> {
        while self.length < PREFACE.len() && self.first[..self.length] == PREFACE[..self.length] {
            if ready!(self.poll_first(cx))? == 0 {
                break;
            }
        }
        Poll::Ready(Ok(if self.first == *PREFACE {
            Speaks::Http2
        } else {
            Speaks::Http1
        }))
    }

    /// Once everything has been read, waits for more: false when there is no more.
    pub(crate) fn poll_resume(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        (self.length, self.read) = (0, 0);
        self.poll_first(cx).map_ok(|read| read > 0)
    }

    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut rest = ReadBuf::new(&mut self.first[self.length..]);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut rest))?;
        let read = rest.filled().len();
        self.length += read;
        Poll::Ready(Ok(read))
    }

    /// Tells the client that nothing more comes, if that can be said at once.
    pub(crate) async fn leave(&mut self) {
        poll_fn(|cx| Poll::Ready(_ = Pin::new(&mut self.stream).poll_shutdown(cx))).await;
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
