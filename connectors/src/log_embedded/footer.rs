//! Footer: the index of a sealed segment, behind its last frame.
//!
//! It is derived from the frames and can always be made again: a missing or damaged one costs a scan, nothing
//! else. It is written only after the next segment's header is durable, which says where it stands.
//!
//! Head: magic, CRC32C of the rest of the head, CRC32C of the body, incarnation, bytes of the body. Body: for each
//! slot with records its number and count, then position and length of each.

use super::codec::Fields;
use super::frame::FRAME_HEADER_BYTES;
use super::header::frames_at;
use super::index::{Entry, Index};
use crate::contract::disk::DiskFile;

const MAGIC: [u8; 8] = *b"LEADFOOT";
const HEAD_BYTES: usize = 32;

pub(crate) fn encode(index: &Index, incarnation: u64) -> Vec<u8> {
    let mut body = Vec::new();
    for (slot, entries) in index.iter() {
        body.extend_from_slice(&u32::try_from(slot).unwrap_or(u32::MAX).to_le_bytes());
        body.extend_from_slice(&u32::try_from(entries.len()).unwrap_or(u32::MAX).to_le_bytes());
        for entry in entries {
            body.extend_from_slice(&entry.position.to_le_bytes());
            body.extend_from_slice(&entry.bytes.to_le_bytes());
        }
    }
    let mut fields = Vec::with_capacity(HEAD_BYTES);
    fields.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
    fields.extend_from_slice(&incarnation.to_le_bytes());
    fields.extend_from_slice(&(body.len() as u64).to_le_bytes());
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&crc32c::crc32c(&fields).to_le_bytes());
    bytes.append(&mut fields);
    bytes.append(&mut body);
    bytes
}

/// The body's CRC32C and length, if a footer of this incarnation stands at `end`.
pub(crate) fn read_head(file: &dyn DiskFile, end: u64, incarnation: u64) -> Option<(u32, u64)> {
    let mut head = [0; HEAD_BYTES];
    file.read_at(&mut head, end).ok()?;
    let mut fields = Fields(&head);
    if fields.array() != Some(MAGIC) {
        return None;
    }
    let crc = fields.u32()?;
    if crc32c::crc32c(fields.0) != crc {
        return None;
    }
    let body_crc = fields.u32()?;
    if fields.u64()? != incarnation {
        return None;
    }
    let bytes = fields.u64()?;
    let length = file.length().ok()?;
    (end.saturating_add(HEAD_BYTES as u64).saturating_add(bytes) <= length).then_some((body_crc, bytes))
}

/// The index, if a whole and right footer stands at `end`.
pub(crate) fn read(file: &dyn DiskFile, end: u64, incarnation: u64, slots: usize) -> Option<Index> {
    let (crc, bytes) = read_head(file, end, incarnation)?;
    let mut body = vec![0; usize::try_from(bytes).ok()?];
    file.read_at(&mut body, end + HEAD_BYTES as u64).ok()?;
    if crc32c::crc32c(&body) != crc {
        return None;
    }
    let mut index = Index::new(slots);
    let mut fields = Fields(&body);
    let mut next_slot = 0;
    while !fields.0.is_empty() {
        let slot = fields.u32()? as usize;
        if slot < next_slot {
            return None;
        }
        next_slot = slot + 1;
        let mut from = frames_at(slots);
        for _ in 0..fields.u32()? {
            let entry = Entry { position: fields.u32()?, bytes: fields.u32()? };
            let (position, bytes) = (u64::from(entry.position), u64::from(entry.bytes));
            // A reader relies on it: frames of one slot follow each other, before the segment's end.
            if slot >= slots || position < from || bytes < FRAME_HEADER_BYTES as u64 || position + bytes > end
            {
                return None;
            }
            from = position + bytes;
            index.push(slot, entry);
        }
    }
    Some(index)
}
