//! Writes to the database, a transaction for each call.

use rusqlite::{CachedStatement, Connection, Transaction, TransactionBehavior};

use super::values::{bits, count, name_of, path_value};
use super::{Result, Run, StorageError, Store, Write, kept, words};
use crate::model::{
    Alert, Credential, Exception, LocatedFile, RegistryChange, Rhythm, Target, Timestamp, Usage,
};

impl Store {
    /// Stores all of `writes` in one transaction, in their order, or on an error none of them.
    pub fn write(&mut self, writes: &[Write]) -> Result<()> {
        if writes.is_empty() {
            return Ok(());
        }
        let Self { connection, path } = self;
        let failed = |failure| match failure {
            Failure::Sqlite(source) => StorageError::sqlite("write to", path, source),
            Failure::Encode(error) => error,
        };
        // Dropping the transaction takes back what it did.
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| failed(error.into()))?;
        for write in writes {
            store(&transaction, write).map_err(failed)?;
        }
        transaction.commit().map_err(|error| failed(error.into()))
    }

    /// Copies the write-ahead log back into the database and closes it.
    pub fn close(self) -> Result<()> {
        let Self { connection, path } = self;
        connection
            .close()
            .map_err(|(_, source)| StorageError::sqlite("close", &path, source))
    }
}

pub(super) enum Failure {
    Sqlite(rusqlite::Error),
    Encode(StorageError),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::Encode(error)
    }
}

fn store(to: &Transaction<'_>, write: &Write) -> Result<(), Failure> {
    match write {
        Write::Change(time, change) => append_change(to, *time, change),
        Write::Located(time, file) => locate(to, *time, file),
        Write::Unlocated(_, file, path) => {
            prepare(
                to,
                "DELETE FROM file WHERE path = ?1 AND dev = ?2 AND ino = ?3",
            )?
            .execute((path_value(path), bits(file.dev), bits(file.ino)))?;
            Ok(())
        }
        Write::Usage(usage) => upsert_usage(to, usage),
        Write::IdentitySeen {
            selector,
            first,
            last,
        } => {
            prepare(
                to,
                "INSERT INTO identity_seen (selector, first, last) VALUES (?1, ?2, ?3)
                 ON CONFLICT (selector) DO UPDATE SET
                     first = min(first, excluded.first), last = max(last, excluded.last)",
            )?
            .execute((selector.as_str(), first.0, last.0))?;
            Ok(())
        }
        Write::Alert(alert) => upsert_alert(to, alert),
        Write::Succession(succession) => {
            prepare(
                to,
                "INSERT INTO succession (old, new, path, began) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (old) DO UPDATE SET
                     new = excluded.new, path = excluded.path, began = excluded.began",
            )?
            .execute((
                succession.old.as_str(),
                succession.new.as_str(),
                path_value(&succession.path),
                succession.began.0,
            ))?;
            Ok(())
        }
        Write::Rhythm(rhythm) => upsert_rhythm(to, rhythm),
        Write::Run(run) => upsert_run(to, run),
        Write::Learning(learning) => {
            prepare(
                to,
                "INSERT INTO credential_learning (fingerprint, since) VALUES (?1, ?2)
                 ON CONFLICT (fingerprint) DO UPDATE SET since = excluded.since",
            )?
            .execute((learning.fingerprint.as_str(), learning.since.0))?;
            Ok(())
        }
        Write::User(user) => {
            prepare(
                to,
                "INSERT INTO credential_user (fingerprint, identity, exe, own_mounts, since)
                 VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (fingerprint, identity, exe, own_mounts) DO NOTHING",
            )?
            .execute((
                user.fingerprint.as_str(),
                user.identity.as_str(),
                &user.exe,
                user.own_mounts,
                user.since.0,
            ))?;
            Ok(())
        }
        Write::Forgotten(fingerprint) => {
            prepare(to, "DELETE FROM credential_user WHERE fingerprint = ?1")?
                .execute([fingerprint.as_str()])?;
            Ok(())
        }
        Write::Allowed(exception) => append_exception(to, exception),
        Write::NotAllowed(time, id) => end_exception(to, *time, id),
        Write::Said(word) => words::append(to, word),
        Write::Keep(keep) => kept::keep(to, keep),
    }
}

