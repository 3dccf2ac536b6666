//! The record store on Cloud Spanner (feature `spanner`): for many processes, and more rows than one disk.
//!
//! Rows are `insert_or_update`d in a read-write transaction that first reads the progress of each partition it moves,
//! and writes nothing where that is not what it was built on: single-use commits are not protected against replays. Such
//! a transaction may be aborted (it then runs again, as a whole, after the server's delay), be sent twice, or lose its
//! answer; all of that ends in the progress that the next one reads.
//!
//! A `write` may be several transactions: each stays far below what Spanner takes ([`limits`]) and is one step of
//! progress, which may lie inside a commit (`part_number`, `part_rows`). So readers may see a part of a commit that has
//! more than [`limits::ROWS_MAX`] rows; it is gone on with where it stopped.
//!
//! Lists are read with bounded staleness, from the nearest replica; single records as they are now. The client speaks
//! async: a small runtime of its own answers these contracts, whose calls block.

mod ask;
mod chunk;
mod config;
mod cursor;
mod ddl;
mod error;
pub mod limits;
mod link;
mod reader;
mod rows;
mod schema;
mod steering;
mod tenants;
#[cfg(test)]
mod tests;
mod values;
mod writer;

pub use config::SpannerConfig;
pub use reader::SpannerReader;
pub use schema::SpannerSchema;
pub use writer::SpannerWriter;
