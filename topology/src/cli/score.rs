//! `leadline score`: the rule-based scorer on a file, for evaluations and for trying words out.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};

use anyhow::{Context as _, anyhow};
use clap::Args;
use indicatif::ProgressBar;
use leadline_operators::rules;
use leadline_schemas::score::ScoreInput;

use super::Failure;

#[derive(Args)]
pub(super) struct ScoreArgs {
    /// One contact a line (JSON); - for standard input.
    #[arg(long, value_name = "FILE.jsonl")]
    input: String,
    /// One result a line, in the order of the input; - for standard output.
    #[arg(long, value_name = "FILE.jsonl")]
    output: String,
    /// Who scores.
    #[arg(long, default_value = "rules")]
    provider: String,
}

pub(super) fn run(args: &ScoreArgs) -> Result<(), Failure> {
    if args.provider != "rules" {
        let why = format!("provider {:?} is not known here: use rules", args.provider);
        return Err(Failure(why, 2));
    }
    Ok(score(args)?)
}

fn score(args: &ScoreArgs) -> anyhow::Result<()> {
    let input: Box<dyn Read> = match args.input.as_str() {
        "-" => Box::new(std::io::stdin()),
        path => Box::new(File::open(path).with_context(|| format!("{path} cannot be read"))?),
    };
    let output: Box<dyn Write> = match args.output.as_str() {
        "-" => Box::new(std::io::stdout()),
        path => Box::new(File::create(path).with_context(|| format!("{path} cannot be written"))?),
    };
    let mut output = BufWriter::new(output);
    let progress = if args.output == "-" { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    for (index, line) in BufReader::new(input).lines().enumerate() {
        let line = line.with_context(|| format!("{} cannot be read on", args.input))?;
        if line.trim().is_empty() {
            continue;
        }
        let contact: ScoreInput =
            serde_json::from_str(&line).map_err(|error| anyhow!("{}:{}: {error}", args.input, index + 1))?;
        serde_json::to_writer(&mut output, &rules::score(&contact))?;
        output.write_all(b"\n")?;
        progress.inc(1);
    }
    output.flush()?;
    progress.finish_and_clear();
    Ok(())
}
