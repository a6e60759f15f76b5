//! Reads the database back into the model.

use std::path::PathBuf;

use rusqlite::types::FromSqlError;
use rusqlite::{Params, Row};

use super::values::{named, path_of};
use super::{Result, Run, Snapshot, StorageError, Store};
use crate::model::{
    Alert, Bound, ClusterUid, ClusterUidError, Credential, CredentialUser, FileId, Fingerprint,
    Learning, LocatedFile, RegistryChange, Rhythm, Selector, Succession, Target, Timestamp, Usage,
    UsageKey,
};

impl Store {
    /// Everything that a daemon goes on with, as of one moment.
    pub fn load(&self) -> Result<Snapshot> {
        let transaction = self
            .connection
            .unchecked_transaction()
            .map_err(|source| self.failed(source))?;
        let snapshot = Snapshot {
            changes: self.changes()?,
            files: self.files()?,
            gone: self.rows(
                "SELECT fingerprint, kind, label, subject, issued, expires, account_uid, pod_uid,
                        last_found
                 FROM credential c
                 WHERE NOT EXISTS (SELECT 1 FROM location l
                     WHERE l.fingerprint = c.fingerprint AND l.kind = c.kind)
                 ORDER BY fingerprint, kind",
                [],
                |row| Ok((Timestamp(row.get(8)?), credential_of(row, 0)?)),
            )?,
            usage: self.rows(
                "SELECT fingerprint, identity, exe, destination, first, last, count
                 FROM usage ORDER BY fingerprint, identity, exe, destination",
                [],
                usage_of,
            )?,
            identities: self.rows(
                "SELECT selector, first, last FROM identity_seen ORDER BY selector",
                [],
                |row| {
                    Ok((
                        selector_of(row, 0)?,
                        Timestamp(row.get(1)?),
                        Timestamp(row.get(2)?),
                    ))
                },
            )?,
            open_alerts: self.rows(
                "SELECT alert, time, last_time FROM alert WHERE status = 'open'
                 ORDER BY time, seq",
                [],
                alert_of,
            )?,
            successions: self.rows(
                "SELECT old, new, path, began FROM succession ORDER BY began, old",
                [],
                succession_of,
            )?,
            rhythms: self.rows(
                "SELECT target_kind, target, longest, told FROM rhythm
                 ORDER BY target_kind, target",
                [],
                rhythm_of,
            )?,
            first_found: self.rows(
                "SELECT fingerprint, min(first_found) FROM credential
                 GROUP BY fingerprint ORDER BY fingerprint",
                [],
                |row| {
                    let fingerprint = Fingerprint::new(row.get::<_, String>(0)?);
                    Ok((fingerprint, Timestamp(row.get(1)?)))
                },
            )?,
            unwatched: self.rows(
                "SELECT until, next FROM (
                     SELECT started, coalesce(ended, last_seen) AS until,
                            lead(started) OVER (ORDER BY started) AS next FROM run)
                 WHERE next > until ORDER BY started",
                [],
                |row| Ok((Timestamp(row.get(0)?), Timestamp(row.get(1)?))),
            )?,
            last_run: self
                .rows(
                    "SELECT started, pid, boot_id, last_seen, last_seen_boot, ended
                     FROM run ORDER BY started DESC LIMIT 1",
                    [],
                    run_of,
                )?
                .pop(),
            learning: self.rows(
                "SELECT fingerprint, since FROM credential_learning ORDER BY fingerprint",
                [],
                |row| {
                    Ok(Learning {
                        fingerprint: Fingerprint::new(row.get::<_, String>(0)?),
                        since: Timestamp(row.get(1)?),
                    })
                },
            )?,
            users: self.rows(
                "SELECT fingerprint, identity, exe, own_mounts, since FROM credential_user
                 ORDER BY since, fingerprint, identity, exe, own_mounts",
                [],
                |row| {
                    Ok(CredentialUser {
                        fingerprint: Fingerprint::new(row.get::<_, String>(0)?),
                        identity: selector_of(row, 1)?,
                        exe: row.get(2)?,
                        own_mounts: row.get(3)?,
                        since: Timestamp(row.get(4)?),
                    })
                },
            )?,
            exceptions: self.rows(
                "SELECT exception FROM exception WHERE removed IS NULL ORDER BY seq",
                [],
                |row| {
                    let json: String = row.get(0)?;
                    let read = serde_json::from_str(&json)
                        .map_err(|error| FromSqlError::Other(Box::new(error)));
                    in_column(0, row, read)
                },
            )?,
            words: self.words()?,
            kept: self.kept()?,
        };
        transaction.finish().map_err(|source| self.failed(source))?;
        Ok(snapshot)
    }

    /// All that was said of the registry, in the order in which it was.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn changes(&self) -> Result<Vec<(Timestamp, RegistryChange)>> {
        self.rows(
            "SELECT time, target_kind, target, state, since, changed_by, reason, owner
             FROM registry_change ORDER BY id",
            [],
            change_of,
        )
    }

    /// The newest alerts, at most `limit`, newest last.
    pub fn alerts(&self, limit: u32) -> Result<Vec<Alert>> {
        let mut alerts = self.rows(
            "SELECT alert, time, last_time FROM alert ORDER BY time DESC, seq DESC LIMIT ?1",
            [limit],
            alert_of,
        )?;
        alerts.reverse();
        Ok(alerts)
    }

    /// The alerts whose id begins with a text, at most two: enough to tell whether it is one.
    pub fn alerts_named(&self, start: &str) -> Result<Vec<Alert>> {
        self.rows(
            "SELECT alert, time, last_time FROM alert
             WHERE substr(alert_id, 1, length(?1)) = ?1 LIMIT 2",
            [start],
            alert_of,
        )
    }

    pub(super) fn data_version(&self) -> Result<i64> {
        self.connection
            .pragma_query_value(None, "data_version", |row| row.get(0))
            .map_err(|source| self.failed(source))
    }

    fn files(&self) -> Result<Vec<(Timestamp, LocatedFile)>> {
        let mut files: Vec<(i64, Timestamp, LocatedFile)> = self.rows(
            "SELECT id, found, dev, ino, path, uid, gid, mode, modified FROM file
             ORDER BY found, id",
            [],
            |row| Ok((row.get(0)?, Timestamp(row.get(1)?), file_of(row)?)),
        )?;
        let mut credentials = self
            .rows(
                "SELECT file, fingerprint, kind, label, subject, issued, expires, account_uid,
                        pod_uid
                 FROM location JOIN file ON file.id = location.file
                 ORDER BY file.found, file.id, position",
                [],
                |row| Ok((row.get::<_, i64>(0)?, credential_of(row, 1)?)),
            )?
            .into_iter()
            .peekable();
        for (id, _, file) in &mut files {
            while let Some((_, credential)) = credentials.next_if(|(of, _)| of == id) {
                file.credentials.push(credential);
            }
        }
        Ok(files
            .into_iter()
            .map(|(_, found, file)| (found, file))
            .collect())
    }

    pub(super) fn rows<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let failed = |source| self.failed(source);
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        let rows = statement.query_map(params, read).map_err(failed)?;
        rows.collect::<rusqlite::Result<_>>().map_err(failed)
    }

    /// A value that does not fit its column's meaning is damage, as a broken page is.
    fn failed(&self, source: rusqlite::Error) -> StorageError {
        match source {
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::Utf8Error(..) => StorageError::Damaged {
                path: self.path.clone(),
                detail: source.to_string(),
            },
            source => StorageError::sqlite("read", &self.path, source),
        }
    }
}

