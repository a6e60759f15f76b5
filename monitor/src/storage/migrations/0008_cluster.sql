-- What a token lives no longer than: the uids of its service account and of its pod.
ALTER TABLE credential ADD COLUMN account_uid TEXT;
ALTER TABLE credential ADD COLUMN pod_uid TEXT;
ALTER TABLE location ADD COLUMN account_uid TEXT;
ALTER TABLE location ADD COLUMN pod_uid TEXT;
-- Service accounts of the cluster and pods of this node: those that it had when it was last looked
-- at, and those that went, since when. settled: the tokens that were bound to it are retired.
CREATE TABLE cluster_object (
    uid      TEXT    PRIMARY KEY,
    selector TEXT    NOT NULL,
    gone     INTEGER,
    settled  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
