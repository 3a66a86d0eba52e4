//! Buffers that exchanges hand on to each other.
//!
//! A connection that waits holds none, so that each exchange needs one. To get it from an allocator
//! costs as much as to write the head of a request.

use std::cell::RefCell;
use std::collections::VecDeque;

use bytes::BytesMut;

/// Room for a request's head, and then for the beginning of an answer: as a rule for all of it.
pub(super) const BUFFER: usize = 8 * 1024;
/// So many are kept by each thread.
const KEPT: usize = 16;

thread_local! {
    /// The longest unused first. Parts of them may still be on their way to clients.
    static SPARE: RefCell<VecDeque<BytesMut>> = const { RefCell::new(VecDeque::new()) };
}

/// An empty buffer of [`BUFFER`] bytes.
pub(super) fn take() -> BytesMut {
    let spare = SPARE.try_with(|spare| spare.borrow_mut().pop_front());
    if let Ok(Some(mut spare)) = spare {
        spare.clear();
        // One that has grown is not kept, since there may be many.
        if spare.try_reclaim(BUFFER) && spare.capacity() < 2 * BUFFER {
            return spare;
        }
    }
    BytesMut::with_capacity(BUFFER)
}

/// Keeps what is no longer needed, if there is room.
pub(super) fn give(buffer: BytesMut) {
    // A thread that ends keeps nothing.
    let _ = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if spare.len() < KEPT {
            spare.push_back(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(again.capacity() >= BUFFER);
    }

    #[test]
    fn only_few_and_small_ones_are_kept() {
        give(BytesMut::with_capacity(4 * BUFFER));
        assert!(take().capacity() < 2 * BUFFER);
        for _ in 0..2 * KEPT {
            give(BytesMut::with_capacity(BUFFER));
        }
        assert_eq!(SPARE.with_borrow(VecDeque::len), KEPT);
    }
}
