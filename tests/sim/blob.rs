//! What of the blob store may go bad.

use std::collections::BTreeMap;

use leadline_connectors::blob_memory::MemoryBlob;

/// Partitions' two newest snapshots, each by the name of its first piece: newest, second. Those are left out that a
/// hand-over names: the next layout has nothing else.
pub fn snapshots(blob: &MemoryBlob) -> Vec<(String, String)> {
    let objects = blob.objects();
    let mut firsts: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let place = |name: &str| -> Option<String> {
        let (place, _) = name.strip_prefix("snapshots/")?.rsplit_once('/')?;
        Some(format!("handover/{place}.json"))
    };
    let may_go_bad = |name: &str| place(name).is_some_and(|note| !objects.contains_key(&note));
    for (name, json) in objects.iter().filter(|(name, _)| name.ends_with(".json") && may_go_bad(name)) {
        let manifest: serde_json::Value = serde_json::from_slice(json).unwrap();
        let piece = manifest["pieces"][0]["blob"].as_str().unwrap().to_owned();
        firsts.entry(name.rsplit_once('/').unwrap().0).or_default().insert(0, piece);
    }
    let both =
        firsts.into_values().filter_map(|pieces| Some((pieces.first()?.clone(), pieces.get(1)?.clone())));
    both.collect()
}
