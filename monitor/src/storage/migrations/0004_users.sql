-- Since when the users of a credential are learned: from its first find, or its predecessor's at the
-- same place.
CREATE TABLE credential_learning (
    fingerprint TEXT    PRIMARY KEY,
    since       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- What is known from before this version has had no time to be learned.
INSERT INTO credential_learning (fingerprint, since)
SELECT DISTINCT fingerprint, CAST(strftime('%s', 'now') AS INTEGER) * 1000000000 FROM credential;

-- Known users of credentials: an identity with a program. own_mounts is 1 where the program's path is
-- one in the identity's own mounts.
CREATE TABLE credential_user (
    fingerprint TEXT    NOT NULL,
    identity    TEXT    NOT NULL,
    exe         TEXT    NOT NULL,
    own_mounts  INTEGER NOT NULL,
    since       INTEGER NOT NULL,
    PRIMARY KEY (fingerprint, identity, exe, own_mounts)
) STRICT, WITHOUT ROWID;

-- Every cause that an operator allowed. The columns are for queries; `exception` is the whole of it
-- as JSON. `removed` is when it was taken back, and stays as history.
CREATE TABLE exception (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    id        TEXT    NOT NULL,
    detection TEXT    NOT NULL,
    since     INTEGER NOT NULL,
    expires   INTEGER,
    said_by   TEXT    NOT NULL,
    reason    TEXT    NOT NULL,
    removed   INTEGER,
    exception TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX exception_in_force ON exception (id) WHERE removed IS NULL;
