//! See bench/README.md.