pub(super) fn prepare<'a>(to: &'a Connection, sql: &str) -> rusqlite::Result<CachedStatement<'a>> {
    to.prepare_cached(sql)
}

fn append_change(to: &Connection, time: Timestamp, change: &RegistryChange) -> Result<(), Failure> {
    let (kind, target) = match &change.target {
        Target::Credential(fingerprint) => ("credential", fingerprint.as_str().to_owned().into()),
        Target::Identity(selector) => ("identity", selector.as_str().to_owned().into()),
        Target::Path(path) => ("path", path_value(path)),
    };
    prepare(
        to,
        "INSERT INTO registry_change
             (time, target_kind, target, state, since, changed_by, reason, owner)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute((
        time.0,
        kind,
        target,
        name_of("a state", &change.state)?,
        change.since.map(|since| since.0),
        &change.by,
        &change.reason,
        change.owner.as_ref().map(|owner| owner.as_str()),
    ))?;
    Ok(())
}

fn locate(to: &Connection, time: Timestamp, file: &LocatedFile) -> Result<(), Failure> {
    let id: i64 = prepare(
        to,
        "INSERT INTO file (path, dev, ino, uid, gid, mode, modified, found)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (path) DO UPDATE SET
             dev = excluded.dev, ino = excluded.ino, uid = excluded.uid, gid = excluded.gid,
             mode = excluded.mode, modified = excluded.modified, found = excluded.found
         RETURNING id",
    )?
    .query_row(
        (
            path_value(&file.path),
            bits(file.file.dev),
            bits(file.file.ino),
            file.uid,
            file.gid,
            file.mode,
            file.modified.0,
            time.0,
        ),
        |row| row.get(0),
    )?;
    prepare(to, "DELETE FROM location WHERE file = ?1")?.execute([id])?;
    for (position, credential) in file.credentials.iter().enumerate() {
        locate_credential(to, time, id, position, credential)?;
    }
    Ok(())
}

fn locate_credential(
    to: &Connection,
    time: Timestamp,
    file: i64,
    position: usize,
    credential: &Credential,
) -> Result<(), Failure> {
    let fingerprint = credential.fingerprint.as_str();
    let kind = name_of("a credential's kind", &credential.kind)?;
    let subject = credential.subject.as_ref().map(|subject| subject.as_str());
    let issued = credential.issued.map(|at| at.0);
    let expires = credential.expires.map(|at| at.0);
    let bound = credential.bound.as_deref();
    let account = bound.and_then(|of| of.account.as_ref());
    let account = account.map(|uid| uid.as_str());
    let pod = bound.and_then(|of| of.pod.as_ref());
    let pod = pod.map(|uid| uid.as_str());
    prepare(
        to,
        "INSERT INTO credential
             (fingerprint, kind, label, subject, issued, expires, first_found, last_found,
              account_uid, pod_uid)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9)
         ON CONFLICT (fingerprint, kind) DO UPDATE SET
             label = excluded.label, subject = excluded.subject, issued = excluded.issued,
             expires = excluded.expires, account_uid = excluded.account_uid,
             pod_uid = excluded.pod_uid, first_found = min(first_found, excluded.first_found),
             last_found = max(last_found, excluded.last_found)",
    )?
    .execute((
        fingerprint,
        &kind,
        &credential.label,
        subject,
        issued,
        expires,
        time.0,
        account,
        pod,
    ))?;
    prepare(
        to,
        "INSERT INTO credential_learning (fingerprint, since) VALUES (?1, ?2)
         ON CONFLICT (fingerprint) DO NOTHING",
    )?
    .execute((fingerprint, time.0))?;
    prepare(
        to,
        "INSERT INTO location
             (file, position, fingerprint, kind, label, subject, issued, expires, account_uid,
              pod_uid)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute((
        file,
        i64::try_from(position).unwrap_or(i64::MAX),
        fingerprint,
        &kind,
        &credential.label,
        subject,
        issued,
        expires,
        account,
        pod,
    ))?;
    Ok(())
}

fn upsert_usage(to: &Connection, usage: &Usage) -> Result<(), Failure> {
    prepare(
        to,
        "INSERT INTO usage (fingerprint, identity, exe, destination, first, last, count)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (fingerprint, identity, exe, destination) DO UPDATE SET
             first = min(first, excluded.first), last = max(last, excluded.last),
             count = max(count, excluded.count)",
    )?
    .execute((
        usage.key.fingerprint.as_str(),
        usage.key.identity.as_str(),
        &usage.key.exe,
        &usage.key.destination,
        usage.first.0,
        usage.last.0,
        count(usage.count),
    ))?;
    Ok(())
}

fn upsert_rhythm(to: &Connection, rhythm: &Rhythm) -> Result<(), Failure> {
    let (kind, target) = match &rhythm.target {
        Target::Credential(fingerprint) => ("credential", fingerprint.as_str()),
        Target::Identity(selector) => ("identity", selector.as_str()),
        // Nothing is learned of a path: what lies there is a credential.
        Target::Path(_) => return Ok(()),
    };
    prepare(
        to,
        "INSERT INTO rhythm (target_kind, target, longest, told) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (target_kind, target) DO UPDATE SET
             longest = excluded.longest, told = excluded.told",
    )?
    .execute((
        kind,
        target,
        count(rhythm.longest),
        rhythm.told.map(|at| at.0),
    ))?;
    Ok(())
}

fn upsert_run(to: &Connection, run: &Run) -> Result<(), Failure> {
    prepare(
        to,
        "INSERT INTO run (started, pid, boot_id, last_seen, last_seen_boot, ended)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (started) DO UPDATE SET
             pid = excluded.pid, boot_id = excluded.boot_id, last_seen = excluded.last_seen,
             last_seen_boot = excluded.last_seen_boot, ended = excluded.ended",
    )?
    .execute((
        run.started.0,
        run.pid,
        &run.boot_id,
        run.last_seen.0,
        bits(run.last_seen_boot),
        run.ended.map(|at| at.0),
    ))?;
    Ok(())
}

fn end_exception(to: &Connection, time: Timestamp, id: &str) -> Result<(), Failure> {
    prepare(
        to,
        "UPDATE exception SET removed = ?2 WHERE id = ?1 AND removed IS NULL",
    )?
    .execute((id, time.0))?;
    Ok(())
}

fn append_exception(to: &Connection, exception: &Exception) -> Result<(), Failure> {
    let json = serde_json::to_string(exception).map_err(|source| StorageError::Encode {
        what: "an exception",
        source,
    })?;
    end_exception(to, exception.since, &exception.id)?;
    prepare(
        to,
        "INSERT INTO exception (id, detection, since, expires, said_by, reason, exception)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute((
        &exception.id,
        exception.detection.as_str(),
        exception.since.0,
        exception.expires.map(|end| end.0),
        &exception.by,
        &exception.reason,
        json,
    ))?;
    Ok(())
}

