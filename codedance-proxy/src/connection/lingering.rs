//! How a connection ends whose client may still be sending.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::refusal::Refusal;

/// How long, and for how much, a client is listened to after the last answer. It may still be
/// sending, and would lose that answer if the connection were closed on it (RFC 9112, 9.6).
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: u64 = 1024 * 1024;

/// Ends a connection with an answer to whatever is asked over it.
pub(crate) async fn send_off(mut stream: impl AsyncRead + AsyncWrite + Unpin, refusal: Refusal) {
    let message = refusal.message();
    if let Ok(Ok(())) = timeout(LINGER, stream.write_all(message.as_bytes())).await {
        linger(stream).await;
    }
}

/// Sends no more, and reads a while.
pub(super) async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let listen = async {
        stream.shutdown().await?;
        let mut rest = stream.take(LINGER_BYTES);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    // However this ends, the connection is closed then.
    let _ = timeout(LINGER, listen).await;
}

/// Sends no more.
pub(super) async fn part(mut stream: impl AsyncWrite + Unpin) {
    // However this ends, the connection is closed then.
    let _ = timeout(LINGER, stream.shutdown()).await;
}
