//! A lean open-loop client: each event is sent when it is due, on whichever connection is free.
//!
//! As `load`, but for arrivals that do not wait for answers: what is late because no connection is free counts from
//! when it was due.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::event::{Timespec, epoll};

use crate::load::{Connection, SILENCE_MAX};
use crate::payload::{Events, Request};
use crate::stats::ms;

/// An event of this number is due then.
pub(super) type Due = (u64, Instant);

/// Open connections, and which of them wait for an answer to what.
struct Connections {
    open: Vec<Connection>,
    /// The one that has waited longest is used next: a server closes connections that are not used.
    free: VecDeque<usize>,
    waiting: Vec<Option<Due>>,
}

/// Sends events in the order in which they are due, until all are answered or `stop` is set; answers how long each took
/// from when it was due, in ms.
pub(super) fn run(
    address: SocketAddr,
    connections: usize,
    request: &Request,
    events: &Events,
    due: &[Due],
    stop: &AtomicBool,
) -> Result<Vec<f64>> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut all = Connections {
        open: Vec::with_capacity(connections),
        free: (0..connections).collect(),
        waiting: vec![None; connections],
    };
    for index in 0..connections as u64 {
        let connection = Connection::open(address, request)?;
        epoll::add(&epoll, &connection.stream, epoll::EventData::new_u64(index), epoll::EventFlags::IN)?;
        all.open.push(connection);
    }
    let (mut due, mut times) = (due, Vec::with_capacity(due.len()));
    let mut ready = Vec::with_capacity(connections);
    while !stop.load(Ordering::Relaxed) {
        due = all.send(events, due)?;
        let is_idle = all.free.len() == all.open.len();
        if due.is_empty() && is_idle {
            break;
        }
        let pause = match due.first() {
            Some((_, at)) if !all.free.is_empty() => at.saturating_duration_since(Instant::now()),
            _ => SILENCE_MAX,
        };
        ready.clear();
        epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut ready), Some(&timespec(pause)))?;
        ensure!(!ready.is_empty() || pause < SILENCE_MAX, "no answer came for {SILENCE_MAX:?}");
        for event in &ready {
            let index = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
            times.extend(all.answer(index)?);
        }
    }
    Ok(times)
}

impl Connections {
    /// Sends what is due, as long as a connection is free; answers what is left.
    fn send<'d>(&mut self, events: &Events, mut due: &'d [Due]) -> Result<&'d [Due]> {
        let now = Instant::now();
        while let [(number, at), rest @ ..] = due
            && *at <= now
            && let Some(index) = self.free.pop_front()
        {
            if let (Some(connection), Some(waiting)) = (self.open.get_mut(index), self.waiting.get_mut(index))
            {
                connection.send(events, *number, now)?;
                *waiting = Some((*number, *at));
            }
            due = rest;
        }
        Ok(due)
    }

    /// Reads what has come on a connection; once the answer is whole, how long it took in ms.
    fn answer(&mut self, index: usize) -> Result<Option<f64>> {
        let Some(connection) = self.open.get_mut(index) else { return Ok(None) };
        connection.read()?;
        let Some((status, body)) = connection.answered() else { return Ok(None) };
        ensure!(status == "200", "a webhook was answered by {status}: {body}");
        self.free.push_back(index);
        let due = self.waiting.get_mut(index).and_then(Option::take);
        Ok(due.map(|(_, at)| ms(at.elapsed())))
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) }
}
