//! A Cassandra for tests: fetched by Maven once, started on loopback, ended with the test's process.
//!
//! It wants a password, and takes TLS beside plain text on the same port.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::kafka::{janitor, jars, quiet_port};
use crate::until;

/// The version of `tests/cassandra/pom.xml`: the folder that keeps it is named after it.
const VERSION: &str = "5.0.5";
/// How long it may take to start on the slowest machine.
const START: Duration = Duration::from_secs(180);

/// Who may log in. The server makes this user in the first seconds after its first start.
pub const USER: (&str, &str) = ("cassandra", "cassandra");

/// What a server gets.
struct Size {
    jvm: &'static [&'static str],
    memtable: &'static str,
    commit_log: &'static str,
    /// Further lines of the configuration.
    settings: &'static str,
}

/// Quick to start beside many tests.
const SMALL: Size = Size {
    jvm: &["-Xms512m", "-Xmx512m", "-XX:TieredStopAtLevel=1"],
    memtable: "64MiB",
    commit_log: "128MiB",
    settings: "",
};

/// Code that is compiled in earnest, and room for what a run of some seconds writes: a server that is set up to work, and
/// as README.md says it should be for leadline.
const FOR_LOAD: Size = Size {
    jvm: &["-Xms2g", "-Xmx2g"],
    memtable: "512MiB",
    commit_log: "1024MiB",
    settings: "batch_size_warn_threshold: 64KiB\nbatch_size_fail_threshold: 640KiB\n\
               unlogged_batch_across_partitions_warn_threshold: 100\n",
};

/// One node.
pub struct Cassandra {
    pub port: u16,
    folder: PathBuf,
    libraries: PathBuf,
    size: &'static Size,
    process: Option<Child>,
    /// Ends the server and removes the folder when this process is gone, however it goes.
    _janitor: Child,
}

impl Cassandra {
    /// Starts one; none, said loudly, where a tool is missing. In CI that is a failure.
    pub fn start() -> Option<Self> {
        Self::sized(&SMALL)
    }

    /// Starts one for measurements.
    pub fn for_load() -> Option<Self> {
        Self::sized(&FOR_LOAD)
    }

    fn sized(size: &'static Size) -> Option<Self> {
        let libraries = jars("cassandra", VERSION)?;
        let folder = tempfile::Builder::new().prefix("leadline-cassandra-").tempdir().unwrap().keep();
        let _janitor = janitor(&folder);
        std::fs::create_dir_all(folder.join("server")).unwrap();
        let port = quiet_port();
        let server = Self { port, folder, libraries, size, process: None, _janitor };
        server.make_certificate();
        std::fs::write(server.file("logback.xml"), LOGGING).unwrap();
        std::fs::write(server.file("cassandra.yaml"), server.yaml(quiet_port())).unwrap();
        let mut server = server;
        server.spawn();
        server.wait();
        Some(server)
    }

    /// What a client is given.
    pub fn contact_point(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The server's certificate, which is its own authority.
    pub fn certificate(&self) -> PathBuf {
        self.file("certificate.pem")
    }

    /// The server's process.
    pub fn process_id(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    /// Its warnings and errors so far.
    pub fn complaints(&self) -> String {
        read(&self.file("output"))
    }

    /// Bytes that the server has written to its data files and its commit log since it was started.
    pub fn written_bytes(&self) -> u64 {
        let id = self.process_id();
        let io = std::fs::read_to_string(format!("/proc/{id}/io")).unwrap();
        let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).unwrap();
        line.parse().unwrap()
    }

    /// Ends it as a power cut does, but for what the system had not written yet.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
        std::fs::remove_file(self.file("pid")).unwrap();
    }

    /// Starts it again, on what it had, and waits until it answers.
    pub fn restart(&mut self) {
        self.spawn();
        self.wait();
    }

