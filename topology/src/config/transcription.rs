//! Sections `[transcription.NAME]`: who can be asked for transcripts. A tenant's `transcribe_provider` and
//! `transcribe_fallbacks` name them.

use std::path::PathBuf;

use leadline_connectors::contract::provider::Limits;
use leadline_connectors::provider_speech_command::AUDIO;
use leadline_connectors::provider_speech_google::{Channels, LOCATIONS};

use super::Config;
use super::values::{address, name, number, shown};

/// What the sections' names begin with.
const SECTION: &str = "transcription.";
/// The longest name of one.
const NAME_CHARS_MAX: usize = 40;
/// Names that mean something else in a transcript.
const TAKEN: [&str; 2] = ["callrail", "none"];
/// The keys of a section.
pub(super) const FIELDS: [&str; 15] = [
    "kind",
    "endpoint",
    "model",
    "key_file",
    "project",
    "location",
    "bucket",
    "channels",
    "command",
    "price_micros_per_minute",
    "batch_price_micros_per_minute",
    "timeout_s",
    "max_bytes",
    "calls_max",
    "calls_per_minute",
];
/// A price of a hundred a minute is a slip.
const PRICE_MICROS_MAX: i64 = 100_000_000;

/// Which interface a provider has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpeechKind {
    /// Google Speech-to-Text v2.
    Google,
    /// OpenAI's interface, as servers of whisper models have it.
    OpenAi,
    /// A command on this machine.
    Command,
}

/// One provider of transcripts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcription {
    /// Its interface.
    pub kind: Option<SpeechKind>,
    /// The whole address, for `openai`; a server for tests, for `google`.
    pub endpoint: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// A file with the key, for `openai`; with an access token in place of the application's default credentials, for `google`.
    pub key_file: Option<PathBuf>,
    /// Google's project, if not `google.project`.
    pub project: Option<String>,
    /// Google's region.
    pub location: Option<String>,
    /// The bucket that recordings lie in, if not `google.audio_bucket`.
    pub bucket: Option<String>,
    /// What becomes of a recording with several channels, for `google`.
    pub channels: Option<Channels>,
    /// The command, its parts divided by blanks.
    pub command: Option<String>,
    /// The price of a minute, in millionths of the currency.
    pub price_micros_per_minute: Option<i64>,
    /// The same for backfills, for `google`.
    pub batch_price_micros_per_minute: Option<i64>,
    /// One attempt.
    pub timeout_s: Option<u64>,
    /// The largest recording, for `openai`.
    pub bytes_max: Option<u64>,
    /// How many calls it is asked about at once, over all tenants of this process; none: `ai.calls_max`, and one for a
    /// `command`, which takes all cores.
    pub calls_max: Option<usize>,
    /// How many it is asked about in a minute, by all processes together; none: `ai.calls_per_minute`.
    pub calls_per_minute: Option<u32>,
}

/// The section and the key of a name in the file, if it is of such a section: `transcription.whisper.model`.
pub(super) fn parts(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(SECTION)?.split_once('.').filter(|(_, key)| !key.contains('.'))
}

impl Transcription {
    /// Takes a value.
    pub(super) fn take(&mut self, key: &str, text: &str) -> Result<(), String> {
        let price = |text: &str| number(text, 0, PRICE_MICROS_MAX).map(Some);
        match key {
            "kind" => {
                self.kind = Some(match text {
                    "google" => SpeechKind::Google,
                    "openai" => SpeechKind::OpenAi,
                    "command" => SpeechKind::Command,
                    other => {
                        return Err(format!("{} is no kind: use google, openai or command", shown(other)));
                    }
                });
            }
            "endpoint" => self.endpoint = Some(address(text)?),
            "model" => self.model = Some(name(text)?),
            "key_file" => self.key_file = Some(name(text)?.into()),
            "project" => self.project = Some(name(text)?),
            "location" => self.location = Some(name(text)?),
            "bucket" => self.bucket = Some(name(text)?),
            "channels" => {
                self.channels = Some(match text {
                    "mixed" => Channels::Mixed,
                    "separate" => Channels::Separate,
                    other => {
                        return Err(format!(
                            "{} is no way to hear channels: use mixed or separate",
                            shown(other)
                        ));
                    }
                });
            }
            "command" => self.command = Some(name(text)?),
            "price_micros_per_minute" => self.price_micros_per_minute = price(text)?,
            "batch_price_micros_per_minute" => self.batch_price_micros_per_minute = price(text)?,
            "timeout_s" => self.timeout_s = Some(number(text, 1, 86_400)?),
            "max_bytes" => self.bytes_max = Some(number(text, 1 << 10, 1 << 30)?),
            "calls_max" => self.calls_max = Some(number(text, 1, 768)?),
            "calls_per_minute" => self.calls_per_minute = Some(number(text, 1, 10_000_000)?),
            _ => return Err(format!("is not known: a provider of transcripts has {}", FIELDS.join(", "))),
        }
        Ok(())
    }

