//! `leadline score`: a scorer on a file, for evaluations and for trying words out; and how scores do.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use leadline::evaluation::asker::Asker;
use leadline::scorers;
use leadline_connectors::scoring::Prompt;
use leadline_operators::rules;
use leadline_operators::score::RULES;
use leadline_schemas::TenantId;
use leadline_schemas::score::{ScoreInput, ScoreOutput};

use super::output::Output;
use super::score_calibration::{self, CalibrationArgs};
use super::score_replay::{self, PromoteArgs, ReplayArgs};
use super::{Failure, Source};

/// Longest line that is read, in bytes; the scorer itself looks at far less.
const LINE_BYTES_MAX: u64 = 32 << 20;
/// Mistakes that are told one by one; of more only the number.
const MISTAKES_TOLD_MAX: usize = 20;
/// Exit code when some lines could not be read; the others are written.
const EXIT_SOME_LINES: u8 = 1;

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct ScoreArgs {
    #[command(subcommand)]
    command: Option<ScoreCommand>,
    /// One contact a line (JSON); - for standard input.
    #[arg(long, value_name = "FILE.jsonl", required = true)]
    input: Option<String>,
    /// One result a line, in the order of the input; - for standard output. A line that cannot be read has none.
    #[arg(long, value_name = "FILE.jsonl", required = true)]
    output: Option<String>,
    /// Who scores: rules, or a service of [scoring.NAME], for which the rules stand in where it fails.
    #[arg(long, default_value = "rules")]
    provider: String,
    /// The prompt that a service is asked with; without it the newest.
    #[arg(long, value_name = "VERSION")]
    prompt: Option<String>,
    #[command(flatten)]
    source: Source,
}

#[derive(Subcommand)]
enum ScoreCommand {
    /// Score what was scored before by another prompt, and say how far they agree. Nothing of it touches leads, and what was
    /// asked is kept: the same command goes on where it ended.
    #[command(
        after_help = "Example:\n  leadline score replay --prompt v2 --since 2026-01-31 --tenant summit --data ./data"
    )]
    Replay(ReplayArgs),
    /// Have a tenant's contacts scored by a prompt from now on.
    #[command(after_help = "Example:\n  leadline score promote --prompt v2 --tenant summit --data ./data")]
    Promote(PromoteArgs),
    /// Say how scores have done by what the company says of its leads.
    #[command(after_help = "Example:\n  leadline score calibration --tenant summit --data ./data")]
    Calibration(CalibrationArgs),
}

/// Who scores a file.
enum Scorer {
    Rules,
    Service { asker: Box<Asker>, tenant: TenantId, prompt: Option<String> },
}

impl Scorer {
    fn of(args: &ScoreArgs) -> Result<Self, Failure> {
        if args.provider == RULES {
            return Ok(Self::Rules);
        }
        let config = args.source.read()?;
        let known = scorers::names(&config);
        if !known.contains(&args.provider) {
            let why = format!(
                "provider {:?} is not known here; known are: {}; configure it as [scoring.{}]",
                args.provider,
                known.join(", "),
                args.provider
            );
            return Err(Failure(why, 2));
        }
        let prompt = args.prompt.as_deref().map(|version| Prompt::of(Some(version))).transpose();
        let prompt = prompt.map_err(|why| Failure(why, 2))?.map(|prompt| prompt.version.to_owned());
        let tenant = TenantId::new("evaluation").map_err(anyhow::Error::from)?;
        Ok(Self::Service { asker: Box::new(Asker::new(&config, &args.provider)?), tenant, prompt })
    }

    /// The score, and why the rules stand in for a service.
    fn score(&self, contact: ScoreInput) -> (ScoreOutput, Option<String>) {
        let Self::Service { asker, tenant, prompt } = self else { return (rules::score(&contact), None) };
        let input = rules::masked(contact);
        match asker.ask(tenant, &input, prompt.as_deref()).result {
            Ok((_, output)) => (output, None),
            Err(why) => (rules::score(&input), Some(why)),
        }
    }
}

