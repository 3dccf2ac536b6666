//! Scores of a trial: what another prompt or service says of contacts that were scored long ago. A file of its own beside the
//! records, so that nothing of a trial can touch a lead; it can be deleted at any time.

use std::path::Path;

use leadline_schemas::{Millis, TenantId};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::contract::store::StoreError;

/// The table; its version stands in `user_version`.
const DDL: &str = "
CREATE TABLE IF NOT EXISTS shadow (
    tenant      TEXT    NOT NULL,
    prompt      TEXT    NOT NULL,
    provider    TEXT    NOT NULL,
    call_id     TEXT    NOT NULL,
    input_hash  INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    row         TEXT    NOT NULL,
    PRIMARY KEY (tenant, prompt, provider, call_id)
) STRICT, WITHOUT ROWID;
PRAGMA user_version = 1;
";
/// How long another command on the same file is waited for.
const BUSY_MS: u64 = 5_000;

/// Which trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Whose contacts.
    pub tenant: TenantId,
    /// The prompt that is tried.
    pub prompt: String,
    /// The service that is tried.
    pub provider: String,
}

/// A contact in a trial.
#[derive(Clone, Debug, PartialEq)]
pub struct ShadowRow {
    /// The call, text or form.
    pub call_id: String,
    /// Hash of what was asked: a contact that has changed is asked about again.
    pub input_hash: i64,
    /// When the contact began.
    pub started_at: Millis,
    /// What was found, as JSON of whoever made the trial.
    pub row: String,
}

/// The table of trials.
pub struct ShadowStore(Connection);

impl ShadowStore {
    /// Opens the file, and makes it where it is missing.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = Connection::open(path).map_err(|error| failed(path, &error))?;
        let prepare = || {
            connection.busy_timeout(std::time::Duration::from_millis(BUSY_MS))?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.execute_batch(DDL)
        };
        prepare().map_err(|error| failed(path, &error))?;
        Ok(Self(connection))
    }

    /// What the trial says of a contact, if it was asked the same.
    pub fn get(&self, trial: &Trial, call_id: &str, input_hash: i64) -> Result<Option<String>, StoreError> {
        let sql = "SELECT row FROM shadow WHERE tenant = ?1 AND prompt = ?2 AND provider = ?3 AND call_id = ?4 AND input_hash = ?5";
        let key = params![trial.tenant.as_str(), trial.prompt, trial.provider, call_id, input_hash];
        let found = self
            .0
            .prepare_cached(sql)
            .and_then(|mut query| query.query_row(key, |row| row.get(0)).optional());
        found.map_err(unavailable)
    }

    /// Writes what a trial says; it is there when this returns.
    pub fn put(&self, trial: &Trial, row: &ShadowRow) -> Result<(), StoreError> {
        let sql =
            "INSERT OR REPLACE INTO shadow (tenant, prompt, provider, call_id, input_hash, started_at, row)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let values = params![
            trial.tenant.as_str(),
            trial.prompt,
            trial.provider,
            row.call_id,
            row.input_hash,
            row.started_at.0,
            row.row
        ];
        let written = self.0.prepare_cached(sql).and_then(|mut insert| insert.execute(values));
        written.map(|_| ()).map_err(unavailable)
    }

    /// All of a trial whose contacts began in [from, to), newest first.
    pub fn list(&self, trial: &Trial, from: Millis, to: Millis) -> Result<Vec<ShadowRow>, StoreError> {
        let sql = "SELECT call_id, input_hash, started_at, row FROM shadow
                   WHERE tenant = ?1 AND prompt = ?2 AND provider = ?3 AND started_at >= ?4 AND started_at < ?5
                   ORDER BY started_at DESC, call_id";
        let key = params![trial.tenant.as_str(), trial.prompt, trial.provider, from.0, to.0];
        let read = || {
            let mut query = self.0.prepare_cached(sql)?;
            let rows = query.query_map(key, |row| {
                let (call_id, input_hash) = (row.get(0)?, row.get(1)?);
                Ok(ShadowRow { call_id, input_hash, started_at: Millis(row.get(2)?), row: row.get(3)? })
            })?;
            rows.collect::<Result<Vec<_>, rusqlite::Error>>()
        };
        read().map_err(unavailable)
    }
}

fn failed(path: &Path, error: &rusqlite::Error) -> StoreError {
    StoreError::Unavailable(format!("{}: {error}", path.display()))
}

fn unavailable(error: rusqlite::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_is_kept_over_runs_apart_from_others_and_by_what_was_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shadow.db");
        let trial = |tenant: &str, prompt: &str| Trial {
            tenant: TenantId::new(tenant).unwrap(),
            prompt: prompt.to_owned(),
            provider: "gemini".to_owned(),
        };
        let row = |call_id: &str, input_hash, started_at, text: &str| ShadowRow {
            call_id: call_id.to_owned(),
            input_hash,
            started_at: Millis(started_at),
            row: text.to_owned(),
        };
        let one = trial("summit", "v1");
        {
            let store = ShadowStore::open(&path).unwrap();
            store.put(&one, &row("CAL1", 7, 100, "a")).unwrap();
            store.put(&one, &row("CAL2", -7, 200, "b")).unwrap();
            store.put(&trial("other", "v1"), &row("CAL1", 7, 100, "c")).unwrap();
        }
        let store = ShadowStore::open(&path).unwrap();
        assert_eq!(store.get(&one, "CAL1", 7).unwrap().as_deref(), Some("a"));
        assert_eq!(store.get(&one, "CAL1", 8).unwrap(), None, "it has changed");
        assert_eq!(store.get(&trial("summit", "v2"), "CAL1", 7).unwrap(), None);
        store.put(&one, &row("CAL1", 8, 100, "d")).unwrap();
        let all = store.list(&one, Millis(0), Millis(1_000)).unwrap();
        assert_eq!(all, [row("CAL2", -7, 200, "b"), row("CAL1", 8, 100, "d")]);
        assert_eq!(store.list(&one, Millis(150), Millis(200)).unwrap(), []);
    }
}
