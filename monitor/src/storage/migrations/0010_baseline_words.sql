-- Every word of an operator about what was learned of an identity. It only grows. taken is 1 once what the
-- word did is stored in baseline; until then a daemon that starts takes the word in. seal is an HMAC
-- of time, identity, word, said_by and reason under the installation's key.
CREATE TABLE baseline_word (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    time     INTEGER NOT NULL,
    identity TEXT    NOT NULL,
    word     TEXT    NOT NULL,
    said_by  TEXT    NOT NULL,
    reason   TEXT    NOT NULL,
    seal     BLOB    NOT NULL,
    taken    INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX baseline_word_identity ON baseline_word (identity);
CREATE TRIGGER baseline_word_is_history_update
BEFORE UPDATE OF id, time, identity, word, said_by, reason, seal ON baseline_word
BEGIN
    SELECT raise(ABORT, 'baseline_word is history: it is appended to, never changed');
END;
CREATE TRIGGER baseline_word_is_history_delete BEFORE DELETE ON baseline_word
BEGIN
    SELECT raise(ABORT, 'baseline_word is history: it is appended to, never changed');
END;
