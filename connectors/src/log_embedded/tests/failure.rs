//! Failures of the disk: what the log says then, and what the next start does with what was left.

use super::*;

struct Stepped {
    log: EmbeddedLog,
    steps: LogSteps,
}

fn start(disk: &SimulatedDisk, life: u64) -> Stepped {
    let clock = Arc::new(HandClock(AtomicU64::new(1_000)));
    let (log, mut steps) =
        EmbeddedLog::open_stepped(life::config(), Arc::new(disk.clone()), clock, incarnations(life)).unwrap();
    while steps.turn() {}
    Stepped { log, steps }
}

impl Stepped {
    fn append(&mut self, text: &str) -> Result<Vec<Offset>, AppendError> {
        let mut answer = polled(self.log.append(vec![record(Topic::Inbound, 0, text.to_owned())]));
        while self.steps.turn() {}
        answer().unwrap()
    }
}

#[test]
fn after_a_failed_write_nobody_says_where_the_log_ends() {
    for nth in 1..=2 {
        let disk = SimulatedDisk::new();
        let mut stepped = start(&disk, 1);
        stepped.append("a").unwrap();
        disk.fail(nth, DiskFault::Device); // The write, or its sync.
        assert!(matches!(stepped.append("b"), Err(AppendError::Failed(_))));
        assert!(matches!(stepped.append("c"), Err(AppendError::Failed(_))), "it is never tried again");
        let log = &stepped.log;
        assert!(log.health().failed.is_some_and(|why| why.contains("os error 5")));
        assert!(matches!(log.range(Topic::Inbound, Partition(0)), Err(ReadError::Unavailable(_))));
        let read = |from| log.read(Topic::Inbound, Partition(0), Offset(from), 10);
        assert!(matches!(read(1), Err(ReadError::Unavailable(_))), "the next record may be there or not");
        assert_eq!(read(0).unwrap().records[0].value, "a", "what is known is still read");
        assert!(!stepped.steps.turn());
        assert_eq!(stepped.steps.wake_at_ms(), None);
    }
}

#[test]
fn what_readers_have_seen_after_a_failed_sync_is_durable() {
    for seed in 0..20 {
        let disk = SimulatedDisk::new();
        let mut stepped = start(&disk, 1);
        stepped.append("a").unwrap();
        disk.fail(2, DiskFault::Device);
        stepped.append("b").unwrap_err();
        drop(stepped);

        // The kernel still shows what it has failed to write.
        let disk = disk.crash_process();
        let stepped = start(&disk, 2);
        assert_eq!(all(&stepped.log, Topic::Inbound, 0), ["a", "b"]);
        drop(stepped);
        let disk = disk.crash_machine(&mut Seeded::new(seed));
        assert_eq!(all(&start(&disk, 3).log, Topic::Inbound, 0), ["a", "b"], "seed {seed}");
    }
}

#[test]
fn a_start_leaves_a_footer_to_the_segment_before() {
    let disk = SimulatedDisk::new();
    start(&disk, 1).append("a").unwrap();
    let disk = disk.crash_process();
    drop(start(&disk, 2));
    let reports = inspect(&disk.copy(), |_, _| {}).unwrap();
    let file = disk.copy().open(&reports[0].file).unwrap();
    let incarnation = u64::from_str_radix(&reports[0].incarnation, 16).unwrap();
    assert!(footer::read_head(&*file, reports[0].end, incarnation).is_some());
}

