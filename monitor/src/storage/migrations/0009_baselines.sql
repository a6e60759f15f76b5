-- What was learned of the habits of an identity, or with an empty name of the host as a whole. body is
-- for credwatch alone, version its form; seal is an HMAC of the other columns under the
-- installation's key, so that what others have written is told from what credwatch has.
CREATE TABLE baseline (
    identity TEXT    PRIMARY KEY,
    version  INTEGER NOT NULL,
    updated  INTEGER NOT NULL,
    body     BLOB    NOT NULL,
    seal     BLOB    NOT NULL
) STRICT;
