-- What each program of an identity was given and used: capabilities as bits of a number. since is
-- when it last came to have more than before, started its latest start seen.
CREATE TABLE program_rights (
    identity   TEXT    NOT NULL,
    exe        TEXT    NOT NULL,
    uid        INTEGER NOT NULL,
    gid        INTEGER NOT NULL,
    given      INTEGER NOT NULL,
    ever_given INTEGER NOT NULL,
    used       INTEGER NOT NULL,
    since      INTEGER NOT NULL,
    started    INTEGER,
    last       INTEGER NOT NULL,
    PRIMARY KEY (identity, exe)
) STRICT, WITHOUT ROWID;