    /// What a service takes from all tenants together: its own limits, else those of all.
    pub(crate) fn limits(&self, all: Limits) -> Limits {
        all.or_own(self.calls_max, self.calls_per_minute)
    }

    /// Keys that are given and that others than this kind have.
    fn strangers(&self, kind: SpeechKind) -> Vec<&'static str> {
        use SpeechKind::{Command, Google, OpenAi};
        let given: [(&'static str, bool, &[SpeechKind]); 11] = [
            ("endpoint", self.endpoint.is_some(), &[Google, OpenAi]),
            ("model", self.model.is_some(), &[Google, OpenAi]),
            ("key_file", self.key_file.is_some(), &[Google, OpenAi]),
            ("project", self.project.is_some(), &[Google]),
            ("location", self.location.is_some(), &[Google]),
            ("bucket", self.bucket.is_some(), &[Google]),
            ("channels", self.channels.is_some(), &[Google]),
            ("command", self.command.is_some(), &[Command]),
            ("batch_price_micros_per_minute", self.batch_price_micros_per_minute.is_some(), &[Google]),
            ("max_bytes", self.bytes_max.is_some(), &[OpenAi]),
            ("calls_per_minute", self.calls_per_minute.is_some(), &[Google, OpenAi]),
        ];
        given.into_iter().filter(|(_, is, of)| *is && !of.contains(&kind)).map(|(key, ..)| key).collect()
    }
}

/// What is wrong with sections whose keys are right one by one.
pub(super) fn mistakes(config: &Config) -> Vec<(String, String)> {
    let mut wrong = Vec::new();
    for (section, one) in &config.transcription {
        let mut tell = |key: &str, what: String| wrong.push((format!("{SECTION}{section}.{key}"), what));
        if !is_name(section) {
            let what = format!(
                "{} cannot be the name of a provider: use up to {NAME_CHARS_MAX} of a-z, 0-9, - and _, and none of {}",
                shown(section),
                TAKEN.join(", ")
            );
            tell("kind", what);
        }
        let Some(kind) = one.kind else {
            tell("kind", "is missing: use google, openai or command".to_owned());
            continue;
        };
        for key in one.strangers(kind) {
            tell(key, format!("is no key of kind {}: leave it out", named(kind)));
        }
        for (key, what) in missing(config, one, kind) {
            tell(key, what);
        }
    }
    wrong
}

fn missing(config: &Config, one: &Transcription, kind: SpeechKind) -> Vec<(&'static str, String)> {
    let mut wrong = Vec::new();
    match kind {
        SpeechKind::Google => {
            if one.project.is_none() && config.google_cloud_project.is_none() {
                wrong.push(("project", "is missing: give it here, or as google.project".to_owned()));
            }
            if one.bucket.is_none() && config.audio_storage_bucket.is_none() {
                let what = "is missing: Google reads what lasts more than a minute from a bucket alone, so recordings \
                            have to lie in google.audio_bucket";
                wrong.push(("bucket", what.to_owned()));
            }
            let (model, location) = (google_model(one), google_location(one));
            if model.starts_with("chirp_3") && !LOCATIONS.contains(&location) {
                let what = format!("{model} is not in {}: use {}", shown(location), LOCATIONS.join(", "));
                wrong.push(("location", what));
            }
            if one.key_file.is_none() && !cfg!(feature = "gcs") {
                let what = "is missing: this leadline was built without Google's credentials; build it with --features \
                            gcs, or name a file with an access token";
                wrong.push(("key_file", what.to_owned()));
            }
        }
        SpeechKind::OpenAi => {
            if one.endpoint.is_none() {
                let what = "is missing: give the whole address, such as https://api.openai.com/v1/audio/transcriptions";
                wrong.push(("endpoint", what.to_owned()));
            }
            if one.model.is_none() {
                wrong.push(("model", "is missing: give the model's name, such as whisper-1".to_owned()));
            }
        }
        SpeechKind::Command => match &one.command {
            None => {
                wrong.push(("command", format!("is missing: give a program and its arguments with {AUDIO}")))
            }
            Some(command) if !command.contains(AUDIO) => {
                let what =
                    format!("does not say where the recording goes: write {AUDIO} among the arguments");
                wrong.push(("command", what));
            }
            Some(_) => {}
        },
    }
    wrong
}

/// The model of a section of kind google.
pub(crate) fn google_model(one: &Transcription) -> &str {
    one.model.as_deref().unwrap_or("chirp_3")
}

/// The region of a section of kind google. Not `google.location`: Chirp 3 is in few of the places that others are in.
pub(crate) fn google_location(one: &Transcription) -> &str {
    one.location.as_deref().unwrap_or("us")
}

fn named(kind: SpeechKind) -> &'static str {
    match kind {
        SpeechKind::Google => "google",
        SpeechKind::OpenAi => "openai",
        SpeechKind::Command => "command",
    }
}

fn is_name(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    !name.is_empty() && name.len() <= NAME_CHARS_MAX && name.bytes().all(letter) && !TAKEN.contains(&name)
}
