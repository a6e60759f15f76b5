-- A version of a credential that was followed by another: by which, where it was found, when.
CREATE TABLE succession (
    old   TEXT    PRIMARY KEY,
    new   TEXT    NOT NULL,
    path  ANY     NOT NULL,
    began INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The longest time between two uses of a credential or an identity, of the time that a daemon
-- watched, in nanoseconds; and when it was last told that it lives too long.
CREATE TABLE rhythm (
    target_kind TEXT    NOT NULL CHECK (target_kind IN ('credential', 'identity')),
    target      TEXT    NOT NULL,
    longest     INTEGER NOT NULL,
    told        INTEGER,
    PRIMARY KEY (target_kind, target)
) STRICT, WITHOUT ROWID;
