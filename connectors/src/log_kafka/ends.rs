//! Ends: the newest commits of several partitions, asked for all at once.

use std::collections::BTreeMap;
use std::thread::ScopedJoinHandle;

use leadline_schemas::Partition;

use super::frames::Frames;
use crate::contract::log::ReadError;

/// The number of each partition's newest commit, as far as brokers told.
pub(super) type Ends = BTreeMap<Partition, Result<u64, ReadError>>;

impl Frames {
    /// [`Frames::end`] of each of them: it takes two answers of the brokers, so all are asked at once.
    pub(super) fn ends(&self, partitions: impl Iterator<Item = Partition>) -> Ends {
        std::thread::scope(|threads| {
            let ask = |partition| {
                let asking = std::thread::Builder::new().spawn_scoped(threads, move || self.end(partition));
                (partition, asking)
            };
            let asking: Vec<_> = partitions.map(ask).collect();
            let told = |(partition, asking): (Partition, std::io::Result<ScopedJoinHandle<'_, _>>)| {
                let end = match asking {
                    Ok(asking) => asking.join().unwrap_or_else(|_| {
                        Err(ReadError::Unavailable("asking for it has panicked".to_owned()))
                    }),
                    Err(error) => Err(ReadError::Unavailable(format!("no thread to ask: {error}"))),
                };
                (partition, end)
            };
            asking.into_iter().map(told).collect()
        })
    }
}
