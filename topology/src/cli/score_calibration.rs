//! `leadline score calibration`.

use clap::Args;
use leadline::evaluation::calibration::{Outcome, calibration};
use leadline_connectors::contract::store::Page;
use leadline_schemas::{Millis, TenantId};

use super::output::Output;
use super::{Failure, Source, parse_time, records};

/// Leads that are read at once.
const PAGE: usize = 200;

#[derive(Args)]
pub(super) struct CalibrationArgs {
    /// Whose leads.
    #[arg(long)]
    tenant: String,
    /// Only leads with a contact since this date or time.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<Millis>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: Source,
}

pub(super) fn run(args: &CalibrationArgs, output: &Output) -> Result<(), Failure> {
    let config = args.source.read()?;
    let tenant = TenantId::new(&args.tenant).map_err(anyhow::Error::from)?;
    let reader = records(&config)?;
    let mut leads = Vec::new();
    let mut page = Page { limit: PAGE, from: args.since, ..Page::default() };
    loop {
        let listed = reader.leads(&tenant, &page).map_err(anyhow::Error::from)?;
        leads.extend(listed.items);
        match listed.next_cursor {
            Some(cursor) => page.cursor = Some(cursor),
            None => break,
        }
    }
    let report = calibration(&leads);
    if args.json {
        output.json(&report);
        return Ok(());
    }
    output.line("                leads   told   good   good rate   sold          value");
    for row in &report.bands {
        output.line(&output.in_band(&row.band, &line(&row.band, &row.outcome)));
    }
    output.line("");
    for row in report.tens.iter().rev().filter(|row| row.outcome.leads > 0) {
        let to = if row.from == 90 { 100 } else { row.from + 9 };
        output.line(&line(&format!("{} to {to}", row.from), &row.outcome));
    }
    output.line("");
    output.line(&match report.ordering {
        Some(ordering) => format!(
            "of a good and a bad lead the good one has the higher score in {:.0}% of all pairs (50% = scores say nothing)",
            ordering * 100.0
        ),
        None => "nothing can be said yet: `leadline lead feedback` tells of good leads and bad ones".to_owned(),
    });
    Ok(())
}

fn line(name: &str, outcome: &Outcome) -> String {
    let Outcome { leads, told, good, sold, sold_micros, good_rate } = outcome;
    let rate = good_rate.map_or_else(|| "-".to_owned(), |rate| format!("{:.0}%", rate * 100.0));
    let value = *sold_micros as f64 / 1e6;
    format!("{name:<12} {leads:>8} {told:>6} {good:>6} {rate:>11} {sold:>6} {value:>14.2}")
}