    /// Stops it in its tracks: its connections stay open and nobody answers.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.process_id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join("server").join(name)
    }

    fn make_certificate(&self) {
        let keytool = |args: &[&str]| {
            let mut command = Command::new("keytool");
            command.args(args).args(["-alias", "node", "-storepass", "changeit", "-keystore"]);
            let done = command.arg(self.file("keystore.p12")).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
            done.stdout
        };
        let name = ["-dname", "CN=127.0.0.1", "-ext", "san=ip:127.0.0.1", "-storetype", "PKCS12"];
        keytool(&[&["-genkeypair", "-keyalg", "RSA", "-validity", "30"][..], &name].concat());
        std::fs::write(self.certificate(), keytool(&["-exportcert", "-rfc"])).unwrap();
    }

    fn yaml(&self, storage_port: u16) -> String {
        let (data, keystore) = (self.file("data"), self.file("keystore.p12"));
        let (data, keystore, port) = (data.display(), keystore.display(), self.port);
        let Size { memtable, commit_log, settings, .. } = self.size;
        format!(
            "cluster_name: tests\nnum_tokens: 1\npartitioner: org.apache.cassandra.dht.Murmur3Partitioner\n\
             commitlog_sync: periodic\ncommitlog_sync_period: 10000ms\ncommitlog_segment_size: 32MiB\n\
             commitlog_total_space: {commit_log}\nmemtable_heap_space: {memtable}\nmemtable_offheap_space: {memtable}\n\
             data_file_directories:\n  - {data}/data\ncommitlog_directory: {data}/commitlog\n\
             saved_caches_directory: {data}/caches\nhints_directory: {data}/hints\ncdc_raw_directory: {data}/cdc\n\
             listen_address: 127.0.0.1\nrpc_address: 127.0.0.1\nstorage_port: {storage_port}\n\
             native_transport_port: {port}\nendpoint_snitch: SimpleSnitch\nauto_bootstrap: false\n\
             auto_snapshot: false\nauthenticator: PasswordAuthenticator\n\
             seed_provider:\n  - class_name: org.apache.cassandra.locator.SimpleSeedProvider\n    parameters:\n\
             \x20     - seeds: \"127.0.0.1:{storage_port}\"\n\
             client_encryption_options:\n  enabled: true\n  optional: true\n  keystore: {keystore}\n\
             \x20 keystore_password: changeit\n  store_type: PKCS12\n{settings}"
        )
    }

    fn spawn(&mut self) {
        let output = std::fs::OpenOptions::new().create(true).append(true).open(self.file("output")).unwrap();
        let mut command = Command::new("java");
        command.args(JVM).args(self.size.jvm);
        command.args(EXPORTS.map(|module| format!("--add-exports={module}=ALL-UNNAMED")));
        command.args(OPENS.map(|module| format!("--add-opens={module}=ALL-UNNAMED")));
        command
            .arg(format!("-javaagent:{}/jamm-0.4.0.jar", self.libraries.display()))
            .arg(format!("-Dcassandra.config=file://{}", self.file("cassandra.yaml").display()))
            .arg(format!("-Dlogback.configurationFile={}", self.file("logback.xml").display()))
            .arg(format!("-Dcassandra.storagedir={}", self.file("data").display()))
            .arg(format!("-Dcassandra.jmx.local.port={}", quiet_port()))
            .arg("-cp")
            .arg(format!("{}/*", self.libraries.display()))
            .arg("org.apache.cassandra.service.CassandraDaemon")
            .stdin(Stdio::null())
            .stderr(output.try_clone().unwrap())
            .stdout(output);
        let process = command.spawn().unwrap();
        std::fs::write(self.file("pid"), process.id().to_string()).unwrap();
        self.process = Some(process);
    }

    fn wait(&mut self) {
        let (output, port) = (self.file("output"), self.port);
        until("a Cassandra that answers", START, || {
            if let Some(status) = self.process.as_mut().and_then(|process| process.try_wait().unwrap()) {
                panic!("it ended with {status}: {}", read(&output));
            }
            answers(port).is_some()
        });
    }
}

impl Drop for Cassandra {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Asks what it supports, the first request of any client.
fn answers(port: u16) -> Option<()> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    // Version 4, no flags, stream 0, OPTIONS, no body.
    stream.write_all(&[4, 0, 0, 0, 5, 0, 0, 0, 0]).ok()?;
    let mut head = [0; 9];
    stream.read_exact(&mut head).ok()?;
    // An answer of version 4: SUPPORTED.
    (head[0] == 0x84 && head[4] == 6).then_some(())
}

/// Quick to start, and no waiting for other nodes.
const JVM: &[&str] = &[
    "-XX:+UseSerialGC",
    "-Xss512k",
    // Otherwise it closes its output once it has started.
    "-Dcassandra-foreground=yes",
    "-Dcassandra.ring_delay_ms=1",
    "-Dcassandra.skip_wait_for_gossip_to_settle=0",
    "-Dcassandra.superuser_setup_delay_ms=0",
    "-Djava.security.manager=allow",
];

/// What the server's own start script lets it see of Java 17.
const EXPORTS: [&str; 8] = [
    "java.base/jdk.internal.misc",
    "java.base/jdk.internal.ref",
    "java.base/sun.nio.ch",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.rmi/sun.rmi.transport.tcp",
    "java.sql/java.sql",
];

const OPENS: [&str; 17] = [
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.lang.reflect",
    "java.base/java.io",
    "java.base/java.nio",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/java.net",
    "java.base/sun.nio.ch",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.util.jar",
    "jdk.management/com.sun.management.internal",
];

const LOGGING: &str = "<configuration><appender name=\"out\" class=\"ch.qos.logback.core.ConsoleAppender\"><encoder>\
    <pattern>%d %p %c %m%n</pattern></encoder></appender><root level=\"WARN\"><appender-ref ref=\"out\"/></root>\
    </configuration>";
