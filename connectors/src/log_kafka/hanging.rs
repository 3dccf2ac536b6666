//! Hanging: transactions whose coordinator has forgotten to end them.
//!
//! A coordinator ends a transaction by markers in its partitions, and after a start sends those of before once more.
//! Kafka 4.4.0 leaves out each partition that has no leader at that moment, as if it had been deleted (KAFKA-20734), and
//! notes the transaction as ended. After the restart of a broker that had the only replica, that is all of them: no
//! time-out ends the transaction, for nobody knows of it. `read_committed` readers stop before it for ever, and the group
//! does not tell its offsets.
//!
//! What ends it is the end of the next transaction of the same transactional id in the same partitions. So an empty one that
//! touches all of them and is aborted frees them. Nothing is lost by that where the group's offset does not show the epoch:
//! it runs again, as after any abort, or has run already elsewhere. Where the group shows it and topic `state` does not, half of it
//! would be lost, and it is left for a person to decide.
//!
//! A transaction may also hang in the group's offsets alone: then nothing is open in topic `state`, and the group tells no offset.
//! It ends in the same way. It is always aborted, for nobody who is killed before he has committed could take that back; a frame that
//! is seen counts as committed without its offset ([`Frames::end`]), and the next commit brings the offset along.
//!
//! And outputs may hang while topic `state` goes on, until the partition writes to their topic again: a lead of the evening would be
//! seen by its readers in the morning. An epoch that is aborted runs again at once and writes there, so what still hangs is of one
//! that was committed: a record without a value, under a key of its own, is committed behind it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use leadline_schemas::{Partition, Topic};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::committer::Committer;
use super::config::KafkaConfig;
use super::failure::Failure;
use super::membership::Ticket;
use super::sight::{Place, Seen, Sight, outputs};
use super::transaction::Transactions;
use crate::contract::log::ReadError;

/// How long nothing may move before a transaction is taken for one that hangs, when a producer is new: its first own one
/// would end it, as it itself ends.
const STILL_AT_FIRST: Duration = Duration::from_millis(200);
/// Between two looks in that time.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How often is looked later, in time-outs of a transaction: for partitions that went to others before this process
/// committed again.
const LOOK_EVERY: u32 = 2;
/// How long after an attempt that freed nothing another is made.
const AGAIN: Duration = Duration::from_secs(60);

/// The key of records that only end a transaction.
const HANGING_KEY: &[u8] = b"hanging";

/// What a committer has seen of its partitions when it last looked.
#[derive(Default)]
pub(super) struct Held {
    looked: Option<Instant>,
    /// The look that is under way.
    looking: Option<JoinHandle<Result<Seen, ReadError>>>,
    open: Looks<Partition>,
    untold: Looks<Partition>,
    outputs: Looks<Place>,
}

impl Held {
    /// Whether it is time for another look: others' transactions have ended by then.
    fn is_time(&mut self, now: Instant, every: Duration) -> bool {
        let looked = *self.looked.get_or_insert(now);
        let is_time = now.saturating_duration_since(looked) >= every;
        if is_time {
            self.looked = Some(now);
        }
        is_time
    }
}

/// What was held back when it was last looked, and from which offset on.
struct Looks<K> {
    seen: BTreeMap<K, u64>,
    tried: BTreeMap<K, Instant>,
}

impl<K> Default for Looks<K> {
    fn default() -> Self {
        Self { seen: BTreeMap::new(), tried: BTreeMap::new() }
    }
}

impl<K: Ord + Copy> Looks<K> {
    /// Those that are held back at the same offset as at the last look, and which were not tried lately.
    fn note(&mut self, held: BTreeMap<K, u64>, now: Instant) -> BTreeMap<K, u64> {
        self.tried.retain(|_, at| now.saturating_duration_since(*at) < AGAIN);
        let before = std::mem::replace(&mut self.seen, held);
        let same = self.seen.iter().filter(|(place, offset)| before.get(place) == Some(offset));
        let fresh = same.filter(|(place, _)| !self.tried.contains_key(place));
        let due: BTreeMap<K, u64> = fresh.map(|(place, offset)| (*place, *offset)).collect();
        self.tried.extend(due.keys().map(|place| (*place, now)));
        due
    }
}

fn failed(error: ReadError) -> Failure {
    Failure::Aborted(error.to_string())
}

