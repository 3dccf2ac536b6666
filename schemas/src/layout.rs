//! Layouts: how many partitions there are, how a tenant's callers are spread, and how rows come from one to the next.
//!
//! A layout never changes in place. A change makes the next generation, with topics of its own; the rows of the one
//! before are handed over by [`Change`], which agrees with what sources compute for the same tenant and caller.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::avro::avro_record;
use crate::partitioning::{KEY_GROUPS, Layout, key_group, slot};
use crate::{Bucket, KeyGroup, Millis, Partition, TenantId};

/// The key of the layout's record in topic `settings`; no tenant is called so.
pub const LAYOUT_KEY: &[u8] = b"_layout";

/// The largest spread: there are so many buckets.
pub const SPREAD_MAX: u16 = 256;

/// The layout of a cluster, as it stands in topic `settings`. `schemas/avro/layout/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayoutRecord {
    /// Where sources write.
    pub shape: Shape,
    /// The layout before: where its rows come from. None for the first.
    pub origin: Option<Shape>,
    /// Whether every partition has its rows, so that nobody needs to look at the layout before.
    pub done: bool,
    /// When it was written.
    pub at: Millis,
}

avro_record!(LayoutRecord, "layout", ["v1"]);

/// One generation of the layout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// From 1; each change makes the next.
    pub generation: u32,
    /// Partitions of each topic but `settings`, 1 to 1,024.
    pub partitions: u16,
    /// Tenants whose spread a change of layout has set; the others have that of their own record.
    pub spreads: Vec<Spread>,
}

/// A tenant too big for a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// The tenant.
    pub tenant: TenantId,
    /// Over how many slots its callers are spread, 1 to 256.
    pub spread: u16,
}

impl Shape {
    /// The first layout: nothing was ever changed.
    pub const fn first(partitions: u16) -> Self {
        Self { generation: 1, partitions, spreads: Vec::new() }
    }

    /// Generation and number of partitions.
    pub const fn layout(&self) -> Layout {
        Layout { generation: self.generation, partitions: self.partitions }
    }

    /// The spread that a change of layout has set for a tenant.
    pub fn spread(&self, tenant: &TenantId) -> Option<u16> {
        self.spreads.iter().find(|one| one.tenant == *tenant).map(|one| one.spread)
    }

    /// Sets a tenant's spread.
    pub fn set_spread(&mut self, tenant: &TenantId, spread: u16) {
        match self.spreads.iter_mut().find(|one| one.tenant == *tenant) {
            Some(one) => one.spread = spread,
            None => self.spreads.push(Spread { tenant: tenant.clone(), spread }),
        }
    }

    /// The key groups of a partition: from the first up to, not including, the last.
    fn key_groups(&self, partition: Partition) -> (u32, u32) {
        let partitions = u32::from(self.partitions.max(1));
        let first = |number: u32| (number * u32::from(KEY_GROUPS)).div_ceil(partitions);
        (first(u32::from(partition.0)), first(u32::from(partition.0) + 1))
    }
}

impl LayoutRecord {
    /// The change that made this layout, if it is not the first.
    pub fn change(&self) -> Option<Change> {
        Some(Change { from: self.origin.clone()?, to: self.shape.clone() })
    }

    /// This layout or the one before, by its generation.
    pub fn of_generation(&self, generation: u32) -> Option<&Shape> {
        [Some(&self.shape), self.origin.as_ref()]
            .into_iter()
            .flatten()
            .find(|shape| shape.generation == generation)
    }
}

/// How rows come from one layout to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where they are.
    pub from: Shape,
    /// Where they go.
    pub to: Shape,
}

impl Change {
    /// The key group, in the new layout, of a row that lies in `key_group` under a caller's bucket or a slot.
    ///
    /// A slot keeps its number, for a spread only grows.
    pub fn key_group(&self, tenant: &TenantId, group: KeyGroup, bucket_or_slot: u8) -> KeyGroup {
        match self.to.spread(tenant) {
            Some(spread) => key_group(tenant, slot(Bucket(bucket_or_slot), spread)),
            None => group,
        }
    }

    /// The key group, in the new layout, of an output record that partition `from` has written.
    ///
    /// `spread` is the tenant's in the new layout, `place` the bucket or slot that the record names, if it does. One
    /// that names none goes where the least slot that the tenant has in `from` goes, which is slot 0 for all but the
    /// largest.
    pub fn record_group(
        &self,
        tenant: Option<&TenantId>,
        spread: u16,
        from: Partition,
        place: Option<u8>,
    ) -> KeyGroup {
        let (first, _) = self.from.key_groups(from);
        let fallback = KeyGroup(u16::try_from(first).unwrap_or(u16::MAX));
        let Some(tenant) = tenant else { return fallback };
        let grown_from = self.grown(tenant);
        if let Some(place) = place {
            let group = key_group(tenant, slot(Bucket(place), spread));
            // Of a tenant that keeps its spread, `from` has nothing that lies elsewhere.
            if grown_from.is_some() || self.from.layout().partition(group) == from {
                return group;
            }
        }
        let groups = (0..grown_from.unwrap_or(spread).max(1)).map(|slot| key_group(tenant, slot));
        groups.into_iter().find(|group| self.from.layout().partition(*group) == from).unwrap_or(fallback)
    }

    /// The spread that a tenant has had, if it is another now.
    fn grown(&self, tenant: &TenantId) -> Option<u16> {
        let (before, now) = (self.from.spread(tenant)?, self.to.spread(tenant)?);
        (before != now).then_some(before)
    }

