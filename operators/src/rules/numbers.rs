//! Numbers in digits and in English and Spanish words.

use super::roles::Role;
use super::tokens::Tokens;
use hashbrown::HashMap;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// A number with the words it was said in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Number {
    pub value: f64,
    /// The factor that a scale word gave ("sixty thousand": 1000), else 1.
    pub scale: f64,
    /// A currency sign or word stands with it.
    pub money: bool,
    /// Said like a year: "nineteen sixty eight".
    pub year: bool,
    /// What its neighbours make of it; set by `roles`.
    pub role: Role,
    pub from: usize,
    pub to: usize,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    unit: BTreeMap<String, f64>,
    teen: BTreeMap<String, f64>,
    ten: BTreeMap<String, f64>,
    hundreds: BTreeMap<String, f64>,
    scale: BTreeMap<String, f64>,
    currency: Vec<String>,
}

/// What a word is. Each of a text is looked up ten times and more, mostly in vain: one table, with a cheap hash.
struct Words {
    numbers: HashMap<String, Word>,
    currency: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Word {
    Unit(f64),
    Teen(f64),
    Ten(f64),
    /// A whole multiple of a hundred in one word: "doscientos".
    Hundreds(f64),
    /// The multiplier "hundred".
    Hundred,
    Scale(f64),
}

fn words() -> &'static Words {
    static WORDS: OnceLock<Words> = OnceLock::new();
    WORDS.get_or_init(|| Words::of(toml::from_str(include_str!("data/numbers.toml")).unwrap_or_default()))
}

impl Words {
    /// A word of two kinds is of the smaller one.
    fn of(file: File) -> Self {
        let mut numbers = HashMap::new();
        numbers.extend(file.scale.into_iter().map(|(text, value)| (text, Word::Scale(value))));
        numbers.insert("hundred".to_owned(), Word::Hundred);
        numbers.extend(file.hundreds.into_iter().map(|(text, value)| (text, Word::Hundreds(value))));
        numbers.extend(file.ten.into_iter().map(|(text, value)| (text, Word::Ten(value))));
        numbers.extend(file.teen.into_iter().map(|(text, value)| (text, Word::Teen(value))));
        numbers.extend(file.unit.into_iter().map(|(text, value)| (text, Word::Unit(value))));
        Self { numbers, currency: file.currency }
    }
}

fn word(text: &str) -> Option<Word> {
    words().numbers.get(text).copied()
}

/// Whether a word can be part of a spelled number.
pub(super) fn is_number_word(text: &str) -> bool {
    word(text).is_some()
}

/// Whether a word names a currency.
pub(super) fn is_currency(text: &str) -> bool {
    words().currency.iter().any(|name| name == text)
}

/// The digit 0 to 9 that a word stands for when numbers are spelled out.
pub(super) fn digit(text: &str) -> Option<char> {
    match text {
        "oh" | "o" | "zero" | "cero" => Some('0'),
        _ => match word(text)? {
            Word::Unit(value) => char::from_digit(value as u32, 10),
            _ => None,
        },
    }
}

/// Every number of a text, left to right.
pub(super) fn numbers(tokens: &Tokens) -> Vec<Number> {
    let mut found: Vec<Number> = Vec::new();
    let mut index = 0;
    while index < tokens.list.len() {
        match number_at(tokens, index) {
            Some(number) => {
                index = number.to.max(index + 1);
                found.push(number);
            }
            None => index += 1,
        }
    }
    found
}

fn number_at(tokens: &Tokens, index: usize) -> Option<Number> {
    let mut start = index;
    let sign = tokens.word(start) == "$";
    if sign {
        start += 1;
    }
    let mut number =
        fraction(tokens, start).or_else(|| digits(tokens, start)).or_else(|| spelled(tokens, start))?;
    number.from = index;
    number.money |= sign;
    if is_currency(tokens.word(number.to)) {
        number.money = true;
        number.to += 1;
    }
    // "60 or so thousand" is rare; "45 mil dólares" is not.
    number.value.is_finite().then_some(number)
}

/// "half a million", "a quarter million", "medio millón", "a couple thousand".
fn fraction(tokens: &Tokens, index: usize) -> Option<Number> {
    let mut at = index;
    if matches!(tokens.word(at), "a" | "an" | "un") {
        at += 1;
    }
    let part = match tokens.word(at) {
        "half" | "medio" => 0.5,
        "quarter" => 0.25,
        "couple" | "par" => 2.0,
        _ => return None,
    };
    at += 1;
    while matches!(tokens.word(at), "of" | "a" | "de") {
        at += 1;
    }
    let scale = match word(tokens.word(at)) {
        Some(Word::Scale(scale)) => scale,
        Some(Word::Hundred) if part > 1.0 => 100.0,
        _ => return None,
    };
    Some(Number {
        value: part * scale,
        scale,
        money: scale >= 1_000.0,
        year: false,
        role: Role::Open,
        from: index,
        to: at + 1,
    })
}

