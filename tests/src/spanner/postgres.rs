//! A PostgreSQL of our own, on loopback, in a folder that goes with it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::kafka::janitor;
use crate::{free_port, until};

const START: Duration = Duration::from_secs(60);
/// PostgreSQL refuses to run as root; Debian's package makes this user.
const USER: &str = "postgres";
/// Nothing of it has to outlive the test.
const SETTINGS: &str = "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nfsync = off\n\
    synchronous_commit = off\nfull_page_writes = off\nmax_connections = 200\ntimezone = 'UTC'\n\
    max_pred_locks_per_transaction = 512\nenable_seqscan = off\njit = off\n";

pub(super) struct Postgres {
    pub(super) port: u16,
    folder: PathBuf,
    /// Ends the server and removes the folder when this process is gone, however it goes.
    _janitor: Child,
}

impl Postgres {
    pub(super) fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            let why = "the tests on Spanner's interface need PostgreSQL: run `deploy/setup.sh tests`";
            assert!(std::env::var_os("CI").is_none(), "{why}");
            let _ = writeln!(std::io::stderr(), "\nSKIPPED: {why}\n");
            return None;
        };
        let folder = tempfile::Builder::new().prefix("leadline-postgres-").tempdir().unwrap().keep();
        let janitor = janitor(&folder);
        let (server, port) = (folder.join("server"), free_port());
        std::fs::create_dir(&server).unwrap();
        if is_root() {
            let done = Command::new("chown").arg("-R").arg(USER).arg(&folder).status().unwrap();
            assert!(done.success(), "there is no user {USER:?}");
        }
        let (server_text, initdb) = (server.display().to_string(), programs.join("initdb"));
        run(&format!("{} -D {server_text} -U {USER} -A trust -E UTF8 --locale=C -N", initdb.display()));
        let settings = server.join("postgresql.auto.conf");
        std::fs::write(settings, format!("{SETTINGS}port = {port}\n")).unwrap();
        let program = programs.join("pg_ctl");
        run(&format!("{} -D {server_text} -l {server_text}/output -w start", program.display()));
        let pid = server.join("postmaster.pid");
        until("a PostgreSQL that runs", START, || pid.exists());
        let first = std::fs::read_to_string(pid).unwrap().lines().next().unwrap().to_owned();
        std::fs::write(server.join("pid"), first).unwrap();
        Some(Self { port, folder, _janitor: janitor })
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let pid = std::fs::read_to_string(self.folder.join("server/pid")).unwrap_or_default();
        // At once: nothing has to be kept. The janitor removes the folder.
        let _ = Command::new("kill").args(["-QUIT", pid.trim()]).status();
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs a command as a user that PostgreSQL does run as.
fn run(command: &str) {
    let mut shell = match is_root() {
        true => Command::new("su"),
        false => Command::new("sh"),
    };
    if is_root() {
        shell.arg(USER);
    }
    let done = shell
        .args(["-c", command])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(done.success(), "{command}");
}

/// The folder with the newest server's programs: Debian keeps them out of the path.
fn programs() -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|versions| versions.flatten().map(|version| version.path().join("bin")).collect())
        .unwrap_or_default();
    folders.sort();
    folders.reverse();
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders.extend(std::env::split_paths(&path));
    let has = |folder: &Path, program: &str| folder.join(program).exists();
    folders.into_iter().find(|folder| has(folder, "initdb") && has(folder, "pg_ctl"))
}
