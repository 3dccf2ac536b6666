//! Members: which partitions each process of the group has, as the group's coordinator tells.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::scene::{ANSWER_MAX, GROUP, Scene};

/// Partitions of `inbound` by the client id of their owner, which holds the instance's name.
pub(super) fn owners(scene: &Scene) -> Result<BTreeMap<String, BTreeSet<usize>>> {
    let asked: BaseConsumer = scene.client().create()?;
    let groups = asked.fetch_group_list(Some(GROUP), ANSWER_MAX)?;
    let members = groups.groups().iter().flat_map(|group| group.members());
    members
        .map(|member| {
            let bytes = member.assignment().unwrap_or_default();
            let partitions = if bytes.is_empty() { Some(BTreeSet::new()) } else { partitions(bytes) };
            Ok((member.client_id().to_owned(), partitions.context("an assignment cannot be read")?))
        })
        .collect()
}

/// The partitions of the only topic of an assignment: version, topics, for each its name and its partitions
/// (<https://kafka.apache.org/protocol>, the consumer's embedded protocol).
fn partitions(assignment: &[u8]) -> Option<BTreeSet<usize>> {
    let mut rest = assignment.get(2..)?;
    let mut found = BTreeSet::new();
    let topics = number(&mut rest, 4)?;
    for _ in 0..topics {
        let name_bytes = number(&mut rest, 2)?;
        rest = rest.get(name_bytes..)?;
        let count = number(&mut rest, 4)?;
        for _ in 0..count {
            found.insert(number(&mut rest, 4)?);
        }
    }
    Some(found)
}

/// The next big-endian number of so many bytes.
fn number(rest: &mut &[u8], bytes: usize) -> Option<usize> {
    let (first, behind) = rest.split_at_checked(bytes)?;
    *rest = behind;
    Some(first.iter().fold(0, |value, byte| value << 8 | usize::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_names_its_partitions() {
        let text = [&[0, 1, 0, 0, 0, 1, 0, 3][..], b"abc", &[0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 1, 1]].concat();
        assert_eq!(partitions(&text), Some(BTreeSet::from([4, 257])));
        for cut in 0..text.len() {
            assert_eq!(partitions(&text[..cut]), None, "{cut}");
        }
    }
}
