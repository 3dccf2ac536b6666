//! Plan: what a change of layout comes to, or in words why it cannot be.

use std::fmt;

use leadline_schemas::TenantId;
use leadline_schemas::layout::{Change, LayoutRecord, SPREAD_MAX, Shape};
use leadline_schemas::partitioning::KEY_GROUPS;
use leadline_schemas::settings::Settings;

/// What is asked for; what is not named stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Partitions of each topic.
    pub partitions: Option<u32>,
    /// Tenants, and over how many slots their callers are to be spread.
    pub spreads: Vec<(String, u32)>,
}

/// What there is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// It is as it should be.
    Nothing,
    /// A change is under way: to bring it to its end.
    GoOn(LayoutRecord),
    /// A new layout.
    Change(Change),
}

/// Why it cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

/// What becomes of `present` when this is asked.
pub fn plan(present: &LayoutRecord, settings: &Settings, asked: &Asked) -> Result<Plan, Refusal> {
    let partitions = match asked.partitions {
        None => present.shape.partitions,
        Some(asked) => partitions(asked)?,
    };
    let (mut from, mut to) = (present.shape.clone(), present.shape.clone());
    (to.generation, to.partitions) = (from.generation + 1, partitions);
    for (name, spread) in &asked.spreads {
        let (tenant, before) = tenant(settings, name)?;
        let spread = self::spread(name, before, *spread)?;
        if spread != before {
            from.set_spread(&tenant, before);
            to.set_spread(&tenant, spread);
        }
    }
    let is_same = to.partitions == from.partitions && to.spreads == from.spreads;
    match (present.done, is_same) {
        (true, true) => Ok(Plan::Nothing),
        (true, false) => Ok(Plan::Change(Change { from, to })),
        (false, true) => Ok(Plan::GoOn(present.clone())),
        (false, false) => Err(Refusal(format!(
            "the change to layout {} ({} partitions) is not at its end: run `leadline layout apply` without \
             --partitions and --spread first",
            present.shape.generation, present.shape.partitions
        ))),
    }
}

fn partitions(asked: u32) -> Result<u16, Refusal> {
    let fits = u16::try_from(asked).ok().filter(|count| (1..=KEY_GROUPS).contains(count));
    fits.ok_or_else(|| {
        Refusal(format!("{asked} partitions cannot be: use 1 to {KEY_GROUPS}, the number of key groups"))
    })
}

/// A tenant and its spread.
fn tenant(settings: &Settings, name: &str) -> Result<(TenantId, u16), Refusal> {
    let known = TenantId::new(name).ok().and_then(|id| settings.tenant(&id).cloned());
    let known = known.ok_or_else(|| {
        Refusal(format!("there is no tenant {name:?}: `leadline tenant list` shows those that there are"))
    })?;
    Ok((known.tenant.clone(), known.policy.spread.max(1)))
}

fn spread(name: &str, before: u16, asked: u32) -> Result<u16, Refusal> {
    let fits = u16::try_from(asked).ok().filter(|spread| (1..=SPREAD_MAX).contains(spread));
    let spread = fits.ok_or_else(|| {
        Refusal(format!(
            "a spread of {asked} for {name} cannot be: use 1 to {SPREAD_MAX}, the number of buckets"
        ))
    })?;
    if spread < before {
        return Err(Refusal(format!(
            "the spread of {name} cannot go from {before} back to {spread}: windows of slots that would meet have \
             been told already. Leave it; a spread that is too large costs a little room"
        )));
    }
    Ok(spread)
}

/// What changes, a line each.
#[derive(Clone, Copy, Debug)]
pub struct Lines<'a>(pub &'a Change);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Change { from, to } = self.0;
        write!(f, "layout {} -> {}", from.generation, to.generation)?;
        if from.partitions != to.partitions {
            write!(f, "\n~ partitions: {} -> {}", from.partitions, to.partitions)?;
        }
        let spreads = to.spreads.iter().filter_map(|now| Some((now, from.spread(&now.tenant)?)));
        for (now, before) in spreads.filter(|(now, before)| now.spread != *before) {
            write!(f, "\n~ spread of {}: {before} -> {}", now.tenant, now.spread)?;
        }
        Ok(())
    }
}

