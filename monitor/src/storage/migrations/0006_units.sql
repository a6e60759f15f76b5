-- Services of this host that had a file of their own when they were last looked at.
CREATE TABLE unit (
    name TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