pub(super) fn run(args: &ScoreArgs, out: &Output) -> Result<(), Failure> {
    match &args.command {
        Some(ScoreCommand::Replay(args)) => return score_replay::replay(args, out),
        Some(ScoreCommand::Promote(args)) => return score_replay::promote(args, out),
        Some(ScoreCommand::Calibration(args)) => return score_calibration::run(args, out),
        None => {}
    }
    let scorer = Scorer::of(args)?;
    let (from, to) = (args.input.as_deref().unwrap_or("-"), args.output.as_deref().unwrap_or("-"));
    let (input, output) = open(from, to)?;
    let progress = if to == "-" { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    let mistakes = score(from, input, output, &scorer, &progress)?;
    progress.finish_and_clear();
    if mistakes.stood_in > 0 {
        let why = mistakes.why.as_deref().unwrap_or_default();
        out.error(&format!(
            "the rules stood in for {} of {} contacts, last because: {why}",
            mistakes.stood_in, mistakes.scored
        ));
    }
    if mistakes.count == 0 { Ok(()) } else { Err(Failure(mistakes.text(), EXIT_SOME_LINES)) }
}

type Files = (Box<dyn BufRead>, Box<dyn Write>);

fn open(from: &str, to: &str) -> anyhow::Result<Files> {
    let input: Box<dyn BufRead> = match from {
        "-" => Box::new(BufReader::new(std::io::stdin())),
        path => {
            let file = File::open(path).with_context(|| format!("{path} cannot be read"))?;
            Box::new(BufReader::new(file))
        }
    };
    if from != "-" && to != "-" && same_file(from, to) {
        bail!("{to} is input and output at once: name another file for --output");
    }
    let output: Box<dyn Write> = match to {
        "-" => Box::new(BufWriter::new(std::io::stdout())),
        path => {
            let file = File::create(path).with_context(|| format!("{path} cannot be written"))?;
            Box::new(BufWriter::new(file))
        }
    };
    Ok((input, output))
}

/// Writing would empty the file before it is read.
fn same_file(input: &str, output: &str) -> bool {
    let real = |path: &str| std::fs::canonicalize(path).ok();
    real(input).is_some_and(|input| Some(input) == real(output))
}

/// The lines that could not be read.
#[derive(Debug, Default)]
struct Mistakes {
    told: Vec<String>,
    count: usize,
    scored: usize,
    /// Contacts that a service gave no score, and why not, last.
    stood_in: usize,
    why: Option<String>,
}

impl Mistakes {
    fn add(&mut self, place: &str, number: usize, why: &str) {
        self.count += 1;
        if self.told.len() < MISTAKES_TOLD_MAX {
            self.told.push(format!("{place}:{number}: {why}"));
        }
    }

    fn text(&self) -> String {
        let untold = self.count - self.told.len();
        let more = if untold > 0 { format!("\n... and {untold} more") } else { String::new() };
        let sum = format!("{} lines scored and written, {} could not be read", self.scored, self.count);
        format!("{}{more}\n{sum}", self.told.join("\n"))
    }
}

/// Scores line by line. A bad line costs only itself: an evaluation of a thousand calls must not fail on one.
fn score(
    place: &str,
    mut input: impl BufRead,
    mut output: impl Write,
    scorer: &Scorer,
    progress: &ProgressBar,
) -> anyhow::Result<Mistakes> {
    let mut mistakes = Mistakes::default();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = input.by_ref().take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut line);
        if read.with_context(|| format!("{place} cannot be read on from line {number}"))? == 0 {
            break;
        }
        if line.len() as u64 > LINE_BYTES_MAX && !line.ends_with(b"\n") {
            skip_line(&mut input).with_context(|| format!("{place} cannot be read on from line {number}"))?;
            mistakes.add(
                place,
                number,
                &format!("longer than {} MiB: cut the transcript", LINE_BYTES_MAX >> 20),
            );
            continue;
        }
        match contact(&line, number) {
            Ok(None) => {}
            Ok(Some(contact)) => {
                let (scored, why) = scorer.score(contact);
                mistakes.stood_in += usize::from(why.is_some());
                mistakes.why = why.or(mistakes.why);
                serde_json::to_writer(&mut output, &scored)?;
                output.write_all(b"\n").context("the output cannot be written on")?;
                mistakes.scored += 1;
                progress.inc(1);
            }
            Err(why) => mistakes.add(place, number, &why),
        }
    }
    output.flush().context("the output cannot be written to its end")?;
    Ok(mistakes)
}

/// Reads over the rest of a line that is too long.
fn skip_line(input: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let length = end.map_or(buffer.len(), |end| end + 1);
        let done = end.is_some() || length == 0;
        input.consume(length);
        if done {
            return Ok(());
        }
    }
}

