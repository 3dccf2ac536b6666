//! Recordings: from an address into the blob store, with what is heard of them, beside a bare copy to files.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::routing::get;
use leadline_connectors::blob_folder::FolderBlob;
use leadline_connectors::callrail::{CallRailClient, CallRailConfig};
use leadline_connectors::clock_system::SystemClock;
use leadline_connectors::contract::blob::Blob;
use leadline_connectors::contract::provider::Provider;
use leadline_connectors::http_client;
use leadline_connectors::provider_recording::{CallRailRecordings, RecordingProvider};
use leadline_connectors::secrets_file::FileSecrets;
use leadline_schemas::recording::FetchRecordingJob;
use leadline_schemas::reply::{JobRequest, PendingJob};
use leadline_schemas::settings::{Settings, Tenant};
use leadline_schemas::{Bucket, JobId, KeyGroup, Millis, TenantId};
use tokio::io::AsyncWriteExt;

use crate::arguments::numbers;
use crate::process::{cpu_s, memory};

/// The hidden command that this binary runs itself with.
pub(crate) const COMMAND: &str = "serve-recordings";
/// As hidden: one part of what is measured.
pub(crate) const PART_COMMAND: &str = "recordings-part";
/// A minute of a tone; the recording is as many of it as fill its size.
const TONE_HZ: f64 = 440.0;
/// What is printed as the aim.
const AIM_MB: f64 = 64.0;

/// What one run measures: a process of its own each, for an allocator keeps what the one before has let go of.
const PARTS: [&str; 2] = ["bare copy to files", "fetched, stored and heard"];
/// What a part's last line begins with.
const SECONDS: &str = "seconds ";

/// `leadline-bench recordings`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let known = [("recordings", 1_000), ("bytes", 5_000_000), ("at-once", 8)];
    let [count, bytes, at_once] = numbers(args, known)?;
    println!("{count} recordings of {bytes} bytes, {at_once} at once, each synced");
    let mut seconds = Vec::new();
    for part in 1..=PARTS.len() {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(PART_COMMAND).args(args).args(["--part", &part.to_string()]);
        let done = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        ensure!(done.status.success(), "{text}");
        let (shown, last) = text.trim_end().rsplit_once(SECONDS).context("a part prints its seconds")?;
        print!("{shown}");
        seconds.push(last.parse::<f64>().context("a part prints its seconds")?);
    }
    let bare = seconds.first().copied().unwrap_or_default() / seconds.last().copied().unwrap_or(1.0);
    println!("time of the bare copy: {bare:.2}; the aim is {AIM_MB} MB above idle");
    Ok(())
}

/// One part, in the process that was started for it.
pub(crate) fn run_part(args: &[String]) -> Result<()> {
    let known = [("recordings", 1_000), ("bytes", 5_000_000), ("at-once", 8), ("part", 1)];
    let [count, bytes, at_once, part] = numbers(args, known)?;
    let storage = Storage::start(bytes)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let folder = tempfile::tempdir()?;
    let idle_mb = memory(std::process::id())?.resident_mb;
    let is_bare = part == 1;
    let one = match is_bare {
        true => bare_copy(storage.address, folder.path())?,
        false => fetch(storage.address, folder.path())?,
    };
    let measured = Work { count, at_once }.time(&runtime, one)?;
    let [bare, kept] = PARTS;
    measured.print(if is_bare { bare } else { kept }, bytes, idle_mb);
    println!("{SECONDS}{}", measured.seconds);
    if is_bare { Ok(()) } else { runtime.block_on(check(folder.path(), count, bytes)) }
}

/// One recording by its number.
type One = Arc<dyn Fn(u64) -> std::pin::Pin<Box<dyn Future<Output = Result<()>> + Send>> + Send + Sync>;

struct Work {
    count: u64,
    at_once: u64,
}

