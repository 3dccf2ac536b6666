//! The real binary on a temporary folder and a free port of the loopback.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use leadline::admin::TenantSpec;
use leadline::control::{Ask, ask_running};

use crate::load;
use crate::payload;
use crate::process::cpu_s;

/// A start that takes longer has failed.
pub(crate) const START_MAX: Duration = Duration::from_secs(120);
/// Between two looks whether it is ready: short beside what is measured, long enough to leave it the cores.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// A process that used at most one tick of CPU in so long has nothing left to do.
const SETTLED: Duration = Duration::from_millis(500);

/// A data folder on a real disk.
pub(crate) fn folder() -> Result<tempfile::TempDir> {
    let folder = tempfile::Builder::new().prefix("leadline-bench-").tempdir()?;
    const TMPFS_MAGIC: i64 = 0x0102_1994; // linux/magic.h
    let kind = rustix::fs::statfs(folder.path())?.f_type;
    ensure!(
        kind != TMPFS_MAGIC,
        "{} lies in memory, where durable costs nothing: set TMPDIR to a folder on a disk",
        folder.path().display()
    );
    Ok(folder)
}

/// A running leadline; killed when dropped.
pub(crate) struct Instance {
    process: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// From the start of its process until it takes events.
    pub(crate) ready_after: Duration,
    data: PathBuf,
}

impl Instance {
    /// Starts the release binary in `role` on `data` and waits until it takes events. A `leadline.toml` there is its
    /// configuration.
    pub(crate) fn start(role: &str, data: &Path) -> Result<Self> {
        Self::start_with(role, data, &[])
    }

    /// The same with more of a command line.
    pub(crate) fn start_with(role: &str, data: &Path, args: &[String]) -> Result<Self> {
        Self::start_env(role, data, args, &[])
    }

    /// The same with variables that name files.
    pub(crate) fn start_env(
        role: &str,
        data: &Path,
        args: &[String],
        variables: &[(&str, &Path)],
    ) -> Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let config = data.join("leadline.toml");
        let config_args = if config.exists() { vec![Path::new("--config"), &config] } else { Vec::new() };
        let started = Instant::now();
        let process = Command::new(binary()?)
            .args(["run", "--role", role, "--listen", &address.to_string(), "--data"])
            .arg(data)
            .args(config_args)
            .args(args)
            .env("LOG_LEVEL", "warn")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let mut instance = Self { process, address, ready_after: Duration::ZERO, data: data.to_owned() };
        while !instance.is_ready() {
            ensure!(started.elapsed() < START_MAX, "leadline was not ready within {START_MAX:?}");
            if let Some(status) = instance.process.try_wait()? {
                bail!("leadline ended with {status} instead of starting");
            }
            std::thread::sleep(LOOK_EVERY);
        }
        instance.ready_after = started.elapsed();
        Ok(instance)
    }

    fn is_ready(&self) -> bool {
        get(self.address, "/ready", "").is_ok_and(|(status, _)| status == 200)
    }

    /// Adds tenants `bench-0` to `bench-N`, whose companies are those of [`payload::company`]; `edit` adds what else
    /// they need. Answers the token of each.
    pub(crate) fn add_tenants(&self, count: usize, edit: impl Fn(&mut TenantSpec)) -> Result<Vec<String>> {
        (0..count)
            .map(|index| {
                let mut spec = TenantSpec {
                    tenant: format!("bench-{index}"),
                    name: Some(format!("Bench {index}")),
                    company_ids: vec![payload::company(index)],
                    signing_key: Some(payload::KEY.to_owned()),
                    ..TenantSpec::default()
                };
                edit(&mut spec);
                let socket = self.data.join("control.sock");
                let answer = ask_running(&socket, &Ask::PutTenant { spec: Box::new(spec) })?
                    .context("leadline has no control socket")?;
                Ok(answer.get("api_token").and_then(|token| token.as_str()).unwrap_or_default().to_owned())
            })
            .collect()
    }

    /// Waits until it does nothing any more: it may still work on events, or fill the spare segments of a new log with
    /// zeros, which would be charged to whatever is measured next.
    pub(crate) fn settle(&self, within: Duration) -> Result<()> {
        let started = Instant::now();
        loop {
            let before = cpu_s(self.pid())?;
            std::thread::sleep(SETTLED);
            if cpu_s(self.pid())? - before < 0.015 {
                return Ok(());
            }
            ensure!(started.elapsed() < within, "leadline was still busy after {within:?}");
        }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits until it has ended by itself.
    #[cfg(feature = "kafka")]
    pub(crate) fn wait_end(mut self) -> Result<()> {
        let status = self.process.wait()?;
        ensure!(status.success(), "leadline ended with {status}");
        Ok(())
    }

    /// SIGTERM; waits until it has ended.
    pub(crate) fn terminate(mut self) -> Result<()> {
        let pid = i32::try_from(self.process.id())?;
        let pid = rustix::process::Pid::from_raw(pid).context("a process has an id")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let status = self.process.wait()?;
        ensure!(status.success(), "leadline ended with {status}");
        Ok(())
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The binary beside this one, built by the same profile.
fn binary() -> Result<PathBuf> {
    let binary = std::env::current_exe()?.with_file_name("leadline");
    ensure!(binary.exists(), "{} is missing: run `make bench`", binary.display());
    Ok(binary)
}

/// One GET on a connection of its own: status and body.
pub(crate) fn get(address: SocketAddr, path: &str, token: &str) -> Result<(u16, String)> {
    let mut client = Client::open(address)?;
    client.get(path, token)
}

/// A keep-alive connection that waits for each answer.
pub(crate) struct Client {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Client {
    pub(crate) fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self { stream, answer: Vec::new() })
    }

    /// Status and body of a GET.
    pub(crate) fn get(&mut self, path: &str, token: &str) -> Result<(u16, String)> {
        let head = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n");
        self.send(head.as_bytes())
    }

    /// Status and body of the answer to a whole request.
    pub(crate) fn send(&mut self, request: &[u8]) -> Result<(u16, String)> {
        self.stream.write_all(request)?;
        self.answer.clear();
        let mut piece = [0; 16 << 10];
        loop {
            let read = self.stream.read(&mut piece)?;
            ensure!(read > 0, "the server closed a connection");
            self.answer.extend_from_slice(piece.get(..read).unwrap_or_default());
            if let Some((status, body)) = load::whole_answer(&self.answer) {
                return Ok((status.parse()?, body.to_owned()));
            }
        }
    }
}