impl Committer {
    /// A producer with this committer's id, under which nothing is open any more.
    pub(super) fn open(&self) -> Result<Transactions, Failure> {
        let began = Instant::now();
        let own: Vec<Partition> = self.partitions().collect();
        let look = || {
            let sight = Sight::new(&self.frames)?;
            let seen = sight.open(&own)?;
            Ok((sight, seen, Instant::now()))
        };
        // Meanwhile: what is open under the id by then is open at that look too.
        let (producer, seen) = std::thread::scope(|threads| {
            let looking = std::thread::Builder::new().spawn_scoped(threads, look);
            let producer = self.connected().and_then(|connected| Transactions::open(&self.config, connected));
            let seen = looking.map_err(|error| error.to_string()).and_then(|looking| {
                let looked = looking.join().map_err(|_| "a look at what is open has panicked".to_owned())?;
                looked.map_err(|error: ReadError| error.to_string())
            });
            (producer, seen)
        });
        let producer = producer?;
        let (sight, mut still, looked) = seen.map_err(Failure::Aborted)?;
        // Those of others go on, most of them in a moment.
        while !still.is_empty() {
            let is_last = looked.elapsed() >= STILL_AT_FIRST;
            let open = sight.open(&own).map_err(failed)?;
            still.retain(|partition, begin| open.get(partition) == Some(begin));
            if is_last {
                self.end_hanging(&producer, &sight, &still)?;
                break;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        tracing::debug!(
            worker = self.worker,
            took_ms = began.elapsed().as_millis() as u64,
            "a producer is open"
        );
        Ok(producer)
    }

    /// Looks, now and then, whether a transaction of this producer holds partitions back that are others' by now. The look is
    /// a thread's of its own: commits do not wait for it.
    pub(super) fn look_for_hanging(&self, held: &mut Held, producer: &Transactions) {
        let now = Instant::now();
        if let Some(looking) = held.looking.take_if(|looking| looking.is_finished()) {
            let seen = looking.join().map_err(|_| Failure::Aborted("the look has panicked".to_owned()));
            let ended = seen
                .and_then(|seen| seen.map_err(failed))
                .and_then(|seen| self.end_what_hangs(held, producer, seen, now));
            // Brokers that are away are told of by the log's health.
            if let Err(failure) = ended {
                tracing::debug!(?failure, "what hangs could not be ended yet");
            }
        }
        let every = Duration::from_millis(self.config.transaction_timeout_ms) * LOOK_EVERY;
        if held.looking.is_none() && held.is_time(now, every) {
            let (frames, own) = (Arc::clone(&self.frames), self.partitions().collect::<Vec<_>>());
            let look = move || Seen::now(&frames, &own);
            let looking = std::thread::Builder::new().name("kafka-hanging".to_owned()).spawn(look);
            held.looking = looking.ok(); // Without a thread it is tried at the next time.
        }
    }

    fn end_what_hangs(
        &self,
        held: &mut Held,
        producer: &Transactions,
        seen: Seen,
        now: Instant,
    ) -> Result<(), Failure> {
        let open = held.open.note(seen.open, now);
        if !open.is_empty() {
            let sight = Sight::new(&self.frames).map_err(failed)?;
            self.end_hanging(producer, &sight, &open)?;
        }
        let outputs: Vec<Place> = held.outputs.note(seen.outputs, now).into_keys().collect();
        if !outputs.is_empty() {
            producer.end_behind(&self.config, &outputs)?;
            tracing::warn!(
                ?outputs,
                "a transaction held outputs back; if its coordinator forgot it and it was this process's, they are seen now"
            );
        }
        // First: an attempt that cannot be made is not noted as one.
        let ticket = self.ticket()?;
        let due: Vec<Partition> = held.untold.note(seen.untold, now).into_keys().collect();
        if due.is_empty() {
            return Ok(());
        }
        producer.end_hanging(&self.config, &ticket, &due, &[])?;
        tracing::warn!(
            partitions = ?due,
            "a transaction held the group's offsets back; if its coordinator forgot it and it was this process's, it is ended now"
        );
        Ok(())
    }

    fn ticket(&self) -> Result<Ticket, Failure> {
        let outside = || Failure::Aborted("this process is in no generation of its group".to_owned());
        self.membership.ticket().ok_or_else(outside)
    }

    /// Ends what hangs in partitions under this committer's id; fails if that has to be done once more.
    fn end_hanging(
        &self,
        producer: &Transactions,
        sight: &Sight,
        held: &BTreeMap<Partition, u64>,
    ) -> Result<(), Failure> {
        let mut hidden = Vec::new();
        for (partition, begin) in held {
            if sight.is_hidden(*partition, *begin).map_err(failed)? {
                hidden.push(*partition);
            } else {
                tracing::warn!(
                    partition = partition.0,
                    "a transaction may hang of which a part is seen: look for it with kafka-transactions.sh find-hanging"
                );
            }
        }
        if hidden.is_empty() {
            return Ok(());
        }
        let written: Vec<Topic> = outputs().chain([Topic::State]).collect();
        producer.end_hanging(&self.config, &self.ticket()?, &hidden, &written)?;
        tracing::warn!(
            partitions = ?hidden,
            "a transaction held partitions back; if its coordinator forgot it and it was this process's, it is aborted now"
        );
        Ok(())
    }
}

impl Transactions {
    /// An empty transaction in these topics and the group's offsets, aborted: with it ends what hangs there under the same
    /// transactional id.
    fn end_hanging(
        &self,
        config: &KafkaConfig,
        ticket: &Ticket,
        partitions: &[Partition],
        topics: &[Topic],
    ) -> Result<(), Failure> {
        let deadline = self.begin()?;
        let touched = self.touch(config, ticket, partitions, topics, deadline);
        let failure = self.abort(touched.err().unwrap_or(KafkaError::Canceled));
        if self.is_given_up() { Err(failure) } else { Ok(()) }
    }

    /// A transaction of records without a value, committed: with it ends what hangs in these places under the same
    /// transactional id, and is seen.
    fn end_behind(&self, config: &KafkaConfig, places: &[Place]) -> Result<(), Failure> {
        let deadline = self.begin()?;
        for (topic, partition) in places {
            let sent =
                self.send(&config.topic(*topic), i32::from(partition.0), HANGING_KEY, None, None, deadline);
            if let Err(error) = sent {
                return Err(self.abort(error));
            }
        }
        self.drain(deadline);
        self.finish(deadline)
    }

    fn touch(
        &self,
        config: &KafkaConfig,
        ticket: &Ticket,
        partitions: &[Partition],
        topics: &[Topic],
        deadline: Instant,
    ) -> Result<(), KafkaError> {
        for topic in topics {
            for partition in partitions {
                let number = i32::from(partition.0);
                self.send(&config.topic(*topic), number, HANGING_KEY, None, None, deadline)?;
            }
        }
        self.drain(deadline);
        let places = partitions.iter().flat_map(|partition| {
            [Topic::Inbound, Topic::Replies].map(|topic| (config.topic(topic), partition.0))
        });
        let mut offsets = TopicPartitionList::new();
        for (topic, partition) in places {
            offsets.add_partition_offset(&topic, i32::from(partition), Offset::Offset(0))?;
        }
        self.send_offsets(offsets, ticket, deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_held_back_when_the_same_transaction_is_open_at_two_looks() {
        let (mut held, start) = (Looks::default(), Instant::now());
        let later = |seconds: u64| start + Duration::from_secs(seconds);
        let (one, two) = (Partition(1), Partition(2));
        assert!(held.note(BTreeMap::from([(one, 7), (two, 9)]), start).is_empty());
        assert_eq!(
            held.note(BTreeMap::from([(one, 7), (two, 12)]), later(10)),
            BTreeMap::from([(one, 7)]),
            "in the other one they go on"
        );
        assert_eq!(
            held.note(BTreeMap::from([(one, 7), (two, 12)]), later(20)),
            BTreeMap::from([(two, 12)]),
            "of one it was not this process's"
        );
        assert_eq!(
            held.note(BTreeMap::from([(one, 7)]), later(70)),
            BTreeMap::from([(one, 7)]),
            "or its end was lost"
        );
    }

    #[test]
    fn a_look_comes_when_transactions_have_had_their_time() {
        let (mut held, start) = (Held::default(), Instant::now());
        let every = Duration::from_secs(20);
        assert!(!held.is_time(start, every), "the producer is new: it was looked when it was opened");
        assert!(!held.is_time(start + every / 2, every));
        assert!(held.is_time(start + every, every));
        assert!(!held.is_time(start + every + every / 2, every));
    }
}