/// The layout of a log of which no record was ever written.
pub fn first(partitions: u16) -> LayoutRecord {
    let at = leadline_schemas::Millis(0);
    LayoutRecord { shape: Shape::first(partitions), origin: None, done: true, at }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{self, Fresh, TenantSpec};
    use leadline_connectors::secrets_file::FileSecrets;
    use leadline_schemas::Millis;

    fn settings() -> Settings {
        let folder = tempfile::tempdir().unwrap();
        let secrets = FileSecrets::open(&folder.path().join("secret.key")).unwrap();
        let spec = TenantSpec { tenant: "summit".to_owned(), ..TenantSpec::default() };
        let fresh = Fresh { token: None, source_key: "key".to_owned() };
        let tenant = admin::apply(&Settings::default(), &spec, &fresh, &secrets, Millis(0)).unwrap();
        Settings::default().with(tenant, 1)
    }

    fn asked(partitions: Option<u32>, spread: Option<u32>) -> Asked {
        Asked {
            partitions,
            spreads: spread.map(|spread| ("summit".to_owned(), spread)).into_iter().collect(),
        }
    }

    #[test]
    fn a_change_says_what_was_and_what_will_be() {
        let Plan::Change(change) = plan(&first(8), &settings(), &asked(Some(16), Some(8))).unwrap() else {
            panic!("a change");
        };
        assert_eq!(
            Lines(&change).to_string(),
            "layout 1 -> 2\n~ partitions: 8 -> 16\n~ spread of summit: 1 -> 8"
        );
        let summit = TenantId::new("summit").unwrap();
        assert_eq!((change.from.spread(&summit), change.to.spread(&summit)), (Some(1), Some(8)));
        assert_eq!(plan(&first(8), &settings(), &asked(Some(8), Some(1))).unwrap(), Plan::Nothing);
    }

    #[test]
    fn what_cannot_be_is_refused_in_words() {
        let no = |asked: &Asked| plan(&first(8), &settings(), asked).unwrap_err().0;
        assert!(no(&asked(Some(1_025), None)).contains("1 to 1024"));
        assert!(no(&asked(Some(0), None)).contains("1 to 1024"));
        assert!(no(&asked(None, Some(257))).contains("1 to 256"));
        let nobody = Asked { spreads: vec![("nobody".to_owned(), 2)], ..Asked::default() };
        assert!(no(&nobody).contains("no tenant \"nobody\""));
        let spread = settings().with_layout(
            LayoutRecord {
                shape: {
                    let mut shape = Shape { generation: 2, ..Shape::first(8) };
                    shape.set_spread(&TenantId::new("summit").unwrap(), 8);
                    shape
                },
                ..first(8)
            },
            2,
        );
        let present = (**spread.layout().unwrap()).clone();
        let back = plan(&present, &spread, &asked(None, Some(4))).unwrap_err().0;
        assert!(back.contains("from 8 back to 4"), "{back}");
    }

    #[test]
    fn a_change_under_way_is_brought_to_its_end_first() {
        let under_way = LayoutRecord {
            shape: Shape { generation: 2, ..Shape::first(16) },
            origin: Some(Shape::first(8)),
            done: false,
            at: Millis(1),
        };
        let settings = settings().with_layout(under_way.clone(), 2);
        let go_on = Plan::GoOn(under_way.clone());
        assert_eq!(plan(&under_way, &settings, &Asked::default()).unwrap(), go_on);
        assert_eq!(plan(&under_way, &settings, &asked(Some(16), None)).unwrap(), go_on, "said once more");
        let other = plan(&under_way, &settings, &asked(Some(32), None)).unwrap_err().0;
        assert!(other.contains("layout 2") && other.contains("not at its end"), "{other}");
    }
}
