//! leadline on real Kafka brokers: several processes of the real binary share the work.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(unreachable_pub, reason = "a program: its modules are its own")]

mod company;
mod foreign;
mod layout;
mod network;
mod oracle;
mod provider;
mod redeploy;
mod registry;
mod shared;
mod spool;
mod stops;
mod topics;
mod workers;