/// "60", "60k", "18500", "1.2 million", "$25".
fn digits(tokens: &Tokens, index: usize) -> Option<Number> {
    let text = tokens.word(index);
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (head, suffix) = text.split_at(split);
    // A retirement account, not an amount.
    if head.is_empty() || head.len() > 12 || text == "401k" {
        return None;
    }
    let mut value: f64 = head.parse().ok()?;
    let mut scale = match suffix {
        "" | "ish" => 1.0,
        "k" | "mil" | "kish" => 1_000.0,
        "m" | "mm" => 1_000_000.0,
        _ => return None,
    };
    let mut to = index + 1;
    if suffix.is_empty() {
        match word(tokens.word(to)) {
            Some(Word::Scale(factor)) => (scale, to) = (factor, to + 1),
            Some(Word::Hundred) => (scale, to) = (100.0, to + 1),
            _ => {}
        }
    }
    value *= scale;
    let year = scale == 1.0 && head.len() == 4 && (1700.0..2100.0).contains(&value);
    Some(Number { value, scale, money: scale >= 1_000.0, year, role: Role::Open, from: index, to })
}

struct Spelled {
    total: f64,
    group: f64,
    scale: f64,
    last: Option<Word>,
    year: bool,
}

/// Where the number words begin, with the one that "a hundred" and a bare "hundred" stand for.
fn opening(tokens: &Tokens, index: usize) -> Option<(usize, Spelled)> {
    let mut state = Spelled { total: 0.0, group: 0.0, scale: 1.0, last: None, year: false };
    let mut at = index;
    let first = word(tokens.word(at));
    if matches!(tokens.word(at), "a" | "an") {
        at += 1;
        // A letter "k" after an "a" spells a name.
        word(tokens.word(at))
            .filter(|word| matches!(word, Word::Hundred | Word::Scale(_)) && tokens.word(at) != "k")?;
        (state.group, state.last) = (1.0, Some(Word::Unit(1.0)));
    } else if first == Some(Word::Hundred) {
        // "hundred and nine" is a number, the "hundred" of "a few hundred" is not.
        let before = index.checked_sub(1).map_or("", |before| tokens.word(before));
        word(tokens.word(at + 1)).filter(|_| !matches!(before, "few" | "several" | "couple"))?;
        (state.group, state.last) = (1.0, Some(Word::Unit(1.0)));
    } else if matches!(first, Some(Word::Scale(_))) && tokens.word(at) != "mil" {
        // "Fifty. Thousand, that is." names no thousand of its own; Spanish "mil dólares" does.
        return None;
    }
    Some((at, state))
}

/// Number words from a token on: "a hundred and twenty grand", "fifteen hundred", "treinta y cinco mil".
fn spelled(tokens: &Tokens, index: usize) -> Option<Number> {
    let (mut at, mut state) = opening(tokens, index)?;
    let begin = at;
    let sentence = tokens.sentence(index);
    while tokens.sentence(at) == sentence && !(at > begin && state.pauses(tokens, at)) {
        let text = tokens.word(at);
        let next = word(tokens.word(at + 1));
        let joins = match state.last {
            // "Eight hundred and fifteen", but "between eight hundred and fifteen hundred".
            Some(Word::Hundred) => {
                text == "and" && next.is_some() && word(tokens.word(at + 2)) != Some(Word::Hundred)
            }
            Some(Word::Ten(_)) => text == "y" && matches!(next, Some(Word::Unit(_))),
            _ => false,
        };
        // "nineteen oh five"
        let zero = matches!(state.last, Some(Word::Teen(_) | Word::Ten(_))) && matches!(text, "oh" | "o");
        if zero && (19.0..=20.0).contains(&state.group) && matches!(next, Some(Word::Unit(_))) {
            state.group *= 100.0;
            state.year = true;
            state.last = Some(Word::Hundred);
        } else if !joins && !word(text).is_some_and(|word| state.take(word, next, scale_near(tokens, at))) {
            break;
        }
        at += 1;
    }
    if at == begin {
        return None;
    }
    if state.scale == 1.0 {
        at = state.decimals(tokens, at);
    }
    let money = state.scale >= 1_000.0;
    Some(Number {
        value: state.total + state.group,
        scale: state.scale,
        money,
        year: state.year,
        role: Role::Open,
        from: index,
        to: at,
    })
}

/// Whether a scale ends the number that goes on after this word: in "twenty twenty five grand" nobody says a year.
fn scale_near(tokens: &Tokens, at: usize) -> bool {
    (at + 1..at + 3).any(|near| matches!(word(tokens.word(near)), Some(Word::Scale(_))))
}

