//! Inputs out of a corpus: a seed and a few changes to it, as a proptest strategy, so that what fails shrinks.

use proptest::prelude::*;
use proptest::sample::Index;

/// The largest input; what grows with its square would show long before.
const INPUT_BYTES_MAX: usize = 64 << 10;

/// One change.
#[derive(Clone, Debug)]
enum Change {
    FlipBit(Index, u8),
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    /// A piece that means something to the target.
    Token(Index, Index),
    Remove(Index, Index),
    Repeat(Index, Index, u8),
    /// A piece of another seed.
    Splice(Index, Index, Index),
    Cut(Index),
}

fn any_change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        3 => (at(), 0..8_u8).prop_map(|(place, bit)| Change::FlipBit(place, bit)),
        3 => (at(), any::<u8>()).prop_map(|(place, byte)| Change::Set(place, byte)),
        2 => (at(), prop::collection::vec(any::<u8>(), 1..12)).prop_map(|(place, bytes)| Change::Insert(place, bytes)),
        6 => (at(), at()).prop_map(|(place, token)| Change::Token(place, token)),
        2 => (at(), at()).prop_map(|(place, length)| Change::Remove(place, length)),
        2 => (at(), at(), 1..200_u8).prop_map(|(place, length, times)| Change::Repeat(place, length, times)),
        2 => (at(), at(), at()).prop_map(|(place, seed, from)| Change::Splice(place, seed, from)),
        1 => at().prop_map(Change::Cut),
    ]
}

/// Inputs near the seeds. There is at least one seed, be it empty.
pub fn near(seeds: Vec<Vec<u8>>, tokens: &'static [&'static [u8]]) -> impl Strategy<Value = Vec<u8>> {
    (any::<Index>(), prop::collection::vec(any_change(), 0..10)).prop_map(move |(seed, changes)| {
        let mut input = seeds[seed.index(seeds.len())].clone();
        for change in &changes {
            apply(&mut input, change, &seeds, tokens);
            input.truncate(INPUT_BYTES_MAX);
        }
        input
    })
}

fn apply(input: &mut Vec<u8>, change: &Change, seeds: &[Vec<u8>], tokens: &[&[u8]]) {
    let place_in = |place: &Index, input: &[u8]| place.index(input.len() + 1);
    match change {
        Change::FlipBit(place, bit) if !input.is_empty() => {
            let place = place.index(input.len());
            input[place] ^= 1 << bit;
        }
        Change::Set(place, byte) if !input.is_empty() => {
            let place = place.index(input.len());
            input[place] = *byte;
        }
        Change::FlipBit(..) | Change::Set(..) => {}
        Change::Insert(place, bytes) => {
            let place = place_in(place, input);
            input.splice(place..place, bytes.iter().copied());
        }
        Change::Token(place, token) => {
            let (place, token) = (place_in(place, input), tokens[token.index(tokens.len())]);
            input.splice(place..place, token.iter().copied());
        }
        Change::Remove(place, length) => {
            let place = place_in(place, input);
            let length = length.index(input.len() - place + 1);
            input.drain(place..place + length);
        }
        Change::Repeat(place, length, times) => {
            let place = place_in(place, input);
            let piece = input[place..place + length.index((input.len() - place + 1).min(64))].to_vec();
            input.splice(place..place, piece.repeat(usize::from(*times)));
        }
        Change::Splice(place, seed, from) => {
            let seed = &seeds[seed.index(seeds.len())];
            let piece = seed[from.index(seed.len() + 1)..].to_vec();
            let place = place_in(place, input);
            input.splice(place..place, piece);
        }
        Change::Cut(place) => input.truncate(place_in(place, input)),
    }
}
