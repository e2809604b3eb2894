"""Tables of answers.sqlite."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS builds (
    digest TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS links (
    name TEXT PRIMARY KEY,
    digest BLOB NOT NULL,
    issued_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS sessions (
    digest BLOB PRIMARY KEY,
    name TEXT NOT NULL,
    expires REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS profiles (
    reader TEXT PRIMARY KEY,
    profession TEXT NOT NULL,
    years INTEGER NOT NULL,
    consented_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS stamps (
    reader TEXT NOT NULL,
    block TEXT NOT NULL,
    position INTEGER NOT NULL,
    kind TEXT NOT NULL,
    run TEXT NOT NULL,
    monotonic REAL NOT NULL,
    at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS stamps_place ON stamps (reader, block, position);
CREATE TABLE IF NOT EXISTS answers (
    reader TEXT NOT NULL,
    block TEXT NOT NULL CHECK (block IN ('training', 'reading')),
    position INTEGER NOT NULL CHECK (position >= 1),
    revision INTEGER NOT NULL CHECK (revision >= 0),
    picture INTEGER NOT NULL,
    synthetic INTEGER NOT NULL CHECK (synthetic IN (0, 1)),
    confidence INTEGER NOT NULL CHECK (confidence BETWEEN 1 AND 5),
    findings TEXT,
    comment TEXT NOT NULL,
    seconds REAL NOT NULL,
    seconds_client REAL,
    interrupted INTEGER NOT NULL CHECK (interrupted IN (0, 1)),
    answered_at TEXT NOT NULL,
    submission TEXT NOT NULL,
    PRIMARY KEY (reader, block, position, revision)
);
CREATE TRIGGER IF NOT EXISTS answers_never_change BEFORE UPDATE ON answers
BEGIN SELECT RAISE(ABORT, 'answers are never changed'); END;
CREATE TRIGGER IF NOT EXISTS answers_never_vanish BEFORE DELETE ON answers
BEGIN SELECT RAISE(ABORT, 'answers are never deleted'); END;
"""
"""Changed answers are new rows (`revision`); two answers of one revision cannot be."""
