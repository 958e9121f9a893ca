-- Which outcomes stand for good, and whether the account is stopped until a person has looked.

CREATE TABLE finality (
    execution_id TEXT PRIMARY KEY,
    at TEXT NOT NULL
        CHECK (at GLOB '????-??-??T??:??:??.??????[+Z]*'),
    block_number INTEGER NOT NULL -- the head at which it was deep enough
) STRICT;

CREATE TABLE account_event (
    seq INTEGER PRIMARY KEY,
    at TEXT NOT NULL
        CHECK (at GLOB '????-??-??T??:??:??.??????[+Z]*'),
    kind TEXT NOT NULL CHECK (kind IN ('stopped', 'acknowledged')),
    execution_id TEXT NOT NULL, -- empty where it is of none
    reason TEXT NOT NULL -- of a stop; who acknowledged
) STRICT;

CREATE TRIGGER finality_is_never_changed BEFORE UPDATE ON finality
BEGIN
    SELECT RAISE(ABORT, 'the journal is append-only');
END;

CREATE TRIGGER finality_is_never_deleted BEFORE DELETE ON finality
BEGIN
    SELECT RAISE(ABORT, 'the journal is append-only');
END;

CREATE TRIGGER account_event_is_never_changed BEFORE UPDATE ON account_event
BEGIN
    SELECT RAISE(ABORT, 'the journal is append-only');
END;

CREATE TRIGGER account_event_is_never_deleted BEFORE DELETE ON account_event
BEGIN
    SELECT RAISE(ABORT, 'the journal is append-only');
END;
