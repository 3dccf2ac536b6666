//! A real schema registry for tests, Apicurio with Confluent's interface: fetched by Maven once, ended with the test.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::kafka::{has, janitor, target_folder};
use crate::{free_port, get, until};

const VERSION: &str = "2.6.13.Final";
/// How long it may take to start on the slowest machine.
const START: Duration = Duration::from_secs(180);

/// A registry in memory.
pub struct SchemaRegistry {
    port: u16,
    process: Child,
    folder: PathBuf,
    /// Ends it when this process is gone, however it goes.
    _janitor: Child,
}

impl SchemaRegistry {
    /// Starts one; none, said loudly, where a tool is missing. In CI that is a failure.
    pub fn start() -> Option<Self> {
        let program = program()?;
        let folder = tempfile::Builder::new().prefix("leadline-registry-").tempdir().unwrap().keep();
        let own = folder.join("0");
        std::fs::create_dir(&own).unwrap();
        let janitor = janitor(&folder);
        let port = free_port();
        let output = std::fs::File::create(own.join("output")).unwrap();
        let process = Command::new("java")
            .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx384m", "-jar"])
            .arg(program.join(format!("apicurio-registry-app-{VERSION}-runner.jar")))
            .env("QUARKUS_HTTP_HOST", "127.0.0.1")
            .env("QUARKUS_HTTP_PORT", port.to_string())
            .stdin(Stdio::null())
            .stderr(output.try_clone().unwrap())
            .stdout(output)
            .spawn()
            .unwrap();
        std::fs::write(own.join("pid"), process.id().to_string()).unwrap();
        let registry = Self { port, process, folder, _janitor: janitor };
        until("a schema registry that answers", START, || {
            get(port, "/apis/ccompat/v7/subjects", "").is_some_and(|(status, _)| status == 200)
        });
        Some(registry)
    }

    /// Below which `subjects` lies.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/apis/ccompat/v7", self.port)
    }

    /// A GET below the address.
    pub fn get(&self, path: &str) -> String {
        get(self.port, &format!("/apis/ccompat/v7/{path}"), "").unwrap().1
    }

    /// Stops it in its tracks, or lets it go on.
    pub fn freeze(&self, frozen: bool) {
        let signal = if frozen { "-STOP" } else { "-CONT" };
        assert!(
            Command::new("kill").args([signal, &self.process.id().to_string()]).status().unwrap().success()
        );
    }

    /// The jars that a client needs to read Avro.
    pub fn client_jars() -> Vec<PathBuf> {
        let wanted = ["avro-1.", "jackson-core-", "jackson-databind-", "jackson-annotations-"];
        let jars = std::fs::read_dir(program().unwrap().join("lib")).unwrap().map(|jar| jar.unwrap().path());
        jars.filter(|jar| {
            let name = jar.file_name().unwrap().to_string_lossy().into_owned();
            wanted.iter().any(|wanted| name.contains(&format!(".{wanted}")))
        })
        .collect()
    }
}

impl Drop for SchemaRegistry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The folder with the program, beside what cargo builds.
fn program() -> Option<PathBuf> {
    let folder = target_folder().join("registry");
    let program = folder.join(VERSION);
    if !has("java", "-version", "install a JDK 17 and Maven") {
        return None;
    }
    if program.exists() {
        return Some(program);
    }
    if !has("mvn", "-version", "install a JDK 17 and Maven") {
        return None;
    }
    std::fs::create_dir_all(&folder).unwrap();
    let fresh = tempfile::Builder::new().prefix("fetching-").tempdir_in(&folder).unwrap();
    run(Command::new("mvn")
        .args(["-q", "-B", "dependency:copy"])
        .arg(format!("-Dartifact=io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"))
        .arg(format!("-DoutputDirectory={}", fresh.path().display())));
    unpack(fresh.path());
    // Another test may have been faster; then its folder is as good.
    let _ = std::fs::rename(fresh.path(), &program);
    assert!(program.exists());
    Some(program)
}

fn unpack(folder: &Path) {
    let archive = folder.join(format!("apicurio-registry-app-{VERSION}-all.tar.gz"));
    run(Command::new("tar").arg("xzf").arg(&archive).arg("-C").arg(folder));
    std::fs::remove_file(archive).unwrap();
}

fn run(command: &mut Command) {
    let done = command.output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said));
}