fn upsert_alert(to: &Connection, alert: &Alert) -> Result<(), Failure> {
    let json = serde_json::to_string(alert).map_err(|source| StorageError::Encode {
        what: "an alert",
        source,
    })?;
    let credential = alert.credential.as_ref();
    let process = alert.process.as_ref();
    prepare(
        to,
        "INSERT INTO alert
             (alert_id, time, last_time, id, severity, status, repeats, summary, identity,
              fingerprint, path, pid, exe, alert)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
         ON CONFLICT (alert_id) DO UPDATE SET
             time = excluded.time, last_time = excluded.last_time, id = excluded.id,
             severity = excluded.severity, status = excluded.status, repeats = excluded.repeats,
             summary = excluded.summary, identity = excluded.identity,
             fingerprint = excluded.fingerprint, path = excluded.path, pid = excluded.pid,
             exe = excluded.exe, alert = excluded.alert",
    )?
    .execute(rusqlite::params![
        alert.alert_id,
        alert.time.0,
        alert.last_time.0,
        alert.id.as_str(),
        alert.severity.as_str(),
        name_of("an alert's status", &alert.status)?,
        count(alert.repeats),
        alert.summary,
        alert.identity.as_ref().map(|identity| identity.as_str()),
        credential.map(|credential| credential.fingerprint.as_str()),
        credential
            .and_then(|credential| credential.path.as_deref())
            .or(alert.path.as_deref()),
        process.map(|process| process.pid),
        process.and_then(|process| process.exe.as_deref()),
        json,
    ])?;
    Ok(())
}
