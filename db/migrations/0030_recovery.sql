-- Every decision about an error of a send; who was shown an attempt; when an outcome stood for good.

ALTER TABLE attempt ADD COLUMN visibility TEXT NOT NULL DEFAULT 'public'
    CHECK (visibility IN ('public', 'private'));

-- The head at which the outcome was deep enough.
ALTER TABLE execution ADD COLUMN final_block INTEGER;

CREATE TABLE recovery_event (
    id INTEGER PRIMARY KEY,
    run TEXT NOT NULL REFERENCES run (id),
    block INTEGER,
    at TEXT NOT NULL
        CHECK (at GLOB '????-??-??T??:??:??.??????[+Z]*'),
    execution_id TEXT NOT NULL,
    error_class TEXT NOT NULL,
    phase TEXT NOT NULL,
    action TEXT NOT NULL,
    nonce_rule TEXT NOT NULL,
    reason TEXT NOT NULL,
    tries INTEGER NOT NULL, -- how often this class was met before in this execution
    next_at TEXT
        CHECK (next_at GLOB '????-??-??T??:??:??.??????[+Z]*'), -- not before
    next_block INTEGER, -- not before
    alarm INTEGER NOT NULL CHECK (alarm IN (0, 1))
) STRICT;

CREATE INDEX recovery_event_by_execution ON recovery_event (execution_id, id);

CREATE TRIGGER recovery_event_is_never_changed BEFORE UPDATE ON recovery_event
BEGIN
    SELECT RAISE(ABORT, 'recovery_event is append-only');
END;

CREATE TRIGGER recovery_event_is_never_deleted BEFORE DELETE ON recovery_event
BEGIN
    SELECT RAISE(ABORT, 'recovery_event is append-only');
END;
