-- When the clock was last known to be right, as far as that was noted. Certificates up to `certificate` are older than the
-- note; one that is newer was signed by a clock that was right.
CREATE TABLE clock_mark (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    at INTEGER NOT NULL,
    certificate INTEGER NOT NULL
) STRICT;
