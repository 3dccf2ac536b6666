//! Real Kafka brokers for tests: fetched by Maven once, started on loopback, ended with the test's process.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::proxy::{Network, Proxy};
use crate::until;

/// The version of `tests/kafka/pom.xml`: the folder that keeps it is named after it.
const VERSION: &str = "4.4.0";
/// How long brokers may take to start on the slowest machine.
const START: Duration = Duration::from_secs(120);

/// The user that a secure cluster knows, by PLAIN and SCRAM-SHA-512.
pub const USER: (&str, &str) = ("leadline", "not-so-secret");

/// Brokers that know each other.
pub struct Cluster {
    folder: PathBuf,
    jvm: &'static [&'static str],
    brokers: Vec<Broker>,
    /// What clients are sent through, if anything.
    proxy: Option<Proxy>,
    network: Option<Network>,
    /// Ends the brokers and removes the folder when this process is gone, however it goes.
    _janitor: Child,
}

struct Broker {
    ports: Ports,
    process: Option<Child>,
}

/// One port for each listener.
#[derive(Clone, Copy)]
struct Ports {
    clients: u16,
    /// What clients are told.
    advertised: u16,
    /// TLS and SASL.
    secure: u16,
    brokers: u16,
    controllers: u16,
}

impl Ports {
    fn free() -> Self {
        let clients = quiet_port();
        let (secure, brokers, controllers) = (quiet_port(), quiet_port(), quiet_port());
        Self { clients, advertised: clients, secure, brokers, controllers }
    }
}

impl Cluster {
    /// Starts so many; none, said loudly, where a tool is missing. In CI that is a failure.
    pub fn start(count: usize) -> Option<Self> {
        let libraries = libraries()?;
        Some(Self::with(&libraries, (0..count).map(|_| Ports::free()).collect(), SHORT_RUN))
    }

    /// Starts one broker for measurements: it compiles what is hot, and its heap holds what clients send at full speed.
    pub fn for_load() -> Option<Self> {
        let libraries = libraries()?;
        Some(Self::with(&libraries, vec![Ports::free()], LONG_RUN))
    }

    /// Starts one that clients reach through a proxy.
    pub fn behind_proxy() -> Option<Self> {
        let libraries = libraries()?;
        let mut ports = Ports::free();
        let proxy = Proxy::start(ports.clients);
        ports.advertised = proxy.port;
        let mut cluster = Self::with(&libraries, vec![ports], SHORT_RUN);
        cluster.proxy = Some(proxy);
        Some(cluster)
    }

    /// Starts one that clients reach over a network with faults.
    pub fn behind_network() -> Option<Self> {
        let libraries = libraries()?;
        let mut ports = Ports::free();
        let network = Network::start(ports.clients);
        ports.advertised = network.port;
        let mut cluster = Self::with(&libraries, vec![ports], SHORT_RUN);
        cluster.network = Some(network);
        Some(cluster)
    }

