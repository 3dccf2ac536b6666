//! Cloud Spanner's interface on a real PostgreSQL, for tests: gRPC as the published protos have it, and the part of the
//! admin's REST that changes schemas. Where no emulator can be installed, this is what a record store is tried on.
//!
//! What is real: serializable transactions, and their aborts; constraints; whole commits or none. What it adds of
//! Spanner's own: 80,000 mutations and 10 MB a cell, sessions, inline begin, precommit tokens, commit timestamps, a
//! commit that is sent twice, chunked values. Stale reads are answered from the present. What leadline does not use is
//! refused by name, and so is a parameter without a type.

mod catalog;
mod commit;
mod ddl;
mod faults;
mod grpc;
mod postgres;
mod query;
mod rest;
mod server;
mod sessions;
mod transactions;
mod values;

use std::sync::Arc;

pub use faults::{Faults, Lost, Seen};

use postgres::Postgres;
use server::Server;

/// A running front, with no database in it.
pub struct SpannerFront {
    pub port: u16,
    server: Arc<Server>,
    /// Dropped with the front: nothing of it runs on.
    runtime: Option<tokio::runtime::Runtime>,
    /// Behind the runtime, so that its connections are gone first.
    _postgres: Postgres,
}

impl SpannerFront {
    /// Starts one; none, said loudly, where PostgreSQL is missing. In CI that is a failure.
    pub fn start() -> Option<Arc<Self>> {
        let postgres = Postgres::start()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("spanner-front")
            .enable_all()
            .build()
            .unwrap();
        let server = Arc::new(Server::new(postgres.port));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        runtime.spawn(grpc::serve(Arc::clone(&server), listener));
        Some(Arc::new(Self { port, server, runtime: Some(runtime), _postgres: postgres }))
    }

    /// As SPANNER_EMULATOR_HOST has it.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What goes wrong next.
    pub fn faults(&self) -> &Faults {
        &self.server.faults
    }

    /// What was asked so far.
    pub fn seen(&self) -> &Seen {
        &self.server.seen
    }
}

impl Drop for SpannerFront {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
