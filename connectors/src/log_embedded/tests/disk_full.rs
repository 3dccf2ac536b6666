//! A full disk, and a log at its own bound: appends are refused, commits go on or wait, everything comes back.

use super::*;

/// A stepped log on a disk that can be filled.
struct Filled {
    disk: SimulatedDisk,
    clock: Arc<HandClock>,
    config: EmbeddedLogConfig,
    log: Option<(EmbeddedLog, LogSteps)>,
    lives: u64,
}

impl Filled {
    fn new(max_bytes: u64) -> Self {
        let config = EmbeddedLogConfig { max_bytes, ..life::config() };
        let clock = Arc::new(HandClock(AtomicU64::new(1_000)));
        let mut filled = Self { disk: SimulatedDisk::new(), clock, config, log: None, lives: 0 };
        filled.start().unwrap();
        filled.settle();
        filled
    }

    /// Ends the process, if there is one, and starts the next.
    fn start(&mut self) -> Result<(), OpenError> {
        if self.log.take().is_some() {
            self.disk = self.disk.crash_process();
        }
        self.lives += 1;
        let disk = Arc::new(self.disk.clone());
        let incarnations = incarnations(self.lives);
        let opened = EmbeddedLog::open_stepped(self.config.clone(), disk, self.clock.clone(), incarnations)?;
        self.log = Some(opened);
        Ok(())
    }

    fn log(&self) -> &EmbeddedLog {
        &self.log.as_ref().unwrap().0
    }

    fn settle(&mut self) {
        let steps = &mut self.log.as_mut().unwrap().1;
        while steps.turn() {}
        self.clock.0.fetch_add(1_000, Relaxed);
        while steps.turn() {}
    }

    fn fill(&mut self) {
        self.disk.set_capacity(Some(self.disk.used_bytes()));
    }

    fn append(&mut self) -> Result<Vec<Offset>, AppendError> {
        let value = Bytes::from(vec![1; 1_000]);
        let record = Append { topic: Topic::Inbound, partition: Partition(0), key: Bytes::new(), value };
        let mut answer = polled(self.log().append(vec![record]));
        loop {
            if let Some(answer) = answer() {
                return answer;
            }
            assert!(self.log.as_mut().unwrap().1.turn(), "an append is always answered");
        }
    }

    /// Appends until there is no room.
    fn append_all(&mut self) -> u64 {
        (0..10_000).find(|_| self.append() == Err(AppendError::Full)).unwrap()
    }

    /// The next commit; its answer comes into the slot.
    fn commit(&mut self, number: u64, bytes: usize) -> Arc<Mutex<Option<CommitAnswer>>> {
        let answer = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&answer);
        let commit = Commit {
            partition: Partition(0),
            number: CommitNumber(number),
            inbound_next: Offset(0),
            replies_next: Offset(0),
            outputs: Arc::default(),
            frame: Bytes::from(vec![number as u8; bytes]),
        };
        self.log().commit(commit, Box::new(move |answer| *slot.lock().unwrap() = Some(answer)));
        while self.log.as_mut().unwrap().1.turn() {}
        answer
    }

    /// Commits until the reserve is used up; answers those that wait, and the number of the next one.
    fn exhaust(&mut self, mut number: u64) -> (Vec<Arc<Mutex<Option<CommitAnswer>>>>, u64) {
        let mut waiting = Vec::new();
        while waiting.len() < 3 {
            let answer = self.commit(number, 3_000);
            number += 1;
            let answered = answer.lock().unwrap().clone();
            match answered {
                Some(answer) => assert_eq!((answer, waiting.len()), (CommitAnswer::Committed, 0)),
                None => waiting.push(answer),
            }
        }
        (waiting, number)
    }
}

fn files(disk: &SimulatedDisk, prefix: &str) -> usize {
    disk.list().unwrap().iter().filter(|name| name.starts_with(prefix)).count()
}

#[test]
fn commits_use_the_reserve_then_wait_and_all_go_on_when_there_is_room() {
    let mut filled = Filled::new(16 << 20);
    filled.fill();
    let appended = filled.append_all();
    assert!(appended > 20, "the spare beyond the reserve is for appends: {appended}");
    let (waiting, next) = filled.exhaust(1);
    assert!(next > 10, "two reserved segments hold commits: {next}");
    assert_eq!(files(&filled.disk, "spare-"), 0);

    for _ in 0..5 {
        filled.settle();
        assert_eq!(filled.append(), Err(AppendError::Full), "nobody else gets in meanwhile");
        assert!(waiting.iter().all(|answer| answer.lock().unwrap().is_none()));
        assert!(filled.log().health().full && filled.log().health().failed.is_none());
        let end = Offset(appended);
        assert_eq!(filled.log().range(Topic::Inbound, Partition(0)).unwrap().1, end, "readers go on");
    }
    filled.disk.set_capacity(None);
    filled.settle();
    for answer in waiting {
        assert_eq!(answer.lock().unwrap().take(), Some(CommitAnswer::Committed), "in order, once each");
    }
    assert_eq!(filled.append(), Ok(vec![Offset(appended)]));
    assert!(!filled.log().health().full);
    let frames = all(filled.log(), Topic::State, 0);
    assert!((1..).zip(&frames).all(|(n, frame)| frame[..] == vec![n as u8; 3_000]));
    assert_eq!(frames.len() as u64, next - 1);
}