/// Puts the column's number to a value that could not be read.
pub(super) fn in_column<T>(
    column: usize,
    row: &Row<'_>,
    read: Result<T, FromSqlError>,
) -> rusqlite::Result<T> {
    read.map_err(|error| {
        let kind = row
            .get_ref(column)
            .map_or(rusqlite::types::Type::Null, |value| value.data_type());
        rusqlite::Error::FromSqlConversionFailure(column, kind, Box::new(error))
    })
}

pub(super) fn name<T: for<'a> serde::Deserialize<'a>>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<T> {
    let read = row.get_ref(column)?.as_str().and_then(named);
    in_column(column, row, read)
}

pub(super) fn selector_of(row: &Row<'_>, column: usize) -> rusqlite::Result<Selector> {
    // Through an owned text: that is how a selector checks itself.
    let text: String = row.get(column)?;
    let read = text
        .parse()
        .map_err(|error| FromSqlError::Other(Box::new(error)));
    in_column(column, row, read)
}

fn optional_selector(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Selector>> {
    match row.get_ref(column)? {
        rusqlite::types::ValueRef::Null => Ok(None),
        _ => selector_of(row, column).map(Some),
    }
}

pub(super) fn uid_of(row: &Row<'_>, column: usize) -> rusqlite::Result<ClusterUid> {
    let text: String = row.get(column)?;
    let read = text
        .parse()
        .map_err(|error: ClusterUidError| FromSqlError::Other(Box::new(error)));
    in_column(column, row, read)
}

fn optional_uid(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<ClusterUid>> {
    match row.get_ref(column)? {
        rusqlite::types::ValueRef::Null => Ok(None),
        _ => uid_of(row, column).map(Some),
    }
}

fn path(row: &Row<'_>, column: usize) -> rusqlite::Result<PathBuf> {
    let read = path_of(row.get_ref(column)?);
    in_column(column, row, read)
}

pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp))
}

fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.cast_unsigned())
}

fn change_of(row: &Row<'_>) -> rusqlite::Result<(Timestamp, RegistryChange)> {
    let target = match row.get_ref(1)?.as_str() {
        Ok("credential") => Target::Credential(Fingerprint::new(row.get::<_, String>(2)?)),
        Ok("identity") => Target::Identity(selector_of(row, 2)?),
        // The table's check knows no other.
        _ => Target::Path(path(row, 2)?),
    };
    let change = RegistryChange {
        target,
        state: name(row, 3)?,
        since: time(row, 4)?,
        by: row.get(5)?,
        reason: row.get(6)?,
        owner: optional_selector(row, 7)?,
    };
    Ok((Timestamp(row.get(0)?), change))
}

/// From columns 2 on.
fn file_of(row: &Row<'_>) -> rusqlite::Result<LocatedFile> {
    Ok(LocatedFile {
        file: FileId {
            dev: unsigned(row, 2)?,
            ino: unsigned(row, 3)?,
        },
        path: path(row, 4)?,
        uid: row.get(5)?,
        gid: row.get(6)?,
        mode: row.get(7)?,
        modified: Timestamp(row.get(8)?),
        credentials: Vec::new(),
    })
}

fn credential_of(row: &Row<'_>, start: usize) -> rusqlite::Result<Credential> {
    Ok(Credential {
        fingerprint: Fingerprint::new(row.get::<_, String>(start)?),
        kind: name(row, start + 1)?,
        label: row.get(start + 2)?,
        subject: optional_selector(row, start + 3)?,
        issued: time(row, start + 4)?,
        expires: time(row, start + 5)?,
        bound: Bound::of(optional_uid(row, start + 6)?, optional_uid(row, start + 7)?),
    })
}

fn succession_of(row: &Row<'_>) -> rusqlite::Result<Succession> {
    Ok(Succession {
        old: Fingerprint::new(row.get::<_, String>(0)?),
        new: Fingerprint::new(row.get::<_, String>(1)?),
        path: path(row, 2)?,
        began: Timestamp(row.get(3)?),
    })
}

fn rhythm_of(row: &Row<'_>) -> rusqlite::Result<Rhythm> {
    let target = match row.get_ref(0)?.as_str() {
        Ok("identity") => Target::Identity(selector_of(row, 1)?),
        // The table's check knows no other.
        _ => Target::Credential(Fingerprint::new(row.get::<_, String>(1)?)),
    };
    Ok(Rhythm {
        target,
        longest: u64::try_from(row.get::<_, i64>(2)?).unwrap_or(0),
        told: time(row, 3)?,
    })
}

fn run_of(row: &Row<'_>) -> rusqlite::Result<Run> {
    Ok(Run {
        started: Timestamp(row.get(0)?),
        pid: row.get(1)?,
        boot_id: row.get(2)?,
        last_seen: Timestamp(row.get(3)?),
        last_seen_boot: row.get::<_, i64>(4)?.cast_unsigned(),
        ended: row.get::<_, Option<i64>>(5)?.map(Timestamp),
    })
}

fn usage_of(row: &Row<'_>) -> rusqlite::Result<Usage> {
    Ok(Usage {
        key: UsageKey {
            fingerprint: Fingerprint::new(row.get::<_, String>(0)?),
            identity: selector_of(row, 1)?,
            exe: row.get(2)?,
            destination: row.get(3)?,
        },
        first: Timestamp(row.get(4)?),
        last: Timestamp(row.get(5)?),
        count: u64::try_from(row.get::<_, i64>(6)?).unwrap_or(0),
        name: None,
    })
}

fn alert_of(row: &Row<'_>) -> rusqlite::Result<Alert> {
    let read = row.get_ref(0)?.as_str().and_then(|json| {
        serde_json::from_str::<Alert>(json).map_err(|error| FromSqlError::Other(Box::new(error)))
    });
    let mut alert = in_column(0, row, read)?;
    // The JSON holds microseconds, as it is printed; the columns hold the whole time.
    alert.time = Timestamp(row.get(1)?);
    alert.last_time = Timestamp(row.get(2)?);
    Ok(alert)
}