struct Measured {
    seconds: f64,
    cpu_s: f64,
    peak_mb: f64,
    live_mb: Option<f64>,
    count: u64,
}

impl Work {
    fn time(&self, runtime: &tokio::runtime::Runtime, one: One) -> Result<Measured> {
        // From now on the highest since now (proc(5), clear_refs).
        std::fs::write("/proc/self/clear_refs", "5").context("the peak of memory cannot be reset")?;
        live::reset();
        let (cpu, started) = (cpu_s(std::process::id())?, Instant::now());
        let next = Arc::new(AtomicU64::new(0));
        runtime.block_on(async {
            let workers: Vec<_> = (0..self.at_once)
                .map(|_| {
                    let (next, one, count) = (Arc::clone(&next), Arc::clone(&one), self.count);
                    tokio::spawn(async move {
                        loop {
                            let number = next.fetch_add(1, Ordering::Relaxed);
                            if number >= count {
                                return Ok::<(), anyhow::Error>(());
                            }
                            one(number).await?;
                        }
                    })
                })
                .collect();
            for worker in workers {
                worker.await.map_err(anyhow::Error::from)??;
            }
            Ok::<_, anyhow::Error>(())
        })?;
        Ok(Measured {
            seconds: started.elapsed().as_secs_f64(),
            cpu_s: cpu_s(std::process::id())? - cpu,
            peak_mb: memory(std::process::id())?.peak_mb,
            live_mb: live::peak_mb(),
            count: self.count,
        })
    }
}

impl Measured {
    fn print(&self, what: &str, bytes: u64, idle_mb: f64) {
        let mb = self.count as f64 * bytes as f64 / 1e6;
        println!(
            "{what:<26} {:>7.1} s {:>6.0}/s {:>7.0} MB/s   CPU {:>6.1} s   peak {:>5.0} MB, {:>4.0} above idle",
            self.seconds,
            self.count as f64 / self.seconds,
            mb / self.seconds,
            self.cpu_s,
            self.peak_mb,
            self.peak_mb - idle_mb
        );
        if let Some(live_mb) = self.live_mb {
            println!("{:<26} {live_mb:.1} MB were asked for at most", "");
        }
    }
}

/// What is asked for of the allocator, where one counts.
#[cfg(feature = "live")]
mod live {
    use crate::ALLOCATOR;

    pub(super) fn reset() {
        ALLOCATOR.reset_peak_usage();
    }

    pub(super) fn peak_mb() -> Option<f64> {
        Some(ALLOCATOR.peak_usage() as f64 / 1e6)
    }
}

#[cfg(not(feature = "live"))]
mod live {
    pub(super) fn reset() {}

    pub(super) fn peak_mb() -> Option<f64> {
        None
    }
}

/// The baseline: the same bytes from the same server, piece by piece into a file that is synced.
fn bare_copy(address: SocketAddr, folder: &Path) -> Result<One> {
    let (http, folder) = (http_client::builder().build()?, folder.join("bare"));
    std::fs::create_dir(&folder)?;
    Ok(Arc::new(move |number| {
        let (http, path) = (http.clone(), folder.join(number.to_string()));
        Box::pin(async move {
            let mut response =
                http.get(format!("http://{address}/a.wav")).send().await?.error_for_status()?;
            let mut file = tokio::fs::File::create(&path).await?;
            while let Some(piece) = response.chunk().await? {
                file.write_all(&piece).await?;
            }
            file.sync_all().await?;
            // As little of it stays as of what is measured against it.
            Ok(tokio::fs::remove_file(path).await?)
        })
    }))
}

