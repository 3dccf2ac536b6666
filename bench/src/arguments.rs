//! The arguments of a benchmark: `--name value` pairs with defaults.

use anyhow::{Context as _, Result, ensure};

/// Of these there may be none.
const MAY_BE_NONE: [&str; 2] = ["--peers", "--warm-up"];

/// Reads the whole numbers in `args`, with the defaults of `known`; refuses what is not known. Asked for help it prints
/// `known` and ends the process.
pub(crate) fn numbers<const N: usize>(args: &[String], known: [(&str, u64); N]) -> Result<[u64; N]> {
    let mut values = known.map(|(_, default)| default);
    let names = known.map(|(known, default)| format!("--{known} {default}")).join(", ");
    if args.iter().any(|arg| matches!(arg.as_str(), "--help" | "-h")) {
        println!("arguments, with their defaults: {names}");
        std::process::exit(0);
    }
    for pair in args.chunks(2) {
        let [name, value] = pair else {
            anyhow::bail!("{}: each argument is `--name NUMBER`", pair.concat());
        };
        let at = known.iter().position(|(known, _)| name.strip_prefix("--") == Some(known));
        let at = at.with_context(|| format!("{name} is not an argument here; known are {names}"))?;
        let number: u64 = value.parse().with_context(|| format!("{name} {value}: use a whole number"))?;
        ensure!(number > 0 || MAY_BE_NONE.contains(&name.as_str()), "{name} must be at least 1");
        if let Some(place) = values.get_mut(at) {
            *place = number;
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_is_taken_and_the_rest_keeps_its_default() {
        let known = [("rounds", 5), ("seconds", 4)];
        let given = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(numbers(&given("--seconds 9"), known).unwrap(), [5, 9]);
        assert_eq!(numbers(&[], known).unwrap(), [5, 4]);
        assert_eq!(numbers(&given("--peers 0"), [("peers", 2)]).unwrap(), [0]);
        for wrong in ["--second 9", "--rounds", "--rounds x", "--rounds 0"] {
            assert!(numbers(&given(wrong), known).is_err(), "{wrong}");
        }
    }
}
