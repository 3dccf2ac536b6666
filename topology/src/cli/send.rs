//! `leadline send`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use clap::Args;
use indicatif::ProgressBar;
use leadline_connectors::http_client::Client;
use ring::hmac;
use serde_json::{Value, json};

use super::Failure;
use super::output::Output;

#[derive(Args)]
pub(super) struct SendArgs {
    /// Files of one JSON body each, or .jsonl of one body a line.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The instance, such as http://127.0.0.1:8080.
    #[arg(long)]
    url: String,
    /// What bodies are signed with.
    #[arg(long, value_name = "KEY")]
    signing_key: String,
    /// The event kind of the path (post_call, ...); told from the shape when left out.
    #[arg(long, value_name = "KIND")]
    event: Option<String>,
    /// Print one JSON object a body: its name, the status (0 = no answer) and the answer.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &SendArgs, output: &Output) -> Result<(), Failure> {
    let bodies = bodies(&args.files)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(anyhow::Error::from)?;
    let path = args.event.as_ref().map_or_else(String::new, |event| format!("/{event}"));
    let address = format!("{}/v1/callrail/webhook{path}", args.url.trim_end_matches('/'));
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, args.signing_key.as_bytes());
    let client = Client::new().map_err(anyhow::Error::from)?;
    let progress = if bodies.len() > 20 && !args.json {
        ProgressBar::new(bodies.len() as u64)
    } else {
        ProgressBar::hidden()
    };
    let mut refused = 0;
    for (name, body) in &bodies {
        let signature = base64::engine::general_purpose::STANDARD.encode(hmac::sign(&key, body));
        let answer = runtime.block_on(client.post_webhook(
            &address,
            body.clone(),
            &signature,
            Duration::from_secs(30),
        ));
        progress.inc(1);
        let (status, text) = answer.unwrap_or_else(|error| (0, format!("{address} {error}")));
        let taken = (200..300).contains(&status);
        refused += usize::from(!taken);
        if args.json {
            let answer: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
            output.line(&json!({ "name": name, "status": status, "answer": answer }).to_string());
        } else if !taken {
            output.error(&format!("{name}: {status} {text}"));
        } else if progress.is_hidden() {
            output.line(&format!("{status}  {name}  {text}"));
        }
    }
    progress.finish_and_clear();
    if refused > 0 {
        return Err(Failure(format!("{refused} of {} were not accepted", bodies.len()), 1));
    }
    if !args.json {
        output.line(&format!("{} accepted", bodies.len()));
    }
    Ok(())
}

type Bodies = Vec<(String, Vec<u8>)>;

fn bodies(files: &[PathBuf]) -> Result<Bodies, Failure> {
    let mut bodies = Vec::new();
    for file in files {
        let content = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
        let name = file.display().to_string();
        if file.extension().is_some_and(|extension| extension == "jsonl") {
            for (index, line) in
                content.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty())
            {
                bodies.push((format!("{name}:{}", index + 1), line.to_vec()));
            }
        } else {
            bodies.push((name, content));
        }
    }
    Ok(bodies)
}
