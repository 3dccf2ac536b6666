//! See ARCHITECTURE.md.

pub mod rules;
