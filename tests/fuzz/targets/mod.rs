//! What is fed with hostile bytes. A target panics when a promise is broken; it has no other way to complain.
//!
//! The same functions run under libFuzzer (`fuzz_targets/`) and under the built-in runner (`main.rs`).

pub mod avro;
pub mod configuration;
pub mod forms;
pub mod log_files;
pub mod transcript;
pub mod webhook;

mod router;

/// A target and what its mutations are made of.
#[derive(Clone, Copy)]
pub struct Target {
    /// The name of its folder in `corpus/`, too.
    pub name: &'static str,
    /// Takes one input.
    pub run: fn(&[u8]),
    /// Pieces that are worth more than random bytes.
    pub tokens: &'static [&'static [u8]],
    /// Memory for an input of no bytes ...
    pub memory_bytes_base: usize,
    /// ... and for each of its bytes.
    pub memory_bytes_per_byte: usize,
    /// Inputs as large as are taken at all, made to cost as much as they can.
    pub large: &'static [Large],
}

/// The name of a large input, and how it is made.
pub type Large = (&'static str, fn() -> Vec<u8>);

/// The largest body that stands in its record; larger ones go to the blob store.
pub const LARGE_BYTES: usize = (4 << 20) - (65 << 10);

/// `head`, then `piece` again and again (a number takes the place of `#`), then `tail`: as many bytes as a record takes.
pub fn filled(head: &[u8], piece: &str, tail: &[u8]) -> Vec<u8> {
    let mut input = head.to_vec();
    for number in 0.. {
        let piece = piece.replace('#', &number.to_string());
        if input.len() + piece.len() + tail.len() > LARGE_BYTES {
            break;
        }
        input.extend_from_slice(piece.as_bytes());
    }
    input.extend_from_slice(tail);
    input
}

/// All of them.
pub const TARGETS: &[Target] = &[
    webhook::TARGET,
    forms::TARGET,
    avro::TARGET,
    log_files::TARGET,
    transcript::TARGET,
    configuration::TARGET,
];
