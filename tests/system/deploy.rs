//! What lies in `deploy/` is true of the binary.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use leadline_tests::{Instance, binary};

fn deploy(name: &str) -> (PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    (path, text)
}

#[test]
fn the_example_configuration_is_right_and_a_wrong_one_hears_file_key_and_remedy() {
    let (path, text) = deploy("leadline.example.toml");
    let check = |path: &Path, json: bool| {
        let mut command = Command::new(binary());
        command.arg("check").arg("--config").arg(path).args(json.then_some("--json"));
        command.env_clear().output().unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let mut right = check(&path, false);
    if String::from_utf8_lossy(&right.stderr).contains("knows no buckets") {
        let others: Vec<&str> = text.lines().filter(|line| !line.starts_with("audio_bucket")).collect();
        let path = folder.path().join("no-bucket.toml");
        std::fs::write(&path, others.join("\n")).unwrap();
        right = check(&path, false);
    }
    assert!(right.status.success(), "{}", String::from_utf8_lossy(&right.stderr));

    let wrong = folder.path().join("wrong.toml");
    std::fs::write(
        &wrong,
        text.replace("partitions = 16", "partitions = 0").replace("requests_max", "request_max"),
    )
    .unwrap();
    let refused = check(&wrong, false);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{why}");
    for word in ["wrong.toml", "partitions", "between 1 and 1024", "http.request_max", "http.requests_max"] {
        assert!(why.contains(word), "{word} in {why}");
    }
    let refused = check(&wrong, true);
    let mistakes: serde_json::Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(mistakes.as_array().unwrap().len(), 2, "{mistakes}");
    assert!(
        mistakes[0]["place"].is_string() && mistakes[0]["key"].is_string() && mistakes[0]["what"].is_string()
    );
}

#[test]
fn units_and_image_call_the_binary_as_it_can_be_called() {
    let help = Command::new(binary()).args(["run", "--help"]).output().unwrap();
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let (_, unit) = deploy("leadline.service");
    let (_, image) = deploy("Dockerfile");
    let start = unit.lines().find(|line| line.starts_with("ExecStart=")).unwrap();
    let command = image.lines().find(|line| line.starts_with("CMD ")).unwrap();
    assert!(start.contains(" run ") && command.contains("\"run\""));
    let words = [start, command].join(" ").replace(['"', ','], " ");
    let flags: Vec<&str> = words.split_whitespace().filter(|word| word.starts_with("--")).collect();
    assert!(flags.len() >= 5, "{flags:?}");
    assert!(flags.iter().all(|flag| help.contains(*flag)), "{flags:?} in {help}");

    let (_, toolchain) = deploy("../rust-toolchain.toml");
    let version =
        toolchain.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap().trim_matches('"');
    assert!(image.contains(&format!("RUST_VERSION={version}\n")), "the image builds with another Rust");
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("\nSKIPPED: systemd-analyze is not here; the units were not verified\n");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for name in ["leadline.service", "leadline.socket"] {
        let text = deploy(name).1.replace("/usr/local/bin/leadline", binary().to_str().unwrap());
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let verified = Command::new("systemd-analyze")
        .arg("verify")
        .args(["leadline.service", "leadline.socket"].map(|name| folder.path().join(name)))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("leadline")).collect();
    assert!(ours.is_empty(), "{said}");
}

#[test]
fn the_supervisor_is_told_of_ready_alive_and_stopping() {
    let mut leadline = Instance::new();
    let path = leadline.data.path().join("notify");
    let supervisor = UnixDatagram::bind(&path).unwrap();
    supervisor.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let heard = || {
        let mut line = [0; 64];
        let bytes = supervisor.recv(&mut line).unwrap();
        String::from_utf8_lossy(&line[..bytes]).into_owned()
    };
    leadline.env.push(("NOTIFY_SOCKET", path.display().to_string()));
    leadline.start();
    let first: Vec<String> = [heard(), heard()].into();
    assert!(first.contains(&"READY=1".to_owned()), "{first:?}");
    while heard() != "WATCHDOG=1" {}
    leadline.signal("-TERM");
    while heard() != "STOPPING=1" {}
    assert!(leadline.process.take().unwrap().wait().unwrap().success());
}
