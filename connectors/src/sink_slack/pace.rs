//! Pace: one message a second and channel, and one message for all that would otherwise wait too long.
//!
//! Posts to a channel wait in a line. Each second one goes out; when the last of the line would have to wait more than
//! three seconds, the whole line goes out as one message. Changes of messages go out one by one, behind posts.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::card::MERGED_MAX;

/// Slack's limit is one message a second and channel.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);
/// Messages that may wait, three seconds' worth: with more, the last of them would wait longer.
const LINE_MAX: usize = 3;
/// A pause that Slack asks for is cut to this.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Leave to send: alone, or for all of these.
pub(super) enum Turn<T, R> {
    /// Send it, and these with it as one message: each has somebody who waits for what becomes of it.
    Send(Vec<Waiting<T, R>>),
    /// Somebody else has sent it, and this came of it.
    Sent(R),
    /// Somebody else was to send it, and was given up before it knew what came of it.
    Lost,
}

/// What waits, and who.
pub(super) struct Waiting<T, R> {
    pub(super) what: T,
    turn: oneshot::Sender<Turn<T, R>>,
}

impl<T, R> Waiting<T, R> {
    /// Lets go of whoever waits: it was sent with another.
    pub(super) fn sent(self, came_of_it: R) {
        // Whoever waited may have been given up meanwhile.
        let _ = self.turn.send(Turn::Sent(came_of_it));
    }
}

type Lines<T, R> = Mutex<HashMap<String, Line<T, R>>>;

/// The channels that something waits for.
pub(super) struct Channels<T, R> {
    interval: Duration,
    lines: Arc<Lines<T, R>>,
}

struct Line<T, R> {
    next_at: Instant,
    posts: VecDeque<Waiting<T, R>>,
    changes: VecDeque<Waiting<T, R>>,
    /// Somebody lets out what waits.
    is_served: bool,
}

impl<T, R> Default for Line<T, R> {
    fn default() -> Self {
        let (posts, changes) = (VecDeque::new(), VecDeque::new());
        Self { next_at: Instant::now(), posts, changes, is_served: false }
    }
}

impl<T: Send + 'static, R: Send + 'static> Channels<T, R> {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, lines: Arc::default() }
    }

    /// Waits for a turn. Dropped before it comes, it was not sent.
    pub(super) async fn turn(&self, channel: &str, what: T, is_new: bool) -> Turn<T, R> {
        let (turn, came) = oneshot::channel();
        let is_served = {
            let mut lines = locked(&self.lines);
            let line = lines.entry(channel.to_owned()).or_default();
            let queue = if is_new { &mut line.posts } else { &mut line.changes };
            queue.push_back(Waiting { what, turn });
            std::mem::replace(&mut line.is_served, true)
        };
        if !is_served {
            tokio::spawn(serve(Arc::clone(&self.lines), channel.to_owned(), self.interval));
        }
        came.await.unwrap_or(Turn::Lost)
    }

    /// Slack wants a pause: nothing goes to the channel until it is over.
    pub(super) fn pause(&self, channel: &str, pause: Duration) {
        let until = Instant::now() + pause.min(PAUSE_MAX);
        let mut lines = locked(&self.lines);
        let line = lines.entry(channel.to_owned()).or_default();
        line.next_at = line.next_at.max(until);
        let is_served = std::mem::replace(&mut line.is_served, true);
        drop(lines);
        if !is_served {
            tokio::spawn(serve(Arc::clone(&self.lines), channel.to_owned(), self.interval));
        }
    }
}

fn locked<T, R>(lines: &Lines<T, R>) -> MutexGuard<'_, HashMap<String, Line<T, R>>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets out what waits for a channel, until nothing does and the last turn is long enough ago.
async fn serve<T: Send + 'static, R: Send + 'static>(
    lines: Arc<Lines<T, R>>,
    channel: String,
    interval: Duration,
) {
    loop {
        let next_at = {
            let mut lines = locked(&lines);
            let Some(line) = lines.get_mut(&channel) else { return };
            line.posts.retain(|waiting| !waiting.turn.is_closed());
            line.changes.retain(|waiting| !waiting.turn.is_closed());
            let is_empty = line.posts.is_empty() && line.changes.is_empty();
            if line.next_at <= Instant::now() {
                if is_empty {
                    lines.remove(&channel);
                    return;
                }
                line.let_out(interval);
            }
            line.next_at
        };
        tokio::time::sleep_until(next_at).await;
    }
}

impl<T, R> Line<T, R> {
    /// One turn.
    fn let_out(&mut self, interval: Duration) {
        self.next_at = Instant::now() + interval;
        let count = if self.posts.len() > LINE_MAX { self.posts.len().min(MERGED_MAX) } else { 1 };
        let mut out = self.posts.drain(..count.min(self.posts.len())).collect::<VecDeque<_>>();
        let Some(first) = out.pop_front().or_else(|| self.changes.pop_front()) else { return };
        if let Err(Turn::Send(others)) = first.turn.send(Turn::Send(out.into())) {
            // It was given up this moment: the others go without it.
            self.next_at = Instant::now();
            others.into_iter().rev().for_each(|other| self.posts.push_front(other));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TURN: Duration = Duration::from_millis(50);

    /// Lets so many arrive at once, and says when how many went out together.
    async fn burst(count: usize) -> Vec<(Duration, usize)> {
        let channels: Arc<Channels<usize, ()>> = Arc::new(Channels::new(TURN));
        let begun = Instant::now();
        let channels = &channels;
        let all = (0..count).map(|number| async move {
            match channels.turn("C1", number, true).await {
                Turn::Send(with) => {
                    let seen = (begun.elapsed(), with.len() + 1);
                    with.into_iter().for_each(|other| other.sent(()));
                    Some(seen)
                }
                Turn::Sent(()) => None,
                Turn::Lost => panic!("nobody was given up"),
            }
        });
        let mut seen: Vec<_> = futures_util::future::join_all(all).await.into_iter().flatten().collect();
        seen.sort_unstable();
        seen
    }

    #[tokio::test]
    async fn a_message_goes_out_each_turn_and_all_that_would_wait_over_three_turns_in_one() {
        for (count, together) in [(1, vec![1]), (3, vec![1, 1, 1]), (30, vec![20, 10])] {
            let seen = burst(count).await;
            assert_eq!(seen.iter().map(|(_, together)| *together).collect::<Vec<_>>(), together);
            for pair in seen.windows(2) {
                assert!(pair[1].0 - pair[0].0 > TURN / 2, "one message a turn: {seen:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_pause_holds_everybody_and_who_is_given_up_is_not_sent() {
        let channels: Arc<Channels<usize, ()>> = Arc::new(Channels::new(TURN));
        channels.pause("C1", 7 * TURN);
        let begun = Instant::now();
        let given_up = tokio::time::timeout(TURN, channels.turn("C1", 1, true)).await;
        assert!(given_up.is_err());
        // Another channel has its own line.
        assert!(matches!(channels.turn("C2", 3, false).await, Turn::Send(_)));
        assert!(begun.elapsed() < 7 * TURN);
        let turn = channels.turn("C1", 2, true).await;
        assert!(matches!(turn, Turn::Send(with) if with.is_empty()));
        assert!(begun.elapsed() >= 7 * TURN);
    }
}