impl Spelled {
    /// A comma between two numbers parts them: "twenty, twenty five"; within one it does not: "two thousand, five hundred".
    fn pauses(&self, tokens: &Tokens, at: usize) -> bool {
        !matches!(self.last, Some(Word::Scale(_))) && tokens.list.get(at - 1).is_some_and(|token| token.comma)
    }

    /// "one point four million", "two and a half thousand"; the index after it.
    fn decimals(&mut self, tokens: &Tokens, at: usize) -> usize {
        let mut to = at;
        let mut value = self.group;
        if matches!(tokens.word(at), "point" | "punto") {
            let mut place = 0.1;
            to += 1;
            while let Some(Word::Unit(figure)) = word(tokens.word(to)) {
                value += figure * place;
                place /= 10.0;
                to += 1;
            }
        } else if tokens.words(at..at + 3) == "and a half" {
            (value, to) = (value + 0.5, at + 3);
        }
        match word(tokens.word(to)) {
            Some(Word::Scale(scale)) if to > at + 1 => {
                (self.total, self.group, self.scale) = (value * scale, 0.0, scale);
                to + 1
            }
            _ => at,
        }
    }

    /// Takes a word into the number, or says that it belongs to the next one.
    fn take(&mut self, word: Word, next: Option<Word>, scale_near: bool) -> bool {
        let fresh = matches!(self.last, None | Some(Word::Hundred | Word::Hundreds(_)));
        // After a scale only hundreds go on: "nineteen thousand four hundred", not "fifty thousand two bathrooms".
        let after_scale = matches!(self.last, Some(Word::Scale(_)));
        let hundreds_follow = matches!(next, Some(Word::Hundred));
        match word {
            Word::Unit(value) => {
                let after_ten = matches!(self.last, Some(Word::Ten(_)));
                // "two hundred, two fifty": what is said like "two fifty" is a number of its own.
                if self.last == Some(Word::Hundred)
                    && matches!(next, Some(Word::Ten(_) | Word::Teen(_) | Word::Hundred))
                {
                    return false;
                }
                if !(fresh || after_ten || after_scale && hundreds_follow) {
                    return false;
                }
                self.group += value;
            }
            Word::Teen(value) | Word::Ten(value) => {
                if fresh {
                    self.group += value;
                } else if matches!(self.last, Some(Word::Unit(_))) && (1.0..10.0).contains(&self.group) {
                    // "one fifty" for a hundred and fifty.
                    self.group = self.group * 100.0 + value;
                } else if (17.0..=20.0).contains(&self.group) && !scale_near && self.total == 0.0 {
                    self.group = self.group * 100.0 + value;
                    self.year = true;
                } else {
                    return false;
                }
            }
            Word::Hundreds(value) => {
                if !(self.last.is_none() || after_scale) {
                    return false;
                }
                self.group += value;
            }
            Word::Hundred => {
                if !(1.0..100.0).contains(&self.group) || self.year {
                    return false;
                }
                self.group *= 100.0;
            }
            Word::Scale(value) => {
                if after_scale && value <= self.scale && self.group == 0.0 {
                    return false;
                }
                self.total += self.group.max(if self.last.is_none() { 1.0 } else { self.group }) * value;
                self.group = 0.0;
                self.scale = value;
            }
        }
        self.last = Some(word);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<f64> {
        numbers(&Tokens::of(text)).iter().map(|number| number.value).collect()
    }

    #[test]
    fn numbers_are_read_in_digits_and_words() {
        for (text, expected) in [
            ("sixty to eighty thousand", vec![60.0, 80_000.0]),
            ("a hundred and twenty grand", vec![120_000.0]),
            ("fifteen hundred", vec![1_500.0]),
            ("nineteen thousand four hundred", vec![19_400.0]),
            ("$25k-$50k", vec![25_000.0, 50_000.0]),
            ("$18,500.00 please", vec![18_500.0]),
            ("a quarter million or half a million", vec![250_000.0, 500_000.0]),
            ("one fifty to two hundred", vec![150.0, 200.0]),
            ("nineteen sixty eight", vec![1968.0]),
            ("twenty thirty thousand", vec![20.0, 30_000.0]),
            ("fifty thousand two bathrooms", vec![50_000.0, 2.0]),
            ("entre treinta y cinco y cuarenta mil dólares", vec![35.0, 40_000.0]),
            ("doscientos cincuenta mil", vec![250_000.0]),
            ("45 mil", vec![45_000.0]),
            ("six one four", vec![6.0, 1.0, 4.0]),
            ("between eight hundred and fifteen hundred", vec![800.0, 1_500.0]),
            ("one point four million", vec![1_400_000.0]),
            ("two hundred, two fifty", vec![200.0, 250.0]),
            ("twenty, twenty five grand", vec![20.0, 25_000.0]),
            ("60ish", vec![60.0]),
            ("fifteen's fine", vec![15.0]),
        ] {
            assert_eq!(values(text), expected, "{text}");
        }
    }
}
