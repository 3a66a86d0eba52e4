//! What is to be sent.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

/// Parts up to this size are copied behind what comes before them: that is cheaper than to send two
/// parts, and lets go of the buffer that they came in.
const COPIED: usize = 1024;
/// So many parts go out in one system call.
const AT_ONCE: usize = 16;

/// Room for the head of an answer and a part behind it, as a rule.
const TEXT_ROOM: usize = 2 * 1024;

/// Bytes on their way to a client: text of the connection's own, and parts of answers between.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    text: Vec<u8>,
    /// So much of the text has been sent.
    place: usize,
    /// In the order in which they are to be sent.
    parts: VecDeque<Part>,
    length: usize,
    /// How much has ever been sent.
    total: u64,
    /// The stream may still hold some of what it has taken.
    is_held: bool,
}

#[derive(Debug)]
enum Part {
    /// So many bytes more of the text.
    Text(usize),
    Data(Bytes),
}

impl Outbox {
    /// How many bytes are to be sent.
    pub(super) const fn len(&self) -> usize {
        self.length
    }

    /// How many bytes have ever been sent.
    pub(super) const fn sent(&self) -> u64 {
        self.total
    }

    /// Whether everything is on its way.
    pub(super) const fn is_empty(&self) -> bool {
        self.length == 0 && !self.is_held
    }

    /// Adds what `write` appends.
    pub(super) fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.text.capacity() == 0 {
            self.text = Vec::with_capacity(TEXT_ROOM);
        }
        let before = self.text.len();
        write(&mut self.text);
        let added = self.text.len() - before;
        if added == 0 {
            return;
        }
        self.length += added;
        match self.parts.back_mut() {
            Some(Part::Text(length)) => *length += added,
            _ => self.parts.push_back(Part::Text(added)),
        }
    }

    pub(super) fn push(&mut self, data: Bytes) {
        if data.len() <= COPIED {
            self.write(|text| text.extend_from_slice(&data));
        } else {
            self.length += data.len();
            self.parts.push_back(Part::Data(data));
        }
    }

    /// Sends as much as is taken. Ready when that is everything, or something went wrong.
    pub(super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        mut stream: Pin<&mut impl AsyncWrite>,
    ) -> Poll<io::Result<()>> {
        while self.length > 0 {
            self.is_held = true;
            let text = &self.text[self.place..];
            let sent = match (self.parts.front(), self.parts.len()) {
                (Some(Part::Text(length)), 1) => stream.as_mut().poll_write(cx, &text[..*length]),
                (Some(Part::Data(data)), 1) => stream.as_mut().poll_write(cx, data),
                _ => {
                    let mut slices = [IoSlice::new(&[]); AT_ONCE];
                    let mut end = 0;
                    for (slice, part) in slices.iter_mut().zip(&self.parts) {
                        *slice = IoSlice::new(match part {
                            Part::Text(length) => {
                                end += length;
                                &text[end - length..end]
                            }
                            Part::Data(data) => data,
                        });
                    }
                    let count = self.parts.len().min(AT_ONCE);
                    stream.as_mut().poll_write_vectored(cx, &slices[..count])
                }
            };
            match ready!(sent)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.forget(sent),
            }
        }
        if self.is_held {
            ready!(stream.poll_flush(cx))?;
            self.is_held = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes away what has been sent.
    fn forget(&mut self, mut sent: usize) {
        self.length -= sent;
        self.total += sent as u64;
        while let Some(part) = self.parts.front_mut() {
            let here = match part {
                Part::Text(length) => {
                    let here = sent.min(*length);
                    *length -= here;
                    self.place += here;
                    (here, *length)
                }
                Part::Data(data) => {
                    let here = sent.min(data.len());
                    data.advance(here);
                    (here, data.len())
                }
            };
            sent -= here.0;
            if here.1 > 0 {
                return;
            }
            self.parts.pop_front();
        }
        self.text.clear();
        self.place = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn everything_is_sent_once_and_in_order_however_little_is_taken() {
        for room in [1, 3, 1_000, 10_000] {
            let mut outbox = Outbox::default();
            let mut expected = Vec::new();
            for length in [0, 5, COPIED, COPIED + 1, 7, 3_000, 2_000, 1] {
                let data = vec![b'a' + expected.len() as u8 % 26; length];
                expected.extend_from_slice(b"<");
                expected.extend_from_slice(&data);
                outbox.write(|text| text.push(b'<'));
                outbox.push(data.into());
            }
            assert_eq!(outbox.len(), expected.len());
            let (mut here, mut there) = tokio::io::duplex(room);
            let sending = async {
                poll_fn(|cx| outbox.poll_send(cx, Pin::new(&mut here)))
                    .await
                    .unwrap();
                drop(here);
            };
            let mut read = Vec::new();
            let (_, count) = tokio::join!(sending, there.read_to_end(&mut read));
            assert_eq!(count.unwrap(), expected.len());
            assert!(read == expected);
            assert!(outbox.is_empty() && outbox.text.is_empty());
        }
    }

    #[tokio::test]
    async fn what_is_not_sent_yet_keeps_its_place() {
        let mut outbox = Outbox::default();
        let (mut here, mut there) = tokio::io::duplex(3);
        outbox.write(|text| text.extend_from_slice(b"head"));
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        assert!(outbox.poll_send(cx, Pin::new(&mut here)).is_pending());
        outbox.write(|text| text.extend_from_slice(b"tail"));
        let sending = async {
            poll_fn(|cx| outbox.poll_send(cx, Pin::new(&mut here)))
                .await
                .unwrap();
        };
        let mut read = [0; 8];
        let ((), count) = tokio::join!(sending, there.read_exact(&mut read));
        count.unwrap();
        assert_eq!(&read, b"headtail");
    }
}
