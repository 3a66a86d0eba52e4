//! HTTP/2 by hand (RFC 9113, 4 and 6).

use codedance_proxy::Proxy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// `GET / http shop`, all from the static table but the last.
pub(super) const HEAD: &[u8] = b"\x82\x84\x86\x01\x04shop";

// Types of frames, and flags.
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const CONTINUATION: u8 = 9;
pub(super) const ACK: u8 = 1;
pub(super) const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const CANCEL: u32 = 8;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A client that speaks frame by frame.
pub(super) struct Frames(TcpStream);

impl Frames {
    pub(super) async fn connect(proxy: &Proxy) -> Self {
        let mut stream = TcpStream::connect(proxy.local_addr()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(PREFACE).await.unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, b"")).await.unwrap();
        Self(stream)
    }

    /// Sends a frame; false when the proxy has closed the connection.
    pub(super) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let sent = self.0.write_all(&frame(kind, flags, stream, payload)).await;
        sent.is_ok()
    }

    /// Sends a whole request that has this head and no body.
    pub(super) async fn open(&mut self, stream: u32, head: &[u8]) -> bool {
        self.send(HEADERS, END_STREAM | END_HEADERS, stream, head)
            .await
    }

    pub(super) async fn give_up(&mut self, stream: u32) -> bool {
        self.send(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
            .await
    }

    /// Type, stream and content of the next frame; `None` when the proxy has closed the connection.
    pub(super) async fn next(&mut self) -> Option<(u8, u32, Vec<u8>)> {
        let read = async {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let mut payload = vec![0; length as usize];
            self.0.read_exact(&mut payload).await.ok()?;
            Some((head[3], stream, payload))
        };
        let read = timeout(PATIENCE, read).await;
        read.expect("neither a frame nor the end came")
    }

    /// Waits for the end of the connection.
    pub(super) async fn is_cut_off(&mut self) {
        while self.next().await.is_some() {}
    }

    /// The content of the next frame of this type on this stream.
    pub(super) async fn wait_for(&mut self, kind: u8, stream: u32) -> Vec<u8> {
        loop {
            let (next, on, payload) = self.next().await.expect("the connection ended");
            if (next, on) == (kind, stream) {
                return payload;
            }
        }
    }
}
