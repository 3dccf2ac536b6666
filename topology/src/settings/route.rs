//! Route: a layout and its log, and how an event is addressed in it.

use std::sync::Arc;

use bytes::Bytes;
use leadline_connectors::contract::log::Log;
use leadline_schemas::avro::AvroError;
use leadline_schemas::inbound::Inbound;
use leadline_schemas::layout::Shape;
use leadline_schemas::{Partition, partitioning};

use crate::appends::Appends;

/// Where events go: a layout and its log.
pub(super) struct Route {
    pub(super) shape: Shape,
    pub(super) log: Arc<dyn Log>,
    pub(super) appends: Appends,
}

impl Route {
    pub(super) fn new(shape: Shape, log: Arc<dyn Log>) -> Self {
        Self { shape, appends: Appends::new(Arc::clone(&log)), log }
    }

    /// Where this layout has an event's tenant and caller, wherever another would have them, and how the event is written
    /// there if not as it is. `spread` is the tenant's in this layout, where changes of layout have set it.
    pub(super) fn address(
        &self,
        event: &Inbound,
        spread: Option<u16>,
    ) -> Result<(Partition, Option<Bytes>), AvroError> {
        let key_group = match spread {
            Some(spread) => partitioning::key_group(&event.tenant, partitioning::slot(event.bucket, spread)),
            None => event.key_group,
        };
        let changed = match key_group == event.key_group {
            true => None,
            false => Some(written(&Inbound { key_group, ..event.clone() })?),
        };
        Ok((self.shape.layout().partition(key_group), changed))
    }
}

/// An event as it lies on the log.
pub(super) fn written(event: &Inbound) -> Result<Bytes, AvroError> {
    event.encode().map(Bytes::from)
}
