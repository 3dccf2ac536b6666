//! A real SMTP server for tests: aiosmtpd, started on loopback, ended with the test.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tempfile::TempDir;

/// Who may log in.
pub const USER: &str = "summit";
/// With this.
pub const PASSWORD: &str = "s3cr3t-0f-the-mailbox";

/// The server.
pub struct Smtp {
    process: Child,
    folder: TempDir,
    /// Its port on loopback.
    pub port: u16,
    taken: Arc<Mutex<Vec<Value>>>,
}

/// Debian's Python first: aiosmtpd is a package of its.
const PYTHONS: [&str; 2] = ["/usr/bin/python3", "python3"];

impl Smtp {
    /// Starts one as `plain`, `starttls` or `smtps`; none, said loudly, where aiosmtpd is missing. In CI that is a failure.
    pub fn start(mode: &str) -> Option<Self> {
        let has_it = |python: &&&str| {
            let asked = Command::new(python).args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status();
            asked.is_ok_and(|status| status.success())
        };
        let Some(python) = PYTHONS.iter().find(has_it) else {
            let why = "python3-aiosmtpd is missing: `deploy/setup.sh tests` installs it";
            assert!(std::env::var_os("CI").is_none(), "{why}");
            let _ = writeln!(std::io::stderr(), "\nSKIPPED: {why}\n");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-days",
                "2",
            ])
            .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-out")
            .arg(&cert)
            .arg("-keyout")
            .arg(&key)
            .stderr(Stdio::null())
            .status();
        assert!(made.is_ok_and(|status| status.success()), "openssl makes a certificate");
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/smtp_server.py");
        let mut process = Command::new(python)
            .arg(script)
            .arg(mode)
            .args([&cert, &key])
            .args([USER, PASSWORD])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap().parse().unwrap();
        let taken = Arc::<Mutex<Vec<Value>>>::default();
        let noted = Arc::clone(&taken);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                noted.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        Some(Self { process, folder, port, taken })
    }

    /// The messages that it has taken.
    pub fn taken(&self) -> Vec<Value> {
        self.taken.lock().unwrap().clone()
    }

    /// Its certificate.
    pub fn certificate(&self) -> Vec<u8> {
        std::fs::read(self.folder.path().join("cert.pem")).unwrap()
    }
}

impl Drop for Smtp {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
