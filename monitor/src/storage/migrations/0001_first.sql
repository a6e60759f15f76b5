-- Times are nanoseconds since the Unix epoch, in UTC:
--   SELECT datetime(time / 1000000000, 'unixepoch') FROM alert;
-- Unsigned 64-bit inode and device numbers are stored as the signed integer of the same bits.
-- A path is TEXT where it is UTF-8, else a BLOB of its bytes.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Every credential that was ever found, also when no file holds it any more. An SSH private key
-- and its line in authorized_keys share one fingerprint: hence the kind in the key.
CREATE TABLE credential (
    fingerprint TEXT NOT NULL,
    kind        TEXT NOT NULL,
    label       TEXT,
    subject     TEXT,
    issued      INTEGER,
    expires     INTEGER,
    first_found INTEGER NOT NULL,
    last_found  INTEGER NOT NULL,
    PRIMARY KEY (fingerprint, kind)
) STRICT, WITHOUT ROWID;

-- Every file that holds credentials now. A path is one file at a time.
CREATE TABLE file (
    id       INTEGER PRIMARY KEY,
    path     ANY     NOT NULL UNIQUE,
    dev      INTEGER NOT NULL,
    ino      INTEGER NOT NULL,
    uid      INTEGER NOT NULL,
    gid      INTEGER NOT NULL,
    mode     INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    found    INTEGER NOT NULL
) STRICT;

-- Which credentials a file holds, as this file tells of them: a label may differ between copies.
CREATE TABLE location (
    file        INTEGER NOT NULL REFERENCES file (id) ON DELETE CASCADE,
    position    INTEGER NOT NULL,
    fingerprint TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    label       TEXT,
    subject     TEXT,
    issued      INTEGER,
    expires     INTEGER,
    PRIMARY KEY (file, position),
    FOREIGN KEY (fingerprint, kind) REFERENCES credential (fingerprint, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX location_credential ON location (fingerprint, kind);

-- Every word about the state of a credential, an identity or a path. It only grows.
CREATE TABLE registry_change (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    time        INTEGER NOT NULL,
    target_kind TEXT    NOT NULL CHECK (target_kind IN ('credential', 'identity', 'path')),
    target      ANY     NOT NULL,
    state       TEXT    NOT NULL,
    since       INTEGER,
    changed_by  TEXT    NOT NULL,
    reason      TEXT,
    owner       TEXT
) STRICT;
CREATE INDEX registry_change_target ON registry_change (target_kind, target);
CREATE TRIGGER registry_change_is_history_update BEFORE UPDATE ON registry_change
BEGIN
    SELECT raise(ABORT, 'registry_change is history: it is appended to, never changed');
END;
CREATE TRIGGER registry_change_is_history_delete BEFORE DELETE ON registry_change
BEGIN
    SELECT raise(ABORT, 'registry_change is history: it is appended to, never changed');
END;

CREATE TABLE identity_seen (
    selector TEXT PRIMARY KEY,
    first    INTEGER NOT NULL,
    last     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- destination is empty for the reads themselves, exe where it could not be known.
CREATE TABLE usage (
    fingerprint TEXT    NOT NULL,
    identity    TEXT    NOT NULL,
    exe         TEXT    NOT NULL,
    destination TEXT    NOT NULL,
    first       INTEGER NOT NULL,
    last        INTEGER NOT NULL,
    count       INTEGER NOT NULL,
    PRIMARY KEY (fingerprint, identity, exe, destination)
) STRICT, WITHOUT ROWID;

-- The columns are for queries; `alert` is the whole of it as JSON.
CREATE TABLE alert (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    alert_id    TEXT    NOT NULL UNIQUE,
    time        INTEGER NOT NULL,
    last_time   INTEGER NOT NULL,
    id          TEXT    NOT NULL,
    severity    TEXT    NOT NULL,
    status      TEXT    NOT NULL,
    repeats     INTEGER NOT NULL,
    summary     TEXT    NOT NULL,
    identity    TEXT,
    fingerprint TEXT,
    path        TEXT,
    pid         INTEGER,
    exe         TEXT,
    alert       TEXT    NOT NULL
) STRICT;
CREATE INDEX alert_time ON alert (time, seq);
CREATE INDEX alert_open ON alert (status) WHERE status = 'open';

-- The latest word about each target.
CREATE VIEW registry_state AS
SELECT target_kind, target, state,
       datetime(coalesce(since, time) / 1000000000, 'unixepoch') AS since,
       changed_by, reason, owner
FROM registry_change
WHERE id IN (SELECT max(id) FROM registry_change GROUP BY target_kind, target);

-- Credentials with where they lie and when they were last used, for people.
CREATE VIEW credential_overview AS
SELECT c.fingerprint, c.kind, c.label,
       (SELECT group_concat(f.path, char(10)) FROM location l JOIN file f ON f.id = l.file
        WHERE l.fingerprint = c.fingerprint AND l.kind = c.kind) AS paths,
       (SELECT s.state FROM registry_state s
        WHERE s.target_kind = 'credential' AND s.target = c.fingerprint) AS declared_state,
       (SELECT datetime(max(u.last) / 1000000000, 'unixepoch') FROM usage u
        WHERE u.fingerprint = c.fingerprint) AS last_used,
       (SELECT coalesce(sum(u.count), 0) FROM usage u
        WHERE u.fingerprint = c.fingerprint AND u.destination = '') AS uses
FROM credential c;