/// What leadline does: the provider of recordings, on a folder.
fn fetch(address: SocketAddr, folder: &Path) -> Result<One> {
    let base_url = format!("http://{address}");
    let config = CallRailConfig { base_url: base_url.clone(), ..CallRailConfig::default() };
    let client = CallRailClient::new(&config, Arc::new(SystemClock))?;
    let secrets = FileSecrets::open(&folder.join("key"))?;
    let tenant = tenant()?;
    let settings = Arc::new(Settings::default().with(tenant.clone(), 1));
    let now = Arc::new(move || Arc::clone(&settings));
    let source = CallRailRecordings::new(client, Arc::new(secrets), now);
    let blob = FolderBlob::open(folder.join("blobs"))?;
    let provider = Arc::new(RecordingProvider::new(Arc::new(source), Arc::new(blob)));
    Ok(Arc::new(move |number| {
        let (provider, tenant) = (Arc::clone(&provider), tenant.tenant.clone());
        let url = format!("{base_url}/a.wav");
        Box::pin(async move {
            let job = job(tenant, number, url)?;
            let answer = provider.call(job, Duration::from_secs(600)).await;
            answer.map(|_| ()).map_err(|error| anyhow!("recording {number}: {error}"))
        })
    }))
}

fn tenant() -> Result<Tenant> {
    Ok(Tenant::new(
        TenantId::new("summit").map_err(|error| anyhow!("{error}"))?,
        "Summit Kitchens",
        Millis(0),
    ))
}

fn job(tenant: TenantId, number: u64, url: String) -> Result<PendingJob> {
    let at = Millis(1_772_640_753_236);
    let asked = FetchRecordingJob::of_call(format!("CAL{number}"), url, at);
    Ok(PendingJob {
        job_id: JobId::of(&[b"recordings", &number.to_be_bytes()]),
        tenant,
        key_group: KeyGroup(0),
        bucket: Bucket(0),
        operator: "recording".to_owned(),
        request: JobRequest {
            kind: "fetch_recording".to_owned(),
            target: "callrail".to_owned(),
            payload: serde_json::to_vec(&asked)?.into(),
            not_before: Millis(0),
            revision: 1,
        },
        asked_at: at,
        event_time: at,
        started_attempt: 0,
    })
}

/// Every recording is there, once and whole, with its note.
async fn check(folder: &Path, count: u64, bytes: u64) -> Result<()> {
    let blob = FolderBlob::open(folder.join("blobs"))?;
    let names = blob.list("summit/").await?;
    ensure!(names.len() as u64 == 2 * count, "{} objects of {count} recordings", names.len());
    for name in names.iter().filter(|name| !name.ends_with(".json")).step_by(100) {
        let content = blob.read(name).await?.with_context(|| name.clone())?;
        ensure!(content == wav(bytes), "{name} is not what was served");
    }
    Ok(())
}

/// A WAV file of this size: 8 kHz, 16 bit, a tone.
fn wav(bytes: u64) -> Bytes {
    let data = u32::try_from(bytes.saturating_sub(44) & !1).unwrap_or(u32::MAX - 64);
    let mut file = b"RIFF".to_vec();
    file.extend((36 + data).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data");
    file.extend(data.to_le_bytes());
    file.extend((0..data / 2).flat_map(|n| {
        let sample = (f64::from(n) / 8_000.0 * TONE_HZ * std::f64::consts::TAU).sin() * 8_000.0;
        (sample as i16).to_le_bytes()
    }));
    file.into()
}

/// Serves one recording until it is killed; prints its address first.
pub(crate) fn serve(args: &[String]) -> Result<()> {
    let [bytes] = numbers(args, [("bytes", 5_000_000)])?;
    let recording = wav(bytes);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        let router = Router::new().route("/a.wav", get(move || async move { recording.clone() }));
        Ok(axum::serve(listener, router).await?)
    })
}

/// The server, in a process of its own; killed when dropped.
struct Storage {
    process: Child,
    address: SocketAddr,
}

impl Storage {
    fn start(bytes: u64) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([COMMAND, "--bytes", &bytes.to_string()]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let output = process.stdout.take().context("its output is a pipe")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim().parse().context("the server of recordings printed no address")?;
        Ok(Self { process, address })
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
