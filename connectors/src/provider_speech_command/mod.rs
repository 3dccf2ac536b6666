//! Provider of transcripts: a command of the operator's own, with the recording as a file and JSON on its standard output,
//! in the shape of [`crate::speech::heard`]. `deploy/transcribe.py` is one, for a whisper model on this machine.
//!
//! The command is bounded in time and output, and ended with its whole process group: a shell's children do not outlive it.
//! It gets the recording's path where its arguments say `{audio}`, and in its environment `LEADLINE_LANGUAGE` (`en`),
//! `LEADLINE_PHRASES` (words to expect, one a line) and `LEADLINE_CHANNELS`. Exit status 75 (EX_TEMPFAIL) says that it is worth trying again; any
//! other but 0 that it is not.

mod child;
mod scratch;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use leadline_schemas::reply::PendingJob;
use leadline_schemas::transcription::Transcribed;
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use self::child::{Ended, run};
use self::scratch::Scratch;
use crate::contract::BoxFuture;
use crate::contract::blob::Blob;
use crate::contract::provider::{CallError, Limits, Provider, ProviderAnswer};
use crate::speech::{answer, asked, cost_micros, extension, heard, language, recording, reject};

/// What an argument says where the path of the recording is to stand.
pub const AUDIO: &str = "{audio}";
/// How long a job may wait for the commands before it, beyond its own time: those of partitions that have just come.
const QUEUE_MAX: Duration = Duration::from_secs(3_600);
/// EX_TEMPFAIL of sysexits.h.
const TRY_AGAIN: i32 = 75;

/// Which command, and how much of it.
#[derive(Clone, Debug)]
pub struct CommandSpeechConfig {
    /// What a tenant's policy calls it.
    pub name: String,
    /// The program and its arguments; no shell is between.
    pub command: Vec<String>,
    /// What a minute of sound costs, in millionths of the currency.
    pub price_micros_per_minute: i64,
    /// After this long it is ended.
    pub timeout: Duration,
    /// How many run at once.
    pub running_max: usize,
    /// Where recordings lie while a command hears them; nobody else writes there.
    pub folder: PathBuf,
}

/// A command that hears recordings.
pub struct CommandSpeech {
    config: CommandSpeechConfig,
    blob: Arc<dyn Blob>,
    scratch: Scratch,
    turns: Semaphore,
}

impl CommandSpeech {
    /// This command for recordings of this store. The folder is made, and emptied of what a crash has left there.
    pub fn new(config: CommandSpeechConfig, blob: Arc<dyn Blob>) -> std::io::Result<Self> {
        let scratch = Scratch::open(&config.folder)?;
        let turns = Semaphore::new(config.running_max.max(1));
        Ok(Self { config, blob, scratch, turns })
    }

    async fn transcribe(&self, job: PendingJob, deadline: Duration) -> Result<ProviderAnswer, CallError> {
        let job_asks = asked(&job)?;
        let began = Instant::now();
        let _turn = match tokio::time::timeout(deadline, self.turns.acquire()).await {
            Ok(Ok(turn)) => turn,
            _ => return Err(again("all commands that may run at once were busy".to_owned())),
        };
        let limit = deadline.saturating_sub(began.elapsed()).min(self.config.timeout);
        let hearing = async {
            let content = recording(&self.blob, &job_asks.blob).await?;
            let file = extension(job_asks.codec.as_deref(), &content.stat.about.content_type);
            let path = self.scratch.store(content, file).await?;
            let mut command = self.command(&path.to_string_lossy())?;
            command
                .env("LEADLINE_LANGUAGE", language(job_asks.language.as_deref()))
                .env("LEADLINE_PHRASES", job_asks.phrases.join("\n"))
                .env("LEADLINE_CHANNELS", job_asks.channels.unwrap_or(1).to_string());
            run(command).await
        };
        let ended = tokio::time::timeout(limit, hearing).await.map_err(|_| CallError::Unclear {
            why: format!("{} had not ended after {limit:?} and was ended", self.config.name),
        })??;
        let stdout = self.judged(ended)?;
        let (turns, told_ms) = heard(&stdout, job_asks.first).map_err(reject)?;
        let duration_ms = job_asks.duration_ms.or(told_ms).unwrap_or(0);
        answer(Transcribed::Turns(turns), cost_micros(self.config.price_micros_per_minute, duration_ms))
    }

    fn command(&self, audio: &str) -> Result<Command, CallError> {
        let mut parts = self.config.command.iter().map(|part| part.replace(AUDIO, audio));
        let program = parts.next().ok_or_else(|| reject("the command is empty".to_owned()))?;
        let mut command = Command::new(program);
        command.args(parts);
        Ok(command)
    }

    fn judged(&self, ended: Ended) -> Result<Vec<u8>, CallError> {
        let (name, said) = (&self.config.name, &ended.complaint);
        match ended.status.code() {
            Some(0) => Ok(ended.stdout),
            Some(TRY_AGAIN) => Err(again(format!("{name} wants to be asked again: {said}"))),
            Some(code) => Err(reject(format!("{name} ended with {code}: {said}"))),
            None => Err(again(format!("{name} was ended from outside, perhaps for want of memory: {said}"))),
        }
    }
}

impl Provider for CommandSpeech {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn attempt_timeout(&self) -> Option<Duration> {
        Some(self.config.timeout.saturating_add(QUEUE_MAX))
    }

    fn limits(&self) -> Option<Limits> {
        Some(Limits { calls_max: self.config.running_max.max(1), per_minute: None })
    }

    fn call(&self, job: PendingJob, deadline: Duration) -> BoxFuture<'_, Result<ProviderAnswer, CallError>> {
        Box::pin(self.transcribe(job, deadline))
    }
}

fn again(why: String) -> CallError {
    CallError::Retry { after: None, why }
}
