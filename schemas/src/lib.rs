//! See ARCHITECTURE.md.

pub mod score;