    /// The old partitions that rows of a new one come from.
    pub fn origins(&self, partition: Partition) -> BTreeSet<Partition> {
        let (from, to) = (self.from.layout(), self.to.layout());
        let (first, behind) = self.to.key_groups(partition);
        let group = |number: u32| KeyGroup(u16::try_from(number).unwrap_or(u16::MAX));
        let mut origins: BTreeSet<Partition> =
            (first..behind).map(|number| from.partition(group(number))).collect();
        for one in &self.to.spreads {
            let Some(before) = self.grown(&one.tenant) else { continue };
            let of = |slot| key_group(&one.tenant, slot);
            if (0..one.spread).any(|slot| to.partition(of(slot)) == partition) {
                origins.extend((0..before).map(|slot| from.partition(of(slot))));
            }
        }
        origins
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partitioning::{Key, bucket};
    use proptest::prelude::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    /// From `before` to `after` partitions, and `summit` from one spread to a larger one.
    fn change(before: u16, after: u16, spreads: Option<(u16, u16)>) -> Change {
        let (mut from, mut to) = (Shape::first(before), Shape { generation: 2, ..Shape::first(after) });
        if let Some((less, more)) = spreads {
            from.set_spread(&tenant("summit"), less);
            to.set_spread(&tenant("summit"), more);
        }
        Change { from, to }
    }

    proptest! {
        /// A row goes where the source sends the same caller's next event, and its new partition asks its old one.
        #[test]
        fn every_callers_row_goes_where_sources_send_the_caller(
            before in 1..=1_024_u16, after in 1..=1_024_u16, less in 1..=16_u16, more in 0..=240_u16,
            caller in "\\PC{0,20}", name in "[a-z]{1,8}|summit",
        ) {
            let (more, tenant) = (less + more, tenant(&name));
            let change = change(before, after, Some((less, more)));
            let spread_of = |shape: &Shape| shape.spread(&tenant).unwrap_or(1);
            let old = Key::new(tenant.clone(), &caller, spread_of(&change.from));
            let new = Key::new(tenant.clone(), &caller, spread_of(&change.to));
            prop_assert_eq!(change.key_group(&tenant, old.key_group, old.bucket.0), new.key_group);
            let place = |layout: Layout, group| layout.partition(group);
            let at = place(change.to.layout(), new.key_group);
            prop_assert!(change.origins(at).contains(&place(change.from.layout(), old.key_group)));
        }

        /// A slot's windows stay under their number, and lie where its callers of today count.
        #[test]
        fn a_slots_row_keeps_its_slot(
            before in 1..=1_024_u16, after in 1..=1_024_u16, less in 1..=16_u16, more in 0..=240_u16, which: u16,
        ) {
            let (tenant, slot_number) = (tenant("summit"), which % less);
            let change = change(before, after, Some((less, less + more)));
            let old = key_group(&tenant, slot_number);
            let new = change.key_group(&tenant, old, u8::try_from(slot_number).unwrap());
            prop_assert_eq!(new, key_group(&tenant, slot_number));
            let (from, to) = (change.from.layout(), change.to.layout());
            prop_assert!(change.origins(to.partition(new)).contains(&from.partition(old)));
        }

        /// An output record has one new place, among those that ask the partition that wrote it.
        #[test]
        fn every_record_has_one_place_that_asks_for_it(
            before in 1..=64_u16, after in 1..=64_u16, less in 1..=8_u16, more in 0..=24_u16,
            place: Option<u8>, from: u16, name in "[a-z]{1,8}|summit", has_tenant: bool,
        ) {
            let (tenant, change) = (tenant(&name), change(before, after, Some((less, less + more))));
            let spread = change.to.spread(&tenant).unwrap_or(1);
            let from = Partition(from % before);
            let group = change.record_group(has_tenant.then_some(&tenant), spread, from, place);
            let to = change.to.layout().partition(group);
            let grown_elsewhere = has_tenant && change.grown(&tenant).is_some_and(|before| {
                (0..before).all(|slot| change.from.layout().partition(key_group(&tenant, slot)) != from)
            });
            // What a partition holds of a tenant is of one of its slots.
            prop_assert!(grown_elsewhere || change.origins(to).contains(&from), "{group:?} {to} {from}");
        }
    }

    #[test]
    fn partitions_are_halved_without_mixing() {
        let change = change(8, 16, None);
        for number in 0..16 {
            assert_eq!(change.origins(Partition(number)), BTreeSet::from([Partition(number / 2)]));
        }
        let back = self::change(16, 8, None);
        assert_eq!(back.origins(Partition(3)), BTreeSet::from([Partition(6), Partition(7)]));
    }

    #[test]
    fn a_tenant_that_is_spread_comes_from_where_it_was_and_others_stay() {
        let change = change(8, 8, Some((1, 8)));
        let was = change.from.layout().partition(key_group(&tenant("summit"), 0));
        let now: BTreeSet<Partition> =
            (0..8).map(|slot| change.to.layout().partition(key_group(&tenant("summit"), slot))).collect();
        assert!(now.len() > 3, "eight slots lie in {now:?}");
        for number in (0..8).map(Partition) {
            let expected =
                if now.contains(&number) { BTreeSet::from([number, was]) } else { [number].into() };
            assert_eq!(change.origins(number), expected);
        }
        let other = tenant("other");
        let group = key_group(&other, 0);
        assert_eq!(change.key_group(&other, group, bucket("+13035550142").0), group);
    }
}
