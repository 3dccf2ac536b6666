//! Group: the thread that takes part in the consumer group.

use std::sync::Arc;
use std::time::{Duration, Instant};

use leadline_schemas::Topic;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::assignment::{Context, Make, ROLE};
use super::closing::Closing;
use super::error::describe;
use super::lock;
use super::orphans::Orphans;

/// How often the thread looks whether it is to leave.
const TURN: Duration = Duration::from_millis(50);
/// After how many of its heartbeats a process that was fenced by a time-out, and not by a successor, takes its
/// partitions again: a successor would have fenced its membership by then.
const HEARTBEATS_TO_BE_SURE: u32 = 2;

/// After how many session time-outs a process that was put out of its group looks whether its name is free: a membership
/// in which nobody lives has ended by then.
const SESSIONS_OUTSIDE: u32 = 2;
/// How long the group may take to say who is in it.
pub(super) const MEMBERS_MAX: Duration = Duration::from_secs(1);

/// The thread that polls.
pub(super) struct Group {
    consumer: Arc<BaseConsumer<Context>>,
    make: Make,
    /// Since when it is out of its group.
    outside_since: Option<Instant>,
    leaving: Arc<Closing>,
    heartbeat: Duration,
    orphans: Orphans,
}

impl Group {
    pub(super) fn new(
        consumer: Arc<BaseConsumer<Context>>,
        make: Make,
        leaving: Arc<Closing>,
        heartbeat: Duration,
    ) -> Self {
        Self { consumer, make, outside_since: None, leaving, heartbeat, orphans: Orphans::new() }
    }

    /// Runs until this process leaves; then the consumer's end revokes what it has.
    pub(super) fn run(mut self) {
        let mut fenced_since = None;
        while !self.leaving.is_closed() {
            match self.consumer.poll(TURN) {
                // What came before the partitions were paused.
                None | Some(Ok(_)) => {}
                Some(Err(error)) if self.consumer.context().failed(&error) => {
                    self.outside_since.get_or_insert_with(Instant::now);
                }
                Some(Err(_)) => {}
            }
            self.revive(&mut fenced_since);
            self.come_back();
            self.orphans.turn(&self.consumer);
        }
    }

    /// A process that was put out of its group joins it again, unless another has its name by now. The broker puts out
    /// one that joins twice, too: when the answer to its first attempt was lost.
    fn come_back(&mut self) {
        let config = Arc::clone(&self.consumer.context().inner.config);
        let session = Duration::from_millis(config.session_timeout_ms);
        if self.outside_since.is_none_or(|since| since.elapsed() < session * SESSIONS_OUTSIDE) {
            return;
        }
        self.outside_since = Some(Instant::now());
        let name = config.client_id(ROLE);
        // Brokers that are away are asked again.
        let Ok(groups) = self.consumer.fetch_group_list(Some(&config.group_id), MEMBERS_MAX) else { return };
        let mut members = groups.groups().iter().flat_map(|group| group.members());
        if members.any(|member| member.client_id() == name) {
            let why = format!(
                "another process is in group {} as {}: give each a kafka.instance of its own",
                config.group_id, config.instance_id
            );
            *lock(&self.consumer.context().trouble) = Some(why);
            return;
        }
        let topic = config.topic(Topic::Inbound);
        let joined = (self.make)().and_then(|consumer| consumer.subscribe(&[&topic]).map(|()| consumer));
        match joined {
            Ok(consumer) => {
                tracing::info!("this process joins its group again");
                (self.consumer, self.outside_since) = (Arc::new(consumer), None);
            }
            Err(error) => tracing::warn!(error = describe(&error), "the group cannot be joined again yet"),
        }
    }

    /// A producer that was fenced while its partitions are still ours was too slow for its transaction: after a while
    /// in which no successor has shown up they are lost and assigned again.
    fn revive(&self, since: &mut Option<Instant>) {
        let context = self.consumer.context();
        let fenced = context.inner.membership.fenced();
        if fenced.is_empty() || self.consumer.assignment_lost() {
            *since = None;
            return;
        }
        let since_then = since.get_or_insert_with(Instant::now);
        if since_then.elapsed() < self.heartbeat * HEARTBEATS_TO_BE_SURE {
            return;
        }
        *since = None;
        tracing::warn!(?fenced, "partitions whose transaction timed out are taken again");
        context.lost(&fenced);
        context.assigned(&self.consumer, &fenced);
    }
}