#[test]
fn a_log_closed_without_room_answers_the_commits_that_wait() {
    let mut filled = Filled::new(16 << 20);
    filled.fill();
    let (waiting, _) = filled.exhaust(1);
    filled.log().close();
    while filled.log.as_mut().unwrap().1.turn() {}
    for answer in waiting {
        assert!(matches!(answer.lock().unwrap().take(), Some(CommitAnswer::Aborted(_))));
    }
    assert!(!filled.log.as_mut().unwrap().1.turn());
}

#[test]
fn restarts_on_a_full_disk_leave_the_reserve_to_commits() {
    let mut filled = Filled::new(16 << 20);
    filled.fill();
    filled.append_all();
    filled.disk.set_capacity(Some(filled.disk.used_bytes() + 15_000)); // Less than one whole segment.
    for life in 1..=3 {
        filled.start().unwrap();
        filled.settle();
        assert!(files(&filled.disk, "spare-") >= 2, "life {life}");
    }
    filled.disk.set_capacity(Some(filled.disk.used_bytes()));
    let (waiting, next) = filled.exhaust(1);
    assert!(next > 10);
    // Now not even the smallest segment can be had: that is said, and nothing is harmed.
    let refused = filled.start().unwrap_err();
    assert!(matches!(refused, OpenError::NoRoom { .. }), "{refused}");
    drop(waiting);
    filled.disk.set_capacity(None);
    filled.start().unwrap();
    let kept = next - 1 - 3;
    assert_eq!(filled.log().range(Topic::State, Partition(0)).unwrap(), (Offset(0), Offset(kept)));
}

#[test]
fn a_log_at_its_bound_refuses_appends_until_floors_let_it_drop() {
    let max_bytes = 10 * (16 << 10);
    let mut filled = Filled::new(max_bytes);
    let appended = filled.append_all();
    assert!(filled.disk.used_bytes() <= max_bytes, "{} bytes", filled.disk.used_bytes());
    assert!(appended > 80, "most of it is used: {appended} records of 1,000 bytes");
    for number in 1..=20 {
        let answer = filled.commit(number, 3_000);
        assert_eq!(answer.lock().unwrap().take(), Some(CommitAnswer::Committed));
    }
    filled.settle();
    assert_eq!(filled.append(), Err(AppendError::Full), "the disk has room, the log does not");

    filled.log().set_floor(Topic::Inbound, Partition(0), Offset(appended));
    filled.log().set_floor(Topic::State, Partition(0), Offset(20));
    filled.settle();
    assert_eq!(filled.append(), Ok(vec![Offset(appended)]));
    assert!(filled.disk.used_bytes() <= max_bytes);
    assert_eq!(filled.log().health().disk_bytes, filled.disk.used_bytes());
}

#[test]
fn records_are_kept_for_their_time_unless_the_log_reaches_its_bound() {
    let mut filled = Filled::new(16 << 20);
    filled.config.retention.inbound_ms = 60_000;
    filled.start().unwrap();
    for _ in 0..100 {
        filled.append().unwrap();
    }
    filled.log().set_floor(Topic::Inbound, Partition(0), Offset(100));
    filled.settle();
    let first = |filled: &Filled| filled.log().range(Topic::Inbound, Partition(0)).unwrap().0.0;
    assert_eq!(first(&filled), 0, "they are young");
    filled.clock.0.fetch_add(60_000, Relaxed);
    filled.settle();
    assert!(first(&filled) > 50, "they are old");

    filled.config.max_bytes = 8 * (16 << 10);
    filled.start().unwrap();
    for n in 0..100 {
        filled.append().unwrap();
        filled.log().set_floor(Topic::Inbound, Partition(0), Offset(100 + n));
        filled.settle();
    }
    assert!(first(&filled) > 100, "the bound comes before the time");
}

#[test]
fn a_log_without_spares_makes_what_a_burst_needs() {
    let config = EmbeddedLogConfig { max_bytes: 16 << 20, ..life::config() };
    let (disk, clock) = (SimulatedDisk::new(), Arc::new(HandClock(AtomicU64::new(1_000))));
    let (log, mut steps) = EmbeddedLog::open_stepped(config, Arc::new(disk), clock, incarnations(1)).unwrap();
    let record = || Append {
        topic: Topic::Inbound,
        partition: Partition(0),
        key: Bytes::new(),
        value: vec![1; 1_000].into(),
    };
    let mut answers: Vec<_> = (0..100).map(|_| polled(log.append(vec![record()]))).collect();
    assert!(steps.turn(), "one group over many segments, before anybody has made a spare");
    for (n, answer) in answers.iter_mut().enumerate() {
        assert_eq!(answer(), Some(Ok(vec![Offset(n as u64)])), "an empty disk is not full");
    }
}
