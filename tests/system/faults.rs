//! What a machine does to a process: full disks, read-only folders, wrong clocks, too few file descriptors, long
//! pauses. Each ends with nothing lost, a clear message, and recovery without hands.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use leadline_tests::{COMPANY, Instance, Receiver, binary, call, get, post, sign, until};

/// A small disk in memory, mounted for one test.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None, said aloud, where mounting is not allowed; in CI that is a failure.
    fn mount(at: &Path, mib: u32) -> Option<Self> {
        let size = format!("size={mib}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output();
        if mounted.is_ok_and(|done| done.status.success()) {
            return Some(Self(at.to_owned()));
        }
        let why = "SKIPPED: a tmpfs cannot be mounted here (needs root); nothing was tested";
        assert!(std::env::var_os("CI").is_none(), "{why}");
        eprintln!("\n{why}\n");
        None
    }

    fn remount(&self, option: &str) {
        let option = format!("remount,{option}");
        assert!(Command::new("mount").args(["-o", &option]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a child that is just ending may still have files there.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn all_there(leadline: &Instance, token: &str, count: u64) {
    until("all accepted calls are there", Duration::from_secs(30), || {
        leadline.listing("summit", "calls", token).len() as u64 == count
    });
}

fn send(leadline: &Instance, numbers: std::ops::Range<u64>) {
    for n in numbers {
        assert_eq!(leadline.hook(&call(COMPANY, n)), Some(200));
    }
}

#[test]
fn a_full_disk_refuses_with_503_goes_on_reading_and_takes_events_again_when_it_has_room() {
    let mut leadline = Instance::configured("[log]\nsegment_bytes = 262144\n");
    let Some(_disk) = SmallDisk::mount(leadline.data.path(), 96) else { return };
    std::fs::write(leadline.data.path().join("leadline.toml"), "[log]\nsegment_bytes = 262144\n").unwrap();
    let token = leadline.tenant("summit", COMPANY, &[]);
    leadline.start();
    let process = leadline.process.as_ref().unwrap().id();
    send(&leadline, 0..20);
    all_there(&leadline, &token, 20);

    // Somebody else fills the disk to the last byte.
    let ballast = leadline.data.path().join("ballast");
    let to = format!("of={}", ballast.display());
    let filled = Command::new("dd").args(["if=/dev/zero", "bs=1M", &to]).output().unwrap();
    assert!(!filled.status.success(), "dd stops when the disk is full");
    let mut accepted = 20;
    until("the log is full", Duration::from_secs(30), || match leadline.hook(&call(COMPANY, accepted)) {
        Some(200) => {
            accepted += 1;
            false
        }
        Some(503) => true,
        other => panic!("{other:?}: {}", leadline.log_text()),
    });
    let body = call(COMPANY, accepted);
    let (_, problem) =
        post(leadline.port, "/v1/callrail/webhook", &[("Signature", &sign(&body))], &body).unwrap();
    assert!(problem.contains("could not be written to the log"), "{problem}");
    let (status, health) = get(leadline.port, "/health", "").unwrap();
    assert!(status == 503 && health.contains("free disk space"), "{health}");
    assert!(!leadline.listing("summit", "calls", &token).is_empty(), "reading goes on");

    std::fs::remove_file(&ballast).unwrap();
    until("it takes events again", Duration::from_secs(30), || {
        let taken = leadline.hook(&call(COMPANY, accepted)) == Some(200);
        accepted += u64::from(taken);
        taken
    });
    all_there(&leadline, &token, accepted);
    assert_eq!(get(leadline.port, "/health", "").unwrap().0, 200);
    assert_eq!(leadline.process.as_mut().unwrap().try_wait().unwrap(), None, "{}", leadline.log_text());
    assert_eq!(leadline.process.as_ref().unwrap().id(), process, "the same process all the time");
    leadline.terminate();
    leadline.start();
    all_there(&leadline, &token, accepted);
    leadline.kill();
}

#[test]
fn a_read_only_folder_is_refused_in_words_and_all_is_there_when_it_can_be_written() {
    let mut leadline = Instance::new();
    let Some(disk) = SmallDisk::mount(leadline.data.path(), 512) else { return };
    let token = leadline.tenant("summit", COMPANY, &[]);
    leadline.start();
    send(&leadline, 0..10);
    leadline.kill();
    disk.remount("ro");
    let data = leadline.data.path().to_str().unwrap().to_owned();
    let refused =
        Command::new(binary()).args(["run", "--listen", "127.0.0.1:0", "--data", &data]).output().unwrap();
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && why.contains(&data) && why.contains("can be written"), "{why}");
    assert_eq!(why.lines().count(), 1, "one line a person can act on: {why}");
    disk.remount("rw");
    leadline.start();
    all_there(&leadline, &token, 10);
    leadline.kill();
}

#[test]
fn too_few_file_descriptors_make_connections_wait_and_lose_nothing() {
    let mut leadline = Instance::new();
    let token = leadline.tenant("summit", COMPANY, &[]);
    let refused = with_descriptors(&leadline, 40).output().unwrap();
    assert!(!refused.status.success());
    assert!(leadline.log_text().contains("ulimit -n"), "{}", leadline.log_text());

    leadline.process = Some(with_descriptors(&leadline, 160).spawn().unwrap());
    leadline.wait_ready();
    assert!(leadline.log_text().contains("few file descriptors"), "{}", leadline.log_text());
    // More connections than it may hold, a quarter of its descriptors, and they say nothing.
    let address = SocketAddr::from(([127, 0, 0, 1], leadline.port));
    let idle: Vec<TcpStream> =
        (0..60).map(|_| TcpStream::connect_timeout(&address, Duration::from_secs(1)).unwrap()).collect();
    let cpu_before = cpu_ms(&leadline);
    // Who comes now waits until a silent one has had its 10 s.
    let started = Instant::now();
    assert_eq!(leadline.hook(&call(COMPANY, 0)), Some(200));
    let (waited, cpu) = (started.elapsed(), cpu_ms(&leadline) - cpu_before);
    assert!(waited > Duration::from_secs(1), "the connections were no burden");
    assert!(cpu < waited.as_millis() as u64 / 2, "{cpu} ms of CPU in {waited:?}: it spins");
    drop(idle);
    send(&leadline, 1..50);
    all_there(&leadline, &token, 50);
    leadline.terminate();
}

/// The instance with so many file descriptors and no more.
fn with_descriptors(leadline: &Instance, limit: u32) -> Command {
    let direct = leadline.command();
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -n {limit}; exec \"$0\" \"$@\"")]);
    command.arg(direct.get_program()).args(direct.get_args()).env("LOG_LEVEL", "info");
    let log = std::fs::OpenOptions::new().create(true).append(true).open(leadline.log_path()).unwrap();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command
}