#[test]
fn a_failed_removal_is_tried_again_and_never_leaves_a_gap() {
    for fault in 1..=2 {
        let disk = SimulatedDisk::new();
        let clock = Arc::new(HandClock(AtomicU64::new(1_000)));
        let opened =
            EmbeddedLog::open_stepped(life::config(), Arc::new(disk.clone()), clock.clone(), incarnations(1));
        let (log, mut steps) = opened.unwrap();
        for _ in 0..5 {
            let mut answer = polled(log.append(vec![record(Topic::Inbound, 0, "x".repeat(10_000))]));
            while steps.turn() {}
            answer().unwrap().unwrap();
        }
        log.set_floor(Topic::Inbound, Partition(0), Offset(5));
        clock.0.fetch_add(200, Relaxed);
        while steps.turn() {} // The witness.
        clock.0.fetch_add(1_000, Relaxed);
        disk.fail(fault, DiskFault::Device); // The removal, or the sync of the folder.
        while steps.turn() {}
        assert_eq!(
            log.range(Topic::Inbound, Partition(0)).unwrap().0,
            Offset(0),
            "nothing went but for certain"
        );
        clock.0.fetch_add(1_000, Relaxed);
        while steps.turn() {}
        assert_eq!(log.range(Topic::Inbound, Partition(0)).unwrap().0, Offset(4));
        drop((log, steps));
        let disk = disk.crash_machine(&mut Seeded::new(fault));
        assert_eq!(start(&disk, 2).log.range(Topic::Inbound, Partition(0)).unwrap().0, Offset(4));
    }
}

#[test]
fn half_a_commit_leaves_nothing_behind_that_a_reader_stumbles_over() {
    let disk = SimulatedDisk::new();
    let mut stepped = start(&disk, 1);
    stepped.append("a").unwrap();
    let commit = |stepped: &mut Stepped| {
        let (sender, receiver) = mpsc::channel();
        let commit = Commit {
            partition: Partition(0),
            number: CommitNumber(1),
            inbound_next: Offset(0),
            replies_next: Offset(0),
            outputs: Arc::default(),
            frame: Bytes::from(vec![0x55; 10_000]),
        };
        stepped.log.commit(commit, Box::new(move |answer| sender.send(answer).unwrap()));
        while stepped.steps.turn() {}
        receiver.recv().unwrap()
    };
    assert_eq!(commit(&mut stepped), CommitAnswer::Committed);
    drop(stepped);
    // Its second part is torn; that is how a crash before the sync could have left it.
    let disk = disk.crash_process();
    let newest = inspect(&disk.copy(), |_, _| {}).unwrap().pop().unwrap();
    assert!(disk.flip_bit(&newest.file, newest.end * 8 - 1));

    let stepped = start(&disk, 2);
    assert!(stepped.log.cut_bytes() > 10_000, "both parts are cut off");
    drop(stepped);
    let disk = disk.crash_process();
    let footer = disk.bytes(&newest.file).unwrap();
    let footer = footer.windows(8).position(|window| window == b"LEADFOOT").unwrap() as u64;
    assert!(disk.flip_bit(&newest.file, footer * 8), "the index is lost, the frames have to be read");
    let mut stepped = start(&disk, 3);
    assert_eq!(all(&stepped.log, Topic::Inbound, 0), ["a"]);
    assert_eq!(stepped.log.range(Topic::State, Partition(0)).unwrap(), (Offset(0), Offset(0)));
    assert_eq!(commit(&mut stepped), CommitAnswer::Committed, "its number is free again");
}

#[test]
fn a_listener_that_panics_ends_the_log_and_nobody_waits_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).unwrap();
    log.listen(Topic::Replies, Partition(0), Arc::new(|| panic!("a listener's mistake")));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let answers = runtime.block_on(async {
        let first = log.append(vec![record(Topic::Replies, 0, "a".to_owned())]);
        let second = log.append(vec![record(Topic::Inbound, 0, "b".to_owned())]);
        [first.await, second.await]
    });
    assert!(matches!(answers[0], Err(AppendError::Failed(_))), "{answers:?}");
    assert!(matches!(
        append(&log, vec![record(Topic::Inbound, 0, "c".to_owned())]),
        Err(AppendError::Failed(_))
    ));
    assert!(log.health().failed.is_some_and(|why| why.contains("panicked")));
    log.close();
    drop(log);
    let log = open(folder.path()).unwrap();
    assert_eq!(all(&log, Topic::Replies, 0), ["a"], "it was durable before anybody was told");
}
