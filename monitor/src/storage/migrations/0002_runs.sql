-- Every run of the daemon. `ended` is NULL for the one that watches now, and for one that ended
-- without saying so. `last_seen` is written once a minute; `last_seen_boot` is the same moment in
-- nanoseconds since the boot that `boot_id` names.
CREATE TABLE run (
    started        INTEGER PRIMARY KEY,
    pid            INTEGER NOT NULL,
    boot_id        TEXT    NOT NULL,
    last_seen      INTEGER NOT NULL,
    last_seen_boot INTEGER NOT NULL,
    ended          INTEGER
) STRICT;