    fn with(libraries: &Path, ports: Vec<Ports>, jvm: &'static [&'static str]) -> Self {
        let folder = tempfile::Builder::new().prefix("leadline-kafka-").tempdir().unwrap().keep();
        let (proxy, network) = (None, None);
        let mut cluster =
            Self { _janitor: janitor(&folder), brokers: Vec::new(), proxy, network, folder, jvm };
        cluster.make_certificate();
        let id =
            java(libraries, SHORT_RUN).args(["kafka.tools.StorageTool", "random-uuid"]).output().unwrap();
        let id = String::from_utf8(id.stdout).unwrap().trim().to_owned();
        for index in 0..ports.len() {
            cluster.prepare(index, &ports);
            let file = cluster.file(index, "server.properties");
            let user = format!("SCRAM-SHA-512=[name={},password={}]", USER.0, USER.1);
            let format = ["kafka.tools.StorageTool", "format", "-t", &id, "-c", &file, "--add-scram", &user];
            let done = java(libraries, SHORT_RUN).args(format).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            cluster.brokers.push(Broker { ports: ports[index], process: None });
        }
        (0..ports.len()).for_each(|index| cluster.spawn(index));
        (0..ports.len()).for_each(|index| cluster.wait(index));
        cluster
    }

    /// What a client is given: all of them.
    pub fn bootstrap(&self) -> String {
        let address = |broker: &Broker| format!("127.0.0.1:{}", broker.ports.advertised);
        self.brokers.iter().map(address).collect::<Vec<_>>().join(",")
    }

    /// The same for a client that speaks TLS and SASL.
    pub fn bootstrap_secure(&self) -> String {
        let address = |broker: &Broker| format!("127.0.0.1:{}", broker.ports.secure);
        self.brokers.iter().map(address).collect::<Vec<_>>().join(",")
    }

    /// The brokers' processes, as long as nobody has ended them.
    pub fn processes(&self) -> Vec<u32> {
        self.brokers.iter().filter_map(|broker| Some(broker.process.as_ref()?.id())).collect()
    }

    /// The certificate of the brokers, which is its own authority.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    pub fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("a cluster behind a proxy")
    }

    pub fn network(&self) -> &Network {
        self.network.as_ref().expect("a cluster behind a network")
    }

    fn make_certificate(&self) {
        let store = self.folder.join("keystore.p12");
        let keytool = |args: &[&str]| {
            let mut command = Command::new("keytool");
            command.args(args).args(["-alias", "broker", "-storepass", "changeit", "-keystore"]).arg(&store);
            let done = command.output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
            done.stdout
        };
        let name = ["-dname", "CN=127.0.0.1", "-ext", "san=ip:127.0.0.1", "-storetype", "PKCS12"];
        keytool(&[&["-genkeypair", "-keyalg", "RSA", "-validity", "30"][..], &name].concat());
        std::fs::write(self.certificate(), keytool(&["-exportcert", "-rfc"])).unwrap();
    }

    /// Ends one as a power cut does.
    pub fn kill(&mut self, index: usize) {
        if let Some(mut process) = self.brokers[index].process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
        std::fs::remove_file(self.file(index, "pid")).unwrap();
    }

    /// Starts one again, on what it had, and waits until it answers.
    pub fn restart(&mut self, index: usize) {
        self.spawn(index);
        self.wait(index);
    }

    /// Stops one in its tracks: its connections stay open and nobody answers.
    pub fn pause(&self, index: usize) {
        self.signal(index, "-STOP");
        // The signal is only sent when `kill` returns, and a broker has a hundred threads.
        let process = self.brokers[index].process.as_ref().unwrap().id();
        until("a broker that stands still", START, || threads(process).all(|state| state == "T"));
    }

    /// Lets it go on.
    pub fn resume(&self, index: usize) {
        self.signal(index, "-CONT");
    }

    fn signal(&self, index: usize, signal: &str) {
        let id = self.brokers[index].process.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    fn file(&self, index: usize, name: &str) -> String {
        self.folder.join(index.to_string()).join(name).to_string_lossy().into_owned()
    }

    fn prepare(&self, index: usize, all: &[Ports]) {
        std::fs::create_dir(self.folder.join(index.to_string())).unwrap();
        std::fs::write(self.file(index, "log4j2.properties"), LOGGING).unwrap();
        let Ports { clients, advertised, secure, brokers, controllers } = all[index];
        let voters = all.iter().enumerate();
        let voters: Vec<String> =
            voters.map(|(n, ports)| format!("{}@127.0.0.1:{}", n + 1, ports.controllers)).collect();
        let (copies, two) = (all.len().min(3), all.len().clamp(1, 2));
        let text = format!(
            "process.roles=broker,controller\nnode.id={}\ncontroller.quorum.voters={}\n\
             listeners=CLIENT://127.0.0.1:{clients},SECURE://127.0.0.1:{secure},INTERNAL://127.0.0.1:{brokers},CONTROLLER://127.0.0.1:{controllers}\n\
             advertised.listeners=CLIENT://127.0.0.1:{advertised},SECURE://127.0.0.1:{secure},INTERNAL://127.0.0.1:{brokers}\n\
             listener.security.protocol.map=CLIENT:PLAINTEXT,SECURE:SASL_SSL,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             controller.listener.names=CONTROLLER\ninter.broker.listener.name=INTERNAL\nlog.dirs={}\n\
             offsets.topic.replication.factor={copies}\ntransaction.state.log.replication.factor={copies}\n\
             transaction.state.log.min.isr={two}\nshare.coordinator.state.topic.replication.factor={copies}\n\
             share.coordinator.state.topic.min.isr={two}\n{SMALL}{}",
            index + 1,
            voters.join(","),
            self.file(index, "data"),
            security(&self.folder.join("keystore.p12")),
        );
        std::fs::write(self.file(index, "server.properties"), text).unwrap();
    }

    fn spawn(&mut self, index: usize) {
        let output = self.file(index, "output");
        let output = std::fs::OpenOptions::new().create(true).append(true).open(output).unwrap();
        let mut command = java(&libraries().unwrap(), self.jvm);
        command
            .arg(format!("-Dlog4j2.configurationFile={}", self.file(index, "log4j2.properties")))
            .arg("kafka.Kafka")
            .arg(self.file(index, "server.properties"))
            .stdin(Stdio::null())
            .stderr(output.try_clone().unwrap())
            .stdout(output);
        let process = command.spawn().unwrap();
        std::fs::write(self.file(index, "pid"), process.id().to_string()).unwrap();
        self.brokers[index].process = Some(process);
    }

    fn wait(&mut self, index: usize) {
        let output = self.file(index, "output");
        until("a Kafka broker that answers", START, || {
            let broker = &mut self.brokers[index];
            if let Some(status) = broker.process.as_mut().and_then(|process| process.try_wait().unwrap()) {
                panic!("the broker ended with {status}: {}", std::fs::read_to_string(&output).unwrap());
            }
            answers(broker.ports.clients).is_some()
        });
    }
}

