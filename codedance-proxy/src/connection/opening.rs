//! What a client says first: it shows which version of HTTP it speaks.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Speaks;

/// What a client of HTTP/2 sends first (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How much is read at once of what may be the beginning of something.
const BEGINNING: usize = 8 * 1024;

/// Reads the beginning of something, behind what has come of it. Zero when there is nothing more.
///
/// It is read into memory that all connections of the thread share, and copied from there: beginnings
/// are short, and so a connection that waits for one has no need of memory of its own.
pub(super) fn poll_begin<S: AsyncRead + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    input: &mut BytesMut,
) -> Poll<io::Result<usize>> {
    thread_local! {
        static SHARED: RefCell<Vec<u8>> = RefCell::new(vec![0; BEGINNING]);
    }
    SHARED.with_borrow_mut(|shared| {
        let mut shared = ReadBuf::new(shared);
        ready!(Pin::new(stream).poll_read(cx, &mut shared))?;
        input.extend_from_slice(shared.filled());
        Poll::Ready(Ok(shared.filled().len()))
    })
}

/// Reads as much from the beginning as it takes to know what is spoken.
pub(super) fn poll_speaks<S: AsyncRead + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    first: &mut BytesMut,
) -> Poll<io::Result<Speaks>> {
    while first.len() < PREFACE.len() && PREFACE.starts_with(first) {
        if ready!(poll_begin(stream, cx, first))? == 0 {
            break;
        }
    }
    Poll::Ready(Ok(if first.starts_with(PREFACE) {
        Speaks::Http2
    } else {
        Speaks::Http1
    }))
}

/// A stream of which the first bytes have been read, and are read again.
#[derive(Debug)]
pub(super) struct Reopened<S> {
    stream: S,
    first: BytesMut,
}

impl<S> Reopened<S> {
    pub(super) const fn new(stream: S, first: BytesMut) -> Self {
        Self { stream, first }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Reopened<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.first.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        let here = this.first.len().min(buf.remaining());
        buf.put_slice(&this.first[..here]);
        this.first.advance(here);
        Poll::Ready(Ok(()))
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
