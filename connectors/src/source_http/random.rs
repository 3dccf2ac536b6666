//! Random ids for events, drawn from the system many at a time: a system call for each took 2% of a webhook.

use std::cell::RefCell;

use ring::rand::{SecureRandom, SystemRandom};

/// Bytes of an id.
const ID_BYTES: usize = 16;
/// Bytes drawn at a time, by each thread.
const DRAW_BYTES: usize = 64 * ID_BYTES;

/// What a thread has drawn and not used.
struct Drawn {
    bytes: [u8; DRAW_BYTES],
    used: usize,
}

thread_local! {
    static DRAWN: RefCell<Drawn> = const { RefCell::new(Drawn { bytes: [0; DRAW_BYTES], used: DRAW_BYTES }) };
}

/// 128 random bits that no other call gets; none where the system has no randomness.
pub(super) fn random_id(system: &SystemRandom) -> Option<[u8; ID_BYTES]> {
    DRAWN.with_borrow_mut(|drawn| {
        if drawn.used + ID_BYTES > DRAW_BYTES {
            system.fill(&mut drawn.bytes).ok()?;
            drawn.used = 0;
        }
        let id = drawn.bytes.get(drawn.used..)?.first_chunk().copied();
        drawn.used += ID_BYTES;
        id
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_ids_are_the_same_on_any_thread() {
        let system = SystemRandom::new();
        let draw = || (0..1_000).map(|_| random_id(&system).unwrap()).collect::<Vec<_>>();
        let drawn = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(draw)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(drawn.iter().collect::<HashSet<_>>().len(), 4_000);
    }
}
