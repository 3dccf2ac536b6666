//! The commits of every layout, held against each other and against what was accepted.

use leadline_connectors::contract::log::Log;
use leadline_schemas::frame::CommitFrame;
use leadline_schemas::{Offset, Partition, Topic, avro};

use crate::check::{Found, ensure};
use crate::world::World;

/// The chains of commits that the logs still have.
pub fn commits(world: &World) -> Found {
    let Some(life) = &world.life else { return Err("it does not run".to_owned()) };
    let newest = world.record().shape.generation;
    for (generation, topics) in &life.topics {
        for partition in (0..topics.log.partitions()).map(Partition) {
            chain(world, &*topics.log, (*generation, partition), *generation == newest)
                .map_err(|why| format!("layout {generation}, partition {partition}: {why}"))?;
        }
    }
    Ok(())
}

/// One partition's commits; those of a layout that is left end with one that says so.
fn chain(world: &World, log: &dyn Log, place: (u32, Partition), is_newest: bool) -> Found {
    let partition = place.1;
    let (first, end) = log.range(Topic::State, partition).map_err(|error| error.to_string())?;
    let (mut from, mut before) = (first, None::<CommitFrame>);
    while from < end {
        let chunk = log.read(Topic::State, partition, from, 1 << 20).map_err(|error| error.to_string())?;
        for record in &chunk.records {
            let frame: CommitFrame = avro::decode(&record.value).map_err(|error| error.to_string())?;
            if let Some(before) = before {
                ensure!(
                    frame.number == before.number.next(),
                    "commit {} follows {}",
                    frame.number,
                    before.number
                );
                ensure!(frame.now >= before.now, "time went back from {} to {}", before.now, frame.now);
                ensure!(!before.drained, "commit {} comes behind the last", frame.number);
            }
            before = Some(frame);
        }
        from = chunk.next;
    }
    let Some(last) = before else { return Ok(()) };
    let (_, inbound) = log.range(Topic::Inbound, partition).map_err(|error| error.to_string())?;
    let (_, replies) = log.range(Topic::Replies, partition).map_err(|error| error.to_string())?;
    ensure!(last.drained != is_newest, "its last commit says drained: {}", last.drained);
    // What comes to a layout that is left is asked again in the next.
    let are_read = if is_newest { last.replies_next == replies } else { last.replies_next <= replies };
    ensure!(
        last.inbound_next == inbound && are_read,
        "it rests at {}/{} of {inbound}/{replies}",
        last.inbound_next,
        last.replies_next
    );
    let stored = world.store.contents().progress.get(&place).copied().unwrap_or_default();
    // A record store that was lost behind a change has its rows from the new layout.
    ensure!(!is_newest || stored == last.number, "the record store is at {stored} of {}", last.number);
    ensure!(Offset(last.number.0) == end, "the last frame is not the last commit");
    Ok(())
}
