//! The contracts between the engine and the outside: when the engine calls what, and what each error means.

pub mod assignment;
pub mod blob;
pub mod clock;
pub mod disk;
pub mod log;
pub mod provider;
pub mod schema;
pub mod secrets;
pub mod share;
pub mod sink;
pub mod source;
pub mod state;
pub mod store;
pub mod switch;
pub mod tenants;
pub mod tokens;
pub mod wire;

use std::future::Future;
use std::pin::Pin;

/// A future that a contract hands out; boxed, because contracts are used as trait objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