/// CPU time of the process so far.
fn cpu_ms(leadline: &Instance) -> u64 {
    let id = leadline.process.as_ref().unwrap().id();
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // utime and stime, fields 14 and 15 of proc(5), in ticks of 10 ms.
    (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) * 10
}

#[test]
fn a_process_that_was_stopped_for_thirty_seconds_has_lost_nothing_and_sent_nothing_twice() {
    let receiver = Receiver::start(false);
    let mut leadline = Instance::new();
    let token = leadline.tenant("summit", COMPANY, &["--integration", &receiver.address]);
    leadline.start();
    let port = leadline.port;
    let sender = std::thread::spawn(move || {
        for n in 0..200 {
            let body = call(COMPANY, n);
            let answer = post(port, "/v1/callrail/webhook", &[("Signature", &sign(&body))], &body);
            assert!(answer.is_none_or(|(status, _)| status == 200));
        }
    });
    until("work is under way", Duration::from_secs(10), || {
        leadline.listing("summit", "calls", &token).len() > 20
    });
    leadline.signal("-STOP");
    // The pause is what is tested: longer than every time-out of HTTP and of jobs.
    std::thread::sleep(Duration::from_secs(31));
    leadline.signal("-CONT");
    sender.join().unwrap();
    send(&leadline, 195..210);
    until("every lead is delivered", Duration::from_secs(30), || {
        let lines = leadline.listing("summit", "deliveries", &token);
        lines.len() >= 205 && lines.iter().all(|line| line["status"] == "done")
    });
    let leads = leadline.listing("summit", "leads", &token);
    assert!(leads.iter().all(|lead| lead["revision"] == 1), "nothing is processed twice");
    let mut keys: Vec<String> = receiver.seen.lock().unwrap().iter().map(|(key, _)| key.clone()).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), leads.len(), "one idempotency key for each lead");
    assert!(!leadline.log_text().contains("ERROR"), "{}", leadline.log_text());
}