/// A free port below those that the system gives to connections: a client that tries a dead broker again and again
/// would sooner or later be given the broker's own port, connect to itself, and keep the broker from starting.
pub(crate) fn quiet_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let step = std::process::id().wrapping_mul(97).wrapping_add(NEXT.fetch_add(1, Ordering::SeqCst));
        let port = u16::try_from(20_000 + step % 12_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Few internal partitions, no waiting for members that may come, sessions and transactions as short as a test.
const SMALL: &str = "auto.create.topics.enable=false\noffsets.topic.num.partitions=4\n\
    transaction.state.log.num.partitions=4\ngroup.initial.rebalance.delay.ms=0\ngroup.min.session.timeout.ms=1000\n\
    transaction.abort.timed.out.transaction.cleanup.interval.ms=1000\n";

/// The listener with TLS and SASL. OAUTHBEARER takes tokens without a signature here.
fn security(keystore: &Path) -> String {
    let (user, password) = USER;
    let of = "listener.name.secure";
    let module = "org.apache.kafka.common.security";
    format!(
        "{of}.ssl.keystore.location={}\n{of}.ssl.keystore.password=changeit\n{of}.ssl.keystore.type=PKCS12\n\
         {of}.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512,OAUTHBEARER\n\
         {of}.plain.sasl.jaas.config={module}.plain.PlainLoginModule required user_{user}=\"{password}\";\n\
         {of}.scram-sha-512.sasl.jaas.config={module}.scram.ScramLoginModule required;\n\
         {of}.oauthbearer.sasl.jaas.config={module}.oauthbearer.OAuthBearerLoginModule required \
         unsecuredLoginStringClaim_sub=\"broker\";\n",
        keystore.display()
    )
}

/// The state of each thread of a process, as `proc(5)` names it.
fn threads(process: u32) -> impl Iterator<Item = String> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    tasks.map_while(Result::ok).filter_map(|task| {
        let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
        Some(stat.rsplit_once(") ")?.1.get(..1)?.to_owned())
    })
}

