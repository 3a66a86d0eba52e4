//! Memory that exchanges hand on to each other.
//!
//! A connection that waits holds none, so that each exchange needs some. To get it from an allocator
//! costs as much as to write the head of a request, and what was used just now is still near the
//! processor: allocators tend to hand out what was not used for longest.

use std::cell::{Cell, RefCell};
use std::io;
use std::task::Poll;

use bytes::BytesMut;

/// Room for a request's head, and for an answer that is not worth more.
pub(super) const SHORT: usize = 8 * 1024;
/// Room for 64 KiB of an answer and its head: what many send at once comes with one read.
const LONG: usize = 68 * 1024;
/// So many short ones are kept by each thread.
const KEPT: usize = 16;

thread_local! {
    /// The last used at the end. Parts of them may still be on their way to clients.
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
    /// What all connections of the thread read into. Of what is long its parts may still be on their
    /// way to clients; then what is behind them is used, or it is left to them.
    static READING: Cell<BytesMut> = Cell::new(BytesMut::new());
}

/// An empty buffer of [`SHORT`] bytes.
pub(super) fn take() -> BytesMut {
    let spare = SPARE.try_with(|spare| spare.borrow_mut().pop());
    if let Ok(Some(mut spare)) = spare {
        spare.clear();
        // One that has grown is not kept, since there may be many.
        if spare.try_reclaim(SHORT) && spare.capacity() < 2 * SHORT {
            return spare;
        }
    }
    BytesMut::with_capacity(SHORT)
}

/// Keeps what is no longer needed, if there is room.
pub(super) fn give(buffer: BytesMut) {
    if buffer.capacity() == 0 {
        return;
    }
    // A thread that ends keeps nothing.
    let _ = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if spare.len() < KEPT {
            spare.push(buffer);
        }
    });
}

/// Reads behind what has been read: as much as there is, up to some 60 KiB. Where nothing comes,
/// nothing is held, and what is short is not held in a long buffer.
pub(super) fn poll_read(
    read: &mut BytesMut,
    poll: impl FnOnce(&mut BytesMut) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<usize>> {
    if read.len() > SHORT {
        read.reserve(LONG);
        return poll(read);
    }
    let mut reading = READING.take();
    if !reading.try_reclaim(LONG) && reading.capacity() < LONG / 2 {
        reading = BytesMut::with_capacity(LONG);
    }
    reading.extend_from_slice(read);
    let polled = poll(&mut reading);
    if let Poll::Ready(Ok(1..)) = polled {
        if reading.len() > SHORT {
            *read = reading.split();
        } else {
            read.clear();
            if read.capacity() < reading.len() {
                *read = take();
            }
            read.extend_from_slice(&reading);
        }
    }
    reading.clear();
    READING.set(reading);
    polled
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads so much at once.
    fn hear(read: &mut BytesMut, length: usize) -> usize {
        let polled = poll_read(read, |room| {
            let length = length.min(room.capacity() - room.len());
            room.extend_from_slice(&vec![b'x'; length]);
            Poll::Ready(Ok(length))
        });
        let Poll::Ready(Ok(count)) = polled else {
            panic!("{polled:?}");
        };
        count
    }

    #[test]
    fn a_buffer_is_used_again_once_nothing_of_it_is_under_way() {
        let mut buffer = take();
        buffer.extend_from_slice(b"answer");
        let (place, part) = (buffer.as_ptr(), buffer.split().freeze());
        give(buffer);
        let other = take();
        assert_ne!(other.as_ptr(), place);
        assert_eq!(part, "answer");

        let (place, mut other) = (other.as_ptr(), other);
        other.extend_from_slice(b"other");
        drop(other.split().freeze());
        give(other);
        let again = take();
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        assert!(again.capacity() >= SHORT);
    }

    #[test]
    fn only_few_and_small_ones_are_kept() {
        give(BytesMut::with_capacity(4 * SHORT));
        assert!(take().capacity() < 2 * SHORT);
        for _ in 0..2 * KEPT {
            give(BytesMut::with_capacity(SHORT));
        }
        assert_eq!(SPARE.with_borrow(Vec::len), KEPT);
    }

    #[test]
    fn who_waits_holds_nothing_and_who_reads_little_holds_little() {
        let mut read = BytesMut::new();
        assert!(poll_read(&mut read, |_| Poll::Pending).is_pending());
        assert_eq!(read.capacity(), 0);
        assert_eq!(hear(&mut read, 1_000), 1_000);
        assert_eq!(hear(&mut read, 1_000), 1_000);
        assert!(read.capacity() < 2 * SHORT);
        assert_eq!(read, vec![b'x'; 2_000]);

        let place = |length| {
            let mut read = BytesMut::new();
            hear(&mut read, length);
            read.as_ptr()
        };
        let before = place(60_000);
        hear(&mut read, 1_000);
        assert_eq!(place(60_000), before, "nothing of the long buffer is held");
    }

    #[test]
    fn long_answers_are_read_at_once_into_memory_that_is_used_again() {
        let mut places = Vec::new();
        for _ in 0..3 {
            let mut read = BytesMut::new();
            assert_eq!(hear(&mut read, 65_536 + 300), 65_836);
            places.push(read.as_ptr());
        }
        assert_eq!(places, [places[0]; 3]);
    }

    #[test]
    fn what_is_on_its_way_is_not_overwritten() {
        let mut parts = Vec::new();
        let mut read = BytesMut::from(&b"begun"[..]);
        for length in [20_000, 30_000, 60_000, 9_000, 60_000] {
            let before = read.len();
            assert_eq!(hear(&mut read, length), length);
            assert_eq!(read.len(), before + length);
            let mut whole = read.split();
            whole.fill(b'0' + parts.len() as u8);
            parts.push(whole.freeze());
        }
        for (place, part) in parts.iter().enumerate() {
            assert!(part.iter().all(|byte| *byte == b'0' + place as u8));
        }
    }
}
