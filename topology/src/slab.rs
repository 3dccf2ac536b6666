//! Slab: bytes that are written once and read by other threads, many in one allocation.
//!
//! What one thread allocates and another frees costs an allocator some 200 ns, and a value that came as a vector needs a
//! second allocation when it is shared. Here a value is a part of a piece of memory that ends with the last of its parts.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};

/// Bytes of a piece. A value that is kept for long keeps all of its piece, so it is small.
const PIECE_BYTES: usize = 64 << 10;

/// What a thread writes with.
#[derive(Default)]
struct Slab {
    scratch: Vec<u8>,
    piece: BytesMut,
}

thread_local! {
    static SLAB: RefCell<Slab> = RefCell::default();
}

/// What `write` appends to its bytes, to be shared.
pub(crate) fn written<E>(write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<Bytes, E> {
    SLAB.with_borrow_mut(|Slab { scratch, piece }| {
        scratch.clear();
        write(scratch)?;
        if scratch.len() > PIECE_BYTES / 4 {
            // The next ones begin with room of their own.
            return Ok(Bytes::from(std::mem::take(scratch)));
        }
        if piece.capacity() < scratch.len() {
            *piece = BytesMut::with_capacity(PIECE_BYTES);
        }
        piece.extend_from_slice(scratch);
        Ok(piece.split().freeze())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(value: &[u8]) -> Bytes {
        let written: Result<Bytes, ()> = written(|bytes| {
            bytes.extend_from_slice(value);
            Ok(())
        });
        written.unwrap()
    }

    #[test]
    fn values_of_all_sizes_are_what_was_written_and_small_ones_lie_side_by_side() {
        let sizes = [0, 1, 1_200, 1_200, PIECE_BYTES / 4, PIECE_BYTES / 4 + 1, 1 << 20, 7, PIECE_BYTES / 4];
        let values: Vec<Vec<u8>> =
            (0_u8..).zip(sizes.repeat(20)).map(|(byte, size)| vec![byte; size]).collect();
        let shared: Vec<Bytes> = values.iter().map(|value| write(value)).collect();
        assert!(shared.iter().zip(&values).all(|(shared, value)| shared[..] == value[..]));
        let (one, next) = (write(b"one"), write(b"next"));
        assert_eq!(one.as_ptr().wrapping_add(one.len()), next.as_ptr());
    }

    #[test]
    fn what_could_not_be_written_leaves_nothing_behind() {
        let failed: Result<Bytes, &str> = written(|bytes| {
            bytes.extend_from_slice(b"half");
            Err("no")
        });
        assert_eq!(failed, Err("no"));
        assert_eq!(write(b"whole"), "whole");
    }
}