const LOGGING: &str = "rootLogger.level = warn\nrootLogger.appenderRef.out.ref = out\nappender.out.type = Console\n\
    appender.out.name = out\nappender.out.layout.type = PatternLayout\nappender.out.layout.pattern = %d %p %c %m%n\n";

/// Asks for the versions of its interface, the first request of any client.
fn answers(port: u16) -> Option<()> {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    // Size, key 18 (ApiVersions), version 0, correlation 7, no client id.
    stream.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff]).ok()?;
    let mut head = [0; 10];
    stream.read_exact(&mut head).ok()?;
    (head[4..8] == [0, 0, 0, 7] && head[8..10] == [0, 0]).then_some(())
}

/// Waits for the end of this process, which closes its standard input.
pub(crate) fn janitor(folder: &Path) -> Child {
    let script = "read _; for file in \"$0\"/*/pid; do [ -e \"$file\" ] && kill -9 \"$(cat \"$file\")\"; done; \
                  rm -rf \"$0\"";
    let mut command = Command::new("sh");
    command
        .args(["-c", script])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Quick to start; the tests' loads are small.
const SHORT_RUN: &[&str] = &["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xms256m", "-Xmx512m"];
/// What Kafka's own scripts start a broker with.
const LONG_RUN: &[&str] = &["-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-Xms1g", "-Xmx1g"];

fn java(libraries: &Path, jvm: &[&str]) -> Command {
    let mut command = Command::new("java");
    command.args(jvm).arg("-cp");
    command.arg(format!("{}/*", libraries.display()));
    command
}

/// Runs a client of one Java file, in `tests/kafka`, with the broker's jars and more of them; what it prints.
pub fn foreign(file: &str, more: &[PathBuf], args: &[&str]) -> String {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("kafka").join(file);
    let jars = more.iter().map(|jar| format!(":{}", jar.display())).collect::<String>();
    let mut command = Command::new("java");
    command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m", "-cp"]);
    command.arg(format!("{}/*{jars}", libraries().unwrap().display())).arg(source).args(args);
    let done = command.output().unwrap();
    assert!(done.status.success(), "{file} {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// The folder of what cargo builds.
pub(crate) fn target_folder() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    // Tests lie in `deps`, programs beside it.
    let built = here.parent().unwrap();
    let profile = if built.ends_with("deps") { built.parent().unwrap() } else { built };
    profile.parent().unwrap().to_owned()
}

/// The folder with the broker's jars, beside what cargo builds.
fn libraries() -> Option<PathBuf> {
    jars("kafka", VERSION)
}

/// The jars of `tests/{name}/pom.xml`, fetched by Maven once, beside what cargo builds.
pub(crate) fn jars(name: &str, version: &str) -> Option<PathBuf> {
    let folder = target_folder().join(name);
    let libraries = folder.join(version);
    if !has("java", "-version", "install a JDK 17 and Maven") {
        return None;
    }
    if libraries.exists() {
        return Some(libraries);
    }
    if !has("mvn", "-version", "install a JDK 17 and Maven") {
        return None;
    }
    std::fs::create_dir_all(&folder).unwrap();
    let fresh = tempfile::Builder::new().prefix("fetching-").tempdir_in(&folder).unwrap();
    let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join(name).join("pom.xml");
    let done = Command::new("mvn")
        .args(["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", "-f"])
        .arg(&pom)
        .arg(format!("-DoutputDirectory={}", fresh.path().display()))
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    // Another test may have been faster; then its folder is as good.
    let _ = std::fs::rename(fresh.path(), &libraries);
    assert!(libraries.exists());
    Some(libraries)
}

pub(crate) fn has(tool: &str, version: &str, what_to_do: &str) -> bool {
    let found = Command::new(tool).arg(version).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        let why = format!("the tests on real servers need {tool}: {what_to_do}");
        assert!(std::env::var_os("CI").is_none(), "{why}");
        let _ = writeln!(std::io::stderr(), "\nSKIPPED: {why}\n");
    }
    found
}