/// The contact of a line, none for a blank one; else what is wrong and what to do.
fn contact(line: &[u8], number: usize) -> Result<Option<ScoreInput>, String> {
    let text = std::str::from_utf8(line).map_err(|error| {
        format!("not UTF-8 from byte {}: save the file as UTF-8", error.valid_up_to() + 1)
    })?;
    // Editors of some systems put a mark before the first line.
    let text = if number == 1 { text.trim_start_matches('\u{feff}') } else { text }.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| {
        let open = text.ends_with(['{', '[', ',', ':']) || matches!(text, "}" | "]" | "},");
        let remedy = if open || error.is_eof() { "; write each contact on one line (jq -c)" } else { "" };
        format!("not JSON: {error}{remedy}")
    })?;
    match value {
        serde_json::Value::Object(_) => {
            serde_json::from_value(value).map(Some).map_err(|error| format!("not a contact: {error}"))
        }
        serde_json::Value::Array(_) => Err("a list: write one contact a line (jq -c '.[]')".to_owned()),
        other => Err(format!("not a contact but {}: write one JSON object a line", kind(&other))),
    }
}

fn kind(value: &serde_json::Value) -> &'static str {
    match value {
        serde_json::Value::Null => "null",
        serde_json::Value::Bool(_) => "true or false",
        serde_json::Value::Number(_) => "a number",
        _ => "a text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(input: &[u8]) -> (Vec<serde_json::Value>, Mistakes) {
        let mut output = Vec::new();
        let mistakes =
            score("calls.jsonl", input, &mut output, &Scorer::Rules, &ProgressBar::hidden()).unwrap();
        let text = String::from_utf8(output).unwrap();
        (text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), mistakes)
    }

    #[test]
    fn results_stand_in_the_order_of_the_input_whatever_lies_between() {
        let (results, mistakes) = scored(
            "\u{feff}{\"id\": 3, \"text\": \"I want a new kitchen\"}\n\n  \n{\"id\": \"b\"}\r\n{\"id\": null, \"extra\": [1], \"meta\": 7}\n{\"id\": \"last\"}"
                .as_bytes(),
        );
        let ids: Vec<String> = results.iter().map(|result| result["id"].to_string()).collect();
        assert_eq!(ids, ["3", "\"b\"", "null", "\"last\""]);
        assert_eq!((mistakes.count, mistakes.scored), (0, 4));
        assert_eq!(results[1]["class"], "no_conversation");
        assert!(
            results[1]["extracted"]
                .as_object()
                .is_some_and(|facts| facts["city"].is_null() && facts.len() == 13)
        );
    }

    #[test]
    fn a_bad_line_costs_only_itself_and_says_where_and_what_to_do() {
        let mut input = b"{\"id\": 1}\n{\"id\": \n[{\"id\": 2}]\n42\n{\"id\": \"\xff\"}\nhello\n".to_vec();
        input.extend(vec![b' '; LINE_BYTES_MAX as usize + 5]);
        input.extend(b"\n{\"id\": 9}\n");
        let (results, mistakes) = scored(&input);
        assert_eq!(results.len(), 2);
        assert_eq!(results[1]["id"], 9);
        let text = mistakes.text();
        for part in [
            "calls.jsonl:2: not JSON: EOF",
            "one line (jq -c)",
            "calls.jsonl:3: a list",
            "jq -c '.[]'",
            "calls.jsonl:4: not a contact but a number",
            "calls.jsonl:5: not UTF-8",
            "save the file as UTF-8",
            "calls.jsonl:6: not JSON",
            "calls.jsonl:7: longer than 32 MiB",
            "2 lines scored and written, 6 could not be read",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn many_bad_lines_are_counted_not_listed() {
        let (results, mistakes) = scored("oops\n".repeat(500).as_bytes());
        assert!(results.is_empty());
        assert!(
            mistakes.text().lines().count() < 30 && mistakes.text().contains("and 480 more"),
            "{}",
            mistakes.text()
        );
    }

    fn args(input: &str, output: &str, provider: &str) -> ScoreArgs {
        ScoreArgs {
            command: None,
            input: Some(input.to_owned()),
            output: Some(output.to_owned()),
            provider: provider.to_owned(),
            prompt: None,
            source: Source { config: None, data: None },
        }
    }

    #[test]
    fn an_unknown_provider_is_refused_with_the_known_ones() {
        let args = args("-", "-", "gpt");
        let Err(Failure(why, code)) = run(&args, &Output::default()) else {
            panic!("scored by an unknown provider")
        };
        assert!(why.contains("\"gpt\"") && why.contains("known are: rules"), "{why}");
        assert_eq!(code, 2);
    }

    #[test]
    fn a_file_is_not_overwritten_by_its_own_scores() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("calls.jsonl");
        std::fs::write(&path, "{\"id\": 1}\n").unwrap();
        let name = path.to_str().unwrap().to_owned();
        let failure = run(&args(&name, &name, "rules"), &Output::default());
        assert!(failure.is_err_and(|failure| failure.0.contains("input and output at once")));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"id\": 1}\n");
    }
}
