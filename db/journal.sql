CREATE TABLE account_event (
    seq INTEGER PRIMARY KEY,
    at TEXT NOT NULL
        CHECK (at GLOB '????-??-??T??:??:??.??????[+Z]*'),
    kind TEXT NOT NULL CHECK (kind IN ('stopped', 'acknowledged')),
    execution_id TEXT NOT NULL, -- empty where it is of none
    reason TEXT NOT NULL -- of a stop; who acknowledged
) STRICT;

CREATE TABLE finality (
    execution_id TEXT PRIMARY KEY,
    at TEXT NOT NULL
        CHECK (at GLOB '????-??-??T??:??:??.??????[+Z]*'),
    block_number INTEGER NOT NULL -- the head at which it was deep enough
) STRICT;

CREATE TABLE identity (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    chain_id INTEGER NOT NULL,
    wallet TEXT NOT NULL,
    genesis TEXT NOT NULL -- hash of block 0, or empty where nobody asked for it
) STRICT;

CREATE TABLE record (
    seq INTEGER PRIMARY KEY,
    at TEXT NOT NULL
        CHECK (at GLOB '????-??-??T??:??:??.??????[+Z]*'),
    execution_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('intent', 'reserve', 'outcome', 'seen', 'move', 'release')),
    payload TEXT NOT NULL CHECK (json_valid(payload)),
    idempotency_key TEXT CHECK ((idempotency_key IS NULL) = (kind <> 'intent')),
    number INTEGER CHECK ((number IS NULL) = (kind NOT IN ('reserve', 'outcome'))),
    nonce INTEGER CHECK ((nonce IS NULL) = (kind <> 'reserve')),
    status TEXT CHECK ((status IS NULL) = (kind NOT IN ('intent', 'move')))
) STRICT;

CREATE INDEX record_by_execution ON record (execution_id, seq);

CREATE INDEX record_by_nonce ON record (nonce) WHERE kind = 'reserve';

CREATE INDEX record_by_status ON record (execution_id, seq, status) WHERE status IS NOT NULL;

CREATE UNIQUE INDEX record_one_intent ON record (execution_id) WHERE kind = 'intent';

CREATE UNIQUE INDEX record_one_key ON record (idempotency_key) WHERE kind = 'intent';

CREATE UNIQUE INDEX record_one_number ON record (execution_id, number) WHERE kind = 'reserve';

CREATE UNIQUE INDEX record_one_release ON record (execution_id) WHERE kind = 'release';

CREATE TRIGGER account_event_is_never_changed BEFORE UPDATE ON account_event
BEGIN
    SELECT RAISE(ABORT, 'the journal is append-only');
END;

CREATE TRIGGER account_event_is_never_deleted BEFORE DELETE ON account_event
BEGIN
    SELECT RAISE(ABORT, 'the journal is append-only');
END;

CREATE TRIGGER finality_is_never_changed BEFORE UPDATE ON finality
BEGIN
    SELECT RAISE(ABORT, 'the journal is append-only');
END;

CREATE TRIGGER finality_is_never_deleted BEFORE DELETE ON finality
BEGIN
    SELECT RAISE(ABORT, 'the journal is append-only');
END;

CREATE TRIGGER identity_is_never_changed BEFORE UPDATE ON identity
BEGIN
    SELECT RAISE(ABORT, 'a journal belongs to one chain and one wallet');
END;

CREATE TRIGGER identity_is_never_deleted BEFORE DELETE ON identity
BEGIN
    SELECT RAISE(ABORT, 'a journal belongs to one chain and one wallet');
END;

CREATE TRIGGER record_is_never_changed BEFORE UPDATE ON record
BEGIN
    SELECT RAISE(ABORT, 'the journal is append-only');
END;

CREATE TRIGGER record_is_never_deleted BEFORE DELETE ON record
BEGIN
    SELECT RAISE(ABORT, 'the journal is append-only');
END;

CREATE TRIGGER record_one_nonce BEFORE INSERT ON record WHEN NEW.kind = 'reserve'
BEGIN
    SELECT RAISE(ABORT, 'the nonce is held by another execution')
    WHERE EXISTS (
        SELECT 1 FROM record AS r
        WHERE r.kind = 'reserve' AND r.nonce = NEW.nonce AND r.execution_id <> NEW.execution_id
        AND NOT EXISTS (
            SELECT 1 FROM record AS f WHERE f.kind = 'release' AND f.execution_id = r.execution_id
        )
    );
END;
