-- What went wrong, and what people asked for.

CREATE TABLE incident (
    id INTEGER PRIMARY KEY,
    run TEXT NOT NULL REFERENCES run (id),
    block INTEGER,
    at TEXT NOT NULL
        CHECK (at GLOB '????-??-??T??:??:??.??????[+Z]*'),
    kind TEXT NOT NULL,
    error_class TEXT NOT NULL DEFAULT '',
    execution_id TEXT,
    detail TEXT NOT NULL
) STRICT;

CREATE INDEX incident_by_time ON incident (at);

CREATE TABLE command (
    id INTEGER PRIMARY KEY,
    run TEXT REFERENCES run (id), -- the run that took it
    block INTEGER,
    at TEXT NOT NULL
        CHECK (at GLOB '????-??-??T??:??:??.??????[+Z]*'),
    kind TEXT NOT NULL,
    argument TEXT NOT NULL CHECK (json_valid(argument)),
    taken_at TEXT
        CHECK (taken_at GLOB '????-??-??T??:??:??.??????[+Z]*'),
    result TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE INDEX command_waiting ON command (id) WHERE taken_at IS NULL;
