//! Objects in pieces: file work on blocking threads, a bounded piece at a time.

use std::io::Read;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};

use super::fresh::Fresh;
use super::place::{Folder, Opened};
use super::{FolderBlob, Trouble, blocking};
use crate::contract::blob::{About, BlobError, BlobStream, Created, Stat};

/// What is gathered before a write, and read at once: a hop to a blocking thread costs some 20 µs. Allocators keep larger
/// pieces that one thread makes and another frees for quite a while.
const PIECE_BYTES: usize = 64 << 10;

impl FolderBlob {
    pub(super) async fn write_stream(
        &self,
        name: String,
        about: About,
        mut content: BlobStream,
    ) -> Result<(Created, Stat), BlobError> {
        let folder = Arc::clone(&self.folder);
        let mut fresh = blocking(&name, move || folder.fresh().map_err(Trouble::from)).await?;
        let (mut gathered, mut bytes) = (Vec::new(), 0);
        while let Some(piece) = content.next().await {
            let piece = piece?;
            bytes += piece.len();
            gathered.push(piece);
            if bytes >= PIECE_BYTES {
                let (folder, pieces) = (Arc::clone(&self.folder), std::mem::take(&mut gathered));
                fresh = blocking(&name, move || written(&folder, fresh, &pieces)).await?;
                bytes = 0;
            }
        }
        let (folder, object) = (Arc::clone(&self.folder), name.clone());
        blocking(&name, move || {
            let fresh = written(&folder, fresh, &gathered)?;
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

fn written(folder: &Folder, mut fresh: Fresh, pieces: &[Bytes]) -> Result<Fresh, Trouble> {
    folder.check_room()?;
    for piece in pieces {
        fresh.write(piece)?;
    }
    Ok(fresh)
}

/// What is left of an object that is read in pieces.
struct Reading {
    name: String,
    opened: Opened,
    left: u64,
    /// The room of pieces that nobody holds any more is used again.
    room: BytesMut,
    /// Of what was read; none where only a part is.
    crc32c: Option<u32>,
}

/// The bytes of an opened object.
pub(super) fn read_stream(name: String, opened: Opened) -> BlobStream {
    let left = opened.range.end - opened.range.start;
    let crc32c = (left == opened.stat.bytes).then_some(0);
    let reading = Reading { name, opened, left, room: BytesMut::new(), crc32c };
    Box::pin(stream::try_unfold(reading, |reading| async move {
        let name = reading.name.clone();
        blocking(&name, move || next(reading)).await
    }))
}

fn next(mut reading: Reading) -> Result<Option<(Bytes, Reading)>, Trouble> {
    let Reading { opened, left, room, crc32c, .. } = &mut reading;
    if *left == 0 {
        return match crc32c {
            Some(crc32c) if *crc32c != opened.stat.crc32c => Err(Trouble::Damaged(format!(
                "its content has CRC32C {crc32c:08x}, and {:08x} was written",
                opened.stat.crc32c
            ))),
            _ => Ok(None),
        };
    }
    room.resize(usize::try_from(*left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES), 0);
    let read = opened.file.read(room)?;
    if read == 0 {
        return Err(Trouble::Damaged(format!("it ends {left} bytes early")));
    }
    let piece = room.split_to(read).freeze();
    room.clear();
    *left -= read as u64;
    if let Some(crc32c) = crc32c {
        *crc32c = crc32c::crc32c_append(*crc32c, &piece);
    }
    Ok(Some((piece, reading)))
}
