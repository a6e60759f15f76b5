-- Since when this host is watched, and until when that is stored. One row.
CREATE TABLE watched (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    since INTEGER NOT NULL,
    until INTEGER NOT NULL
) STRICT;

-- Times in which a use could have gone unseen. ended is NULL while one goes on. cause is what was
-- missing, hook which hook or queue, where it was one.
CREATE TABLE unwatched (
    position INTEGER PRIMARY KEY,
    began    INTEGER NOT NULL,
    ended    INTEGER,
    cause    TEXT    NOT NULL,
    hook     TEXT,
    rebooted INTEGER NOT NULL DEFAULT 0
) STRICT;

-- How a credential or an identity is used. longest is the longest pause between two uses in
-- nanoseconds, alike how many were at least half as long.
CREATE TABLE use_pattern (
    target_kind   TEXT    NOT NULL CHECK (target_kind IN ('credential', 'identity')),
    target        TEXT    NOT NULL,
    present_since INTEGER,
    first         INTEGER,
    last          INTEGER,
    uses          INTEGER NOT NULL,
    longest       INTEGER NOT NULL,
    alike         INTEGER NOT NULL,
    PRIMARY KEY (target_kind, target)
) STRICT, WITHOUT ROWID;

-- Accounts of this host as they were last seen. password is the class of the field, never more.
CREATE TABLE account (
    name      TEXT PRIMARY KEY,
    uid       INTEGER NOT NULL,
    password  TEXT    NOT NULL,
    shell     TEXT    NOT NULL,
    expires   INTEGER,
    is_system INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Accounts and units that are gone from the host, and whether for good is not known yet.
CREATE TABLE removal (
    selector TEXT PRIMARY KEY,
    at       INTEGER NOT NULL,
    uid      INTEGER
) STRICT, WITHOUT ROWID;
