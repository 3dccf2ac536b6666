//! Answers that hold together: beyond what a schema can say, because models keep to schemas and still make things up.

use std::borrow::Cow;

use leadline_schemas::score::{Band, Class, Evidence, ScoreInput, ScoreOutput};
use serde_json::Value;

/// Most that a budget is believed to be.
const BUDGET_MAX: u64 = 100_000_000;
/// Years in which a house may have been built.
const YEARS: std::ops::RangeInclusive<u16> = 1_600..=2_100;
/// Digits of a telephone number (E.164).
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 7..=15;
/// Longest fact, quote and reason; a lead stays small whatever was answered.
const FACT_CHARS_MAX: usize = 200;
const QUOTE_CHARS_MAX: usize = 500;
/// Most quotes and reasons.
const EVIDENCE_MAX: usize = 64;
const REASONS_MAX: usize = 20;

/// The output as it may be stored, or what is wrong with it.
pub(super) fn checked(mut output: ScoreOutput, input: &ScoreInput) -> Result<ScoreOutput, String> {
    // An answer that was kept may have been given about another contact with the same words.
    output.id = input.id.clone();
    numbers(&output)?;
    facts(&output)?;
    if output.evidence.len() > EVIDENCE_MAX || output.reasons.len() > REASONS_MAX {
        let (quotes, reasons) = (output.evidence.len(), output.reasons.len());
        return Err(format!("{quotes} quotes and {reasons} reasons are more than anybody reads"));
    }
    if let Some(reason) = output.reasons.iter().find(|reason| reason.chars().count() > QUOTE_CHARS_MAX) {
        return Err(format!("a reason of {} characters", reason.chars().count()));
    }
    let said = Said::of(input);
    for evidence in &mut output.evidence {
        said.place(evidence)?;
    }
    // Caller ID tells where a number is from, not where the house is.
    let by_caller_id =
        |city: &String| input.meta.caller_city.as_ref().is_some_and(|from| from.eq_ignore_ascii_case(city));
    output.extracted.city.take_if(|city| by_caller_id(city) && !said.anywhere(city));
    Ok(output)
}

/// Ranges, and that the score is what its factors, class and band say.
fn numbers(output: &ScoreOutput) -> Result<(), String> {
    let factors =
        [output.factors.budget, output.factors.timeline, output.factors.scope_area, output.factors.authority];
    if output.score > 100 || factors.iter().any(|factor| *factor > 25) {
        return Err(format!("score {} or a factor is out of range", output.score));
    }
    let sum: u16 = factors.iter().map(|factor| u16::from(*factor)).sum();
    let score = u16::from(output.score);
    // Gates may lower the sum of who is no lead, never raise one.
    if score > sum || (output.class == Class::Lead && score != sum) {
        return Err(format!("score {score} is not its factors' sum {sum}"));
    }
    if Band::of(output.score) != output.band {
        return Err(format!("score {score} is not of band {}", output.band.as_str()));
    }
    if output.class != Class::Lead && output.band != Band::Cold {
        return Err(format!("score {score} is too high for class {}", output.class));
    }
    match (output.budget_min, output.budget_max) {
        (Some(min), Some(max)) if min > max => Err(format!("budget_min {min} is above budget_max {max}")),
        (min, max) => match min.max(max).filter(|budget| *budget > BUDGET_MAX) {
            Some(budget) => Err(format!("a budget of {budget} is not believed")),
            None => Ok(()),
        },
    }
}

fn facts(output: &ScoreOutput) -> Result<(), String> {
    let said = &output.extracted;
    if let Some(phone) = &said.phone
        && !(PHONE_DIGITS.contains(&phone.len()) && phone.bytes().all(|byte| byte.is_ascii_digit()))
    {
        return Err("the phone is not digits, 7 to 15 of them".to_owned());
    }
    if let Some(email) = &said.email
        && (email.contains(char::is_whitespace)
            || !email.split_once('@').is_some_and(|(user, host)| !user.is_empty() && host.contains('.')))
    {
        return Err("the email is no address".to_owned());
    }
    if let Some(year) = said.year_built.filter(|year| !YEARS.contains(year)) {
        return Err(format!("nothing was built in {year}"));
    }
    let texts = [
        ("caller_name", &said.caller_name),
        ("email", &said.email),
        ("address", &said.address),
        ("city", &said.city),
        ("postcode", &said.postcode),
        ("appointment_window", &said.appointment_window),
        ("language", &said.language),
    ];
    let odd = |text: &str| {
        text.trim().is_empty() || text.chars().count() > FACT_CHARS_MAX || text.contains(char::is_control)
    };
    match texts.iter().find(|(_, text)| text.as_deref().is_some_and(odd)) {
        Some((field, _)) => Err(format!("{field} is empty, too long or not one line")),
        None => Ok(()),
    }
}

/// What was said, turn by turn, as quotes are compared.
struct Said(Vec<String>);

impl Said {
    fn of(input: &ScoreInput) -> Self {
        if !input.transcript.is_empty() {
            return Self(input.transcript.iter().map(|turn| plain(&turn.text)).collect());
        }
        let mut text = plain(input.text.as_deref().unwrap_or_default());
        for value in input.form_data.values() {
            text.push('\n');
            text.push_str(&plain(&match value {
                Value::String(text) => Cow::Borrowed(text.as_str()),
                other => Cow::Owned(other.to_string()),
            }));
        }
        Self(vec![text])
    }

    fn anywhere(&self, words: &str) -> bool {
        let words = plain(words);
        self.0.iter().any(|turn| turn.contains(&words))
    }

    /// Finds the turn of a quote: models quote well and count badly.
    fn place(&self, evidence: &mut Evidence) -> Result<(), String> {
        let quote = plain(&evidence.quote);
        let quote = quote.trim_matches(|letter: char| letter.is_whitespace() || ".,\"'".contains(letter));
        if quote.is_empty() || evidence.quote.chars().count() > QUOTE_CHARS_MAX {
            return Err(format!("the quote for {:?} is empty or too long", shown(&evidence.field)));
        }
        let named = usize::try_from(evidence.turn).ok().and_then(|turn| self.0.get(turn));
        if named.is_some_and(|turn| turn.contains(quote)) {
            return Ok(());
        }
        match self.0.iter().position(|turn| turn.contains(quote)) {
            Some(turn) => {
                evidence.turn = u32::try_from(turn).unwrap_or(u32::MAX);
                Ok(())
            }
            None => Err(format!(
                "the quote {:?} for {} was never said",
                shown(&evidence.quote),
                shown(&evidence.field)
            )),
        }
    }
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Words without what typesetting and copying change: case, white space, the shape of quotation marks and dashes.
fn plain(text: &str) -> String {
    let mut words = String::with_capacity(text.len());
    let mut is_gap = false;
    for letter in text.chars() {
        if letter.is_whitespace() {
            is_gap = true;
            continue;
        }
        if std::mem::take(&mut is_gap) && !words.is_empty() {
            words.push(' ');
        }
        match letter {
            '\u{2018}' | '\u{2019}' | '\u{201b}' | '`' => words.push('\''),
            '\u{201c}' | '\u{201d}' | '\u{201e}' => words.push('"'),
            '\u{2010}'..='\u{2015}' => words.push('-'),
            '\u{2026}' => words.push_str("..."),
            other => words.extend(other.to_lowercase()),
        }
    }
    words
}
