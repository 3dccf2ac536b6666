//! A lean closed-loop client: one thread, non-blocking keep-alive connections over epoll, no pipelining.
//!
//! An answer costs one read and the next request one write; nothing is allocated. So what is compared is the servers.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::event::{Timespec, epoll};

use crate::payload::{Events, Request};

/// An answer at most: heads and problems are far smaller.
const ANSWER_BYTES_MAX: usize = 16 << 10;
/// A server that says nothing for so long is broken.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(30);

/// What was answered.
#[derive(Default)]
pub(crate) struct Answers {
    /// When each answer of the measured time came, and how long it took, in µs.
    pub(crate) latencies_us: Vec<u32>,
    /// Answers other than 200, in all the time.
    pub(crate) refused: u64,
    /// The first of them.
    pub(crate) refusal: Option<String>,
    /// How long was measured.
    pub(crate) measured: Duration,
}

/// How long a run is, and what happens when its measured part begins.
pub(crate) struct Plan<'p> {
    /// Before anything is measured.
    pub(crate) warm_up: Duration,
    /// How long answers are counted; none = until the events are used up.
    pub(crate) measure: Option<Duration>,
    /// Called when the measured part begins.
    pub(crate) begins: &'p mut dyn FnMut() -> Result<()>,
}

/// Status and body of an answer, once all of it is there.
pub(crate) fn whole_answer(bytes: &[u8]) -> Option<(&str, &str)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let length = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok())?
    });
    (body.len() >= length.unwrap_or(0)).then(|| (head.get(9..12).unwrap_or_default(), body))
}

/// A non-blocking keep-alive connection with one request under way.
pub(crate) struct Connection {
    /// To be watched by epoll.
    pub(crate) stream: TcpStream,
    request: Request,
    answer: Vec<u8>,
    filled: usize,
    sent: Instant,
}

impl Connection {
    /// Connects; `request` is what it fills in place.
    pub(crate) fn open(address: SocketAddr, request: &Request) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let answer = vec![0; ANSWER_BYTES_MAX];
        Ok(Self { stream, request: request.clone(), answer, filled: 0, sent: Instant::now() })
    }

    /// Sends event `number`; a request is smaller than any socket's buffer, so it is one write.
    pub(crate) fn send(&mut self, events: &Events, number: u64, now: Instant) -> Result<()> {
        let bytes = self.request.of(events, number).context("the event is signed")?;
        let written = self.stream.write(bytes).context("a request cannot be written")?;
        ensure!(written == bytes.len(), "a request did not fit the socket's buffer");
        (self.filled, self.sent) = (0, now);
        Ok(())
    }

    /// Reads what has come.
    pub(crate) fn read(&mut self) -> Result<()> {
        match self.stream.read(self.answer.get_mut(self.filled..).unwrap_or_default()) {
            Ok(0) => bail!("the server closed a connection"),
            Ok(read) => self.filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("an answer cannot be read"),
        }
        Ok(())
    }

    /// Status and body, once the answer is whole.
    pub(crate) fn answered(&self) -> Option<(&str, &str)> {
        whole_answer(self.answer.get(..self.filled)?)
    }
}

/// Sends the events, one at a time on each of so many connections, until the plan's time is over or they are used up.
pub(crate) fn run(
    address: SocketAddr,
    connections: usize,
    request: &Request,
    events: &Events,
    plan: Plan<'_>,
) -> Result<Answers> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut open = Vec::with_capacity(connections);
    for index in 0..connections as u64 {
        let connection = Connection::open(address, request)?;
        epoll::add(&epoll, &connection.stream, epoll::EventData::new_u64(index), epoll::EventFlags::IN)?;
        open.push(connection);
    }
    let mut numbers = events.numbers();
    let started = Instant::now();
    let mut waiting = 0_usize;
    for connection in &mut open {
        if let Some(number) = numbers.next() {
            connection.send(events, number, started)?;
            waiting += 1;
        }
    }
    let (mut answers, mut ready) = (Answers::default(), Vec::with_capacity(connections));
    let mut begun: Option<Instant> = None;
    let silence = Timespec { tv_sec: SILENCE_MAX.as_secs() as i64, tv_nsec: 0 };
    while waiting > 0 {
        ready.clear();
        epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut ready), Some(&silence))?;
        ensure!(!ready.is_empty(), "no answer came for {SILENCE_MAX:?}");
        for event in &ready {
            let index = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
            let Some(connection) = open.get_mut(index) else { continue };
            connection.read()?;
            let Some((status, body)) = connection.answered() else { continue };
            let now = Instant::now();
            if status != "200" {
                answers.refused += 1;
                answers.refusal.get_or_insert_with(|| format!("{status} {body}"));
            }
            if begun.is_some() {
                let took = (now - connection.sent).as_micros();
                answers.latencies_us.push(u32::try_from(took).unwrap_or(u32::MAX));
            }
            waiting -= 1;
            let is_over =
                matches!((begun, plan.measure), (Some(begun), Some(measure)) if now - begun >= measure);
            if !is_over && let Some(number) = numbers.next() {
                connection.send(events, number, now)?;
                waiting += 1;
            }
        }
        match begun {
            None if started.elapsed() >= plan.warm_up => {
                (plan.begins)()?;
                begun = Some(Instant::now());
            }
            Some(begun) => answers.measured = begun.elapsed(),
            None => {}
        }
    }
    if let Some(measure) = plan.measure {
        ensure!(answers.measured >= measure, "the signed events ran out: prepare more");
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_with_its_body() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody";
        for filled in 0..text.len() {
            assert_eq!(whole_answer(&text[..filled]), None, "{filled}");
        }
        assert_eq!(whole_answer(text), Some(("200", "body")));
    }
}
