//! Objects in pieces: file work on blocking threads, a bounded piece at a time.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};

use super::fresh::Fresh;
use super::place::{Folder, Opened};
use super::{FolderBlob, Trouble, blocking};
use crate::contract::blob::{About, BlobError, BlobStream, Created, Stat};

/// What is gathered before a write: a hop to a blocking thread costs some 20 µs, and a core's cache holds as much.
const GATHERED_BYTES: usize = 256 << 10;
/// What is read at once: a reader holds some pieces of it.
const PIECE_BYTES: usize = 64 << 10;
/// Rooms to gather in that are kept: 1 MiB.
const GATHERING_MAX: usize = 4;
/// Rooms that are kept of one stream: more pieces than its reader holds.
const ROOMS_MAX: usize = 8;

impl FolderBlob {
    pub(super) async fn write_stream(
        &self,
        name: String,
        about: About,
        mut content: BlobStream,
    ) -> Result<(Created, Stat), BlobError> {
        let folder = Arc::clone(&self.folder);
        let mut fresh = blocking(&name, move || folder.fresh().map_err(Trouble::from)).await?;
        // One room, which goes there and back: what a piece came in, often larger than the piece, is given back at once,
        // by the thread that made it.
        let mut gathered = self.folder.gathering.take();
        while let Some(piece) = content.next().await {
            let mut piece = piece?;
            while !piece.is_empty() {
                let room = GATHERED_BYTES.saturating_sub(gathered.len());
                gathered.extend_from_slice(&piece.split_to(room.min(piece.len())));
                if gathered.len() >= GATHERED_BYTES {
                    let folder = Arc::clone(&self.folder);
                    (fresh, gathered) = blocking(&name, move || written(&folder, fresh, gathered)).await?;
                }
            }
        }
        let (folder, object) = (Arc::clone(&self.folder), name.clone());
        blocking(&name, move || {
            let (fresh, gathered) = written(&folder, fresh, gathered)?;
            folder.gathering.give(gathered);
            fresh.sync()?;
            let stat = Stat { bytes: fresh.bytes(), crc32c: fresh.crc32c(), about };
            match folder.place(&object, fresh, &stat.about)? {
                Created::New => Ok((Created::New, stat)),
                Created::Exists => {
                    let there = folder.open_object(&object, None)?;
                    let gone = || Trouble::Io(std::io::Error::other("it was removed while it was created"));
                    Ok((Created::Exists, there.ok_or_else(gone)?.stat))
                }
            }
        })
        .await
    }
}

/// Writes what was gathered; its room comes back empty.
fn written(folder: &Folder, mut fresh: Fresh, mut gathered: Vec<u8>) -> Result<(Fresh, Vec<u8>), Trouble> {
    folder.check_room()?;
    fresh.write(&gathered)?;
    gathered.clear();
    Ok((fresh, gathered))
}

/// Rooms to gather in that nobody needs now. An allocator keeps what is let go of for a while, in each thread and each size,
/// and a room that grows has had every size: streams one after the other use the same instead.
#[derive(Default)]
pub(super) struct Gathering(Mutex<Vec<Vec<u8>>>);

impl Gathering {
    /// An empty one.
    fn take(&self) -> Vec<u8> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| Vec::with_capacity(GATHERED_BYTES))
    }

    /// Keeps it for the next stream, unless there are some already.
    fn give(&self, room: Vec<u8>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < GATHERING_MAX {
            kept.push(room);
        }
    }
}

/// Rooms of pieces; each is used again once nobody holds its piece any more.
#[derive(Default)]
struct Rooms(VecDeque<BytesMut>);

impl Rooms {
    /// One of this length.
    fn take(&mut self, bytes: usize) -> BytesMut {
        // The oldest piece was let go of first.
        let used = self.0.front_mut().is_some_and(|room| room.try_reclaim(bytes));
        let mut room = if used { self.0.pop_front().unwrap_or_default() } else { BytesMut::new() };
        room.resize(bytes, 0);
        room
    }

    /// Keeps what is left of a room whose piece somebody holds.
    fn keep(&mut self, mut room: BytesMut) {
        room.clear();
        if self.0.len() == ROOMS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(room);
    }
}

/// What is left of an object that is read in pieces.
struct Reading {
    name: String,
    opened: Opened,
    left: u64,
    rooms: Rooms,
    /// Of what was read; none where only a part is.
    crc32c: Option<u32>,
}

/// The bytes of an opened object.
pub(super) fn read_stream(name: String, opened: Opened) -> BlobStream {
    let left = opened.range.end - opened.range.start;
    let crc32c = (left == opened.stat.bytes).then_some(0);
    let reading = Reading { name, opened, left, rooms: Rooms::default(), crc32c };
    Box::pin(stream::try_unfold(reading, |mut reading| async move {
        let name = reading.name.clone();
        // By the runtime's threads, which are few: blocking threads are many, and each would keep what it has made.
        let bytes = usize::try_from(reading.left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        let room = reading.rooms.take(bytes);
        blocking(&name, move || next(reading, room)).await
    }))
}

fn next(mut reading: Reading, mut room: BytesMut) -> Result<Option<(Bytes, Reading)>, Trouble> {
    let Reading { opened, left, rooms, crc32c, .. } = &mut reading;
    if *left == 0 {
        return match crc32c {
            Some(crc32c) if *crc32c != opened.stat.crc32c => Err(Trouble::Damaged(format!(
                "its content has CRC32C {crc32c:08x}, and {:08x} was written",
                opened.stat.crc32c
            ))),
            _ => Ok(None),
        };
    }
    let read = opened.file.read(&mut room)?;
    if read == 0 {
        return Err(Trouble::Damaged(format!("it ends {left} bytes early")));
    }
    let piece = room.split_to(read).freeze();
    rooms.keep(room);
    *left -= read as u64;
    if let Some(crc32c) = crc32c {
        *crc32c = crc32c::crc32c_append(*crc32c, &piece);
    }
    Ok(Some((piece, reading)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_used_again_once_its_piece_was_let_go_of() {
        let mut rooms = Rooms::default();
        let mut piece = || {
            let mut room = rooms.take(PIECE_BYTES);
            let piece = room.split_to(PIECE_BYTES).freeze();
            rooms.keep(room);
            piece
        };
        let (first, second) = (piece(), piece());
        let (first_at, second_at) = (first.as_ptr(), second.as_ptr());
        assert_ne!(first_at, second_at, "somebody holds the first");
        drop(first);
        let third = piece();
        assert_eq!((third.as_ptr(), third.len()), (first_at, PIECE_BYTES));
        drop(second);
        assert_eq!(piece().as_ptr(), second_at);
        // Who holds all of them gets others, and no more than a few are kept.
        let held: Vec<Bytes> = (0..2 * ROOMS_MAX).map(|_| piece()).collect();
        assert_eq!(
            held.iter().map(|piece| piece.as_ptr()).collect::<std::collections::BTreeSet<_>>().len(),
            16
        );
        assert_eq!(rooms.0.len(), ROOMS_MAX);
    }
}
