//! Words that a tenant's callers are likely to say and that others seldom do: recognition is told to expect them.

use leadline_schemas::score::ProjectType;
use leadline_schemas::settings::Profile;

/// At most so many go along with a job, for each waits as a row; recognisers take more (Chirp 3: 1,000), and hear less
/// well with more.
const PHRASES_MAX: usize = 120;
/// The longest phrase that Google takes.
const PHRASE_CHARS_MAX: usize = 100;

/// The words of a tenant's name, trades and places, each once.
pub(super) fn phrases(name: &str, profile: &Profile) -> Vec<String> {
    let offered = profile.trades.iter().filter_map(|trade| ProjectType::parse(trade));
    let trades = offered.flat_map(words).map(|word| (*word).to_owned());
    let all = std::iter::once(name.to_owned()).chain(profile.cities.iter().cloned()).chain(trades);
    let mut phrases: Vec<String> = Vec::new();
    for phrase in all {
        let phrase = phrase.split_whitespace().collect::<Vec<_>>().join(" ");
        let fits = !phrase.is_empty() && phrase.chars().count() <= PHRASE_CHARS_MAX;
        if fits && !phrases.contains(&phrase) {
            phrases.push(phrase);
        }
        if phrases.len() == PHRASES_MAX {
            break;
        }
    }
    phrases
}

fn words(trade: ProjectType) -> &'static [&'static str] {
    match trade {
        ProjectType::Kitchen => &[
            "kitchen remodel",
            "quartz countertop",
            "granite countertop",
            "backsplash",
            "cabinet refacing",
            "shaker cabinets",
            "soft-close drawers",
            "kitchen island",
            "farmhouse sink",
        ],
        ProjectType::Bath => &[
            "bathroom remodel",
            "walk-in shower",
            "tub-to-shower conversion",
            "shower pan",
            "vanity",
            "grab bars",
            "ensuite",
            "subway tile",
        ],
        ProjectType::Basement => {
            &["basement finishing", "egress window", "sump pump", "rec room", "wet bar", "waterproofing"]
        }
        ProjectType::AdditionAdu => &[
            "room addition",
            "accessory dwelling unit",
            "ADU",
            "mother-in-law suite",
            "garage conversion",
            "second story",
            "bump-out",
        ],
        ProjectType::Roof => &[
            "roof replacement",
            "asphalt shingles",
            "standing seam",
            "flashing",
            "gutters",
            "soffit and fascia",
            "hail damage",
            "roof leak",
        ],
        ProjectType::Siding => {
            &["vinyl siding", "Hardie board", "fiber cement", "LP SmartSide", "house wrap"]
        }
        ProjectType::WindowsDoors => &[
            "replacement windows",
            "double-hung",
            "casement",
            "sliding glass door",
            "bay window",
            "egress window",
            "storm door",
        ],
        ProjectType::DeckOutdoor => {
            &["composite deck", "Trex", "pergola", "paver patio", "screened porch", "fence", "railing"]
        }
        ProjectType::Flooring => &[
            "luxury vinyl plank",
            "LVP",
            "hardwood",
            "refinish floors",
            "laminate",
            "tile floor",
            "subfloor",
        ],
        ProjectType::Hvac => {
            &["heat pump", "furnace", "mini-split", "air handler", "ductwork", "condenser", "SEER"]
        }
        ProjectType::WholeHome => {
            &["whole-home remodel", "gut renovation", "open concept", "load-bearing wall"]
        }
        ProjectType::RepairHandyman => &["handyman", "drywall patch", "caulking", "leaky faucet", "dry rot"],
        ProjectType::Commercial => &["tenant improvement", "build-out", "storefront", "ADA compliant"],
        ProjectType::Other => &["free estimate", "permit", "general contractor"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_those_of_trade_and_place_each_once_and_bounded() {
        let text = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let profile = Profile {
            trades: text(&["kitchen", "windows_doors", "basement", "no trade"]),
            cities: text(&["Denver", "Lakewood", "Denver", " ", &"x".repeat(101)]),
            ..Profile::default()
        };
        let found = phrases("Summit  Kitchens", &profile);
        assert_eq!(found[..3], ["Summit Kitchens", "Denver", "Lakewood"]);
        assert!(found.contains(&"quartz countertop".to_owned()));
        assert_eq!(
            found.iter().filter(|phrase| *phrase == "egress window").count(),
            1,
            "it is of two trades"
        );
        let many = Profile { cities: (0..1_000).map(|n| format!("City {n}")).collect(), ..profile };
        assert_eq!(phrases("Summit", &many).len(), PHRASES_MAX);
    }
}
