//! The bucket as it should be: how long what lies in it is kept, and who may see it.

use serde_json::{Value, json};

use super::GoogleBlob;
use crate::blob_retention::DELETE_DAYS;
use crate::contract::blob::BlobError;

/// After how many days of its custom time (a call's) an object moves to colder storage. Reading from the colder classes costs, so calls are transcribed long before.
const COLDLINE_DAYS: u32 = 90;
const ARCHIVE_DAYS: u32 = 365;
/// Days after which a broken upload is forgotten.
const UPLOAD_DAYS: u32 = 7;

/// A part of the bucket that is not as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Which part, for a person.
    pub what: &'static str,
    /// As it is.
    pub is: Value,
    /// As it should be.
    pub should: Value,
}

/// The parts that leadline looks after, as the JSON API has them. Only objects with a custom time, recordings, age:
/// snapshots and bodies have none.
pub fn wanted() -> Value {
    json!({
        "lifecycle": { "rule": [
            {
                "action": { "type": "SetStorageClass", "storageClass": "COLDLINE" },
                "condition": { "daysSinceCustomTime": COLDLINE_DAYS, "matchesStorageClass": ["STANDARD", "NEARLINE"] },
            },
            {
                "action": { "type": "SetStorageClass", "storageClass": "ARCHIVE" },
                "condition": {
                    "daysSinceCustomTime": ARCHIVE_DAYS,
                    "matchesStorageClass": ["STANDARD", "NEARLINE", "COLDLINE"],
                },
            },
            { "action": { "type": "Delete" }, "condition": { "daysSinceCustomTime": DELETE_DAYS } },
            { "action": { "type": "AbortIncompleteMultipartUpload" }, "condition": { "age": UPLOAD_DAYS } },
        ] },
        "iamConfiguration": {
            "uniformBucketLevelAccess": { "enabled": true },
            "publicAccessPrevention": "enforced",
        },
    })
}

/// What of a bucket's resource is not as it should be.
pub fn differences(bucket: &Value) -> Vec<Difference> {
    let wanted = wanted();
    let parts = [
        ("lifecycle rules", "/lifecycle/rule"),
        ("uniform bucket-level access", "/iamConfiguration/uniformBucketLevelAccess/enabled"),
        ("public access prevention", "/iamConfiguration/publicAccessPrevention"),
    ];
    let of = |from: &Value, path: &str| from.pointer(path).cloned().unwrap_or(Value::Null);
    parts
        .into_iter()
        .map(|(what, path)| Difference { what, is: of(bucket, path), should: of(&wanted, path) })
        .filter(|difference| difference.is != difference.should)
        .collect()
}

impl GoogleBlob {
    /// What of the bucket is not as it should be, and its metageneration: the state that this was seen in.
    pub async fn plan(&self) -> Result<(Vec<Difference>, String), BlobError> {
        let name = &self.shared.config.bucket;
        let bucket = self.shared.json.bucket().await?;
        let bucket = bucket
            .ok_or_else(|| BlobError::Unavailable(format!("there is no bucket {name:?}: make it first")))?;
        let seen = bucket.get("metageneration").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok((differences(&bucket), seen))
    }

    /// Makes the bucket what it should be, if it is as `plan` has seen it; the answer is what still differs.
    pub async fn apply(&self, seen: &str) -> Result<Vec<Difference>, BlobError> {
        Ok(differences(&self.shared.json.patch_bucket(seen, &wanted()).await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_as_it_should_be_has_no_differences_and_a_fresh_one_has_all() {
        let mut bucket = wanted();
        bucket["iamConfiguration"]["uniformBucketLevelAccess"]["lockedTime"] = json!("2027-01-01T00:00:00Z");
        bucket["name"] = json!("recordings");
        assert_eq!(differences(&bucket), []);
        let fresh =
            json!({ "name": "recordings", "iamConfiguration": { "publicAccessPrevention": "inherited" } });
        let what: Vec<_> = differences(&fresh).into_iter().map(|difference| difference.what).collect();
        assert_eq!(what, ["lifecycle rules", "uniform bucket-level access", "public access prevention"]);
        bucket["lifecycle"]["rule"][2]["condition"]["daysSinceCustomTime"] = json!(365);
        assert_eq!(differences(&bucket).len(), 1, "somebody has shortened the retention");
    }
}
