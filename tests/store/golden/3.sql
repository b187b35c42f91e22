-- A database of version 3, as `sqlite3 .dump` would print it. Not to be changed: later versions must read it.
PRAGMA application_id = 1131572080;
PRAGMA user_version = 3;
CREATE TABLE meta (
    name TEXT NOT NULL PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE snapshot (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    version INTEGER NOT NULL,
    bytes BLOB
) STRICT;
CREATE TABLE jobs (
    job INTEGER NOT NULL,
    occurrence INTEGER NOT NULL,
    since INTEGER,
    generation INTEGER,
    marked_at INTEGER,
    marked_civil INTEGER,
    paused INTEGER NOT NULL DEFAULT 0,
    touched INTEGER NOT NULL,
    PRIMARY KEY (job, occurrence)
) STRICT, WITHOUT ROWID;
CREATE TABLE owed (
    job INTEGER NOT NULL,
    occurrence INTEGER NOT NULL,
    at INTEGER NOT NULL,
    civil INTEGER NOT NULL,
    trigger TEXT NOT NULL,
    PRIMARY KEY (job, occurrence, at, civil)
) STRICT, WITHOUT ROWID;
CREATE TABLE runs (
    run TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    job INTEGER NOT NULL,
    occurrence INTEGER NOT NULL,
    name TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    due_civil INTEGER NOT NULL,
    last_at INTEGER,
    last_civil INTEGER,
    count INTEGER,
    trigger TEXT NOT NULL,
    queued INTEGER,
    started INTEGER,
    ended INTEGER,
    outcome TEXT,
    exit INTEGER,
    signal INTEGER,
    reason TEXT,
    user_cpu INTEGER NOT NULL,
    system_cpu INTEGER NOT NULL,
    max_rss_kib INTEGER NOT NULL,
    replica TEXT NOT NULL,
    output_bytes INTEGER NOT NULL,
    pid INTEGER,
    pid_start INTEGER,
    PRIMARY KEY (run, attempt)
) STRICT, WITHOUT ROWID;
CREATE INDEX runs_by_job ON runs (job, occurrence, outcome, run, attempt);
CREATE INDEX runs_by_outcome ON runs (outcome, run, attempt);
CREATE TABLE outputs (
    run TEXT NOT NULL PRIMARY KEY,
    packed BLOB NOT NULL
) STRICT;
INSERT INTO meta VALUES ('runs', 0), ('output_bytes', 0);
CREATE TABLE outbox (
    place INTEGER NOT NULL PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    job INTEGER,
    occurrence INTEGER,
    run TEXT,
    expires INTEGER NOT NULL,
    bytes BLOB NOT NULL
) STRICT;
CREATE TABLE confirmed (
    place INTEGER NOT NULL PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    at INTEGER NOT NULL
) STRICT;
INSERT INTO meta VALUES ('messages', 0), ('message_bytes', 0);
UPDATE meta SET value = 2 WHERE name = 'runs';
UPDATE meta SET value = 11 WHERE name = 'output_bytes';
INSERT INTO meta VALUES ('namespace', 'default');
INSERT INTO snapshot VALUES (1, 3, x'74657874');
INSERT INTO jobs VALUES (4839530333469536797, 2, 1800000000000000, 0, 1800000060000000, 1800000060000000, 1, 1800000000);
INSERT INTO owed VALUES (4839530333469536797, 2, 1800000030000000, 1800000030000000, 'catch-up');
INSERT INTO runs VALUES ('01MCC5TEK0F6WQYJKW2QSSSG31', 1, 4839530333469536797, 2, 'job 1', 1800000060000000, 1800000060000000, NULL, NULL, NULL, 'schedule',
    1800000060000000, 1800000060000000, NULL, NULL, NULL, NULL, NULL, 0, 0, 0, 'here', 0, NULL, NULL);
INSERT INTO runs VALUES ('01MCC5RM00F6WQYJKW2QSSSG31', 1, 4839530333469536797, 2, 'job 1', 1800000000000000, 1800000000000000, NULL, NULL, NULL, 'schedule',
    1800000000000000, 1800000000000000, 1800000005000000, 'killed', NULL, 9, 'out of memory', 1000, 2000, 4096, 'here', 5, NULL, NULL);
INSERT INTO outputs VALUES ('01MCC5RM00F6WQYJKW2QSSSG31', x'010001000568656c6c6f00');
UPDATE meta SET value = 1 WHERE name = 'messages';
UPDATE meta SET value = 9 WHERE name = 'message_bytes';
INSERT INTO outbox VALUES (1, 'waits', 'here', 4839530333469536797, 2, '01MCC5RM00F6WQYJKW2QSSSG31', 1800003600000000, x'61206d657373616765');
INSERT INTO confirmed VALUES (1, 'known', 1800000000000000);
ALTER TABLE runs ADD COLUMN worker TEXT;
UPDATE runs SET worker = 'far-1' WHERE outcome IS NOT NULL;
