//! The leadline binary.
fn main() {}
