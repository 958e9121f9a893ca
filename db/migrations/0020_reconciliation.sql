-- The accounts' holdings, followed from final block to final block: what changed must be what settlements say.

CREATE TABLE balance (
    -- one row for each change; the newest row of an account and token is what it holds
    account TEXT NOT NULL COLLATE NOCASE,
    token TEXT NOT NULL COLLATE NOCASE,
    block INTEGER NOT NULL,
    run TEXT NOT NULL REFERENCES run (id),
    at TEXT NOT NULL
        CHECK (at GLOB '????-??-??T??:??:??.??????[+Z]*'),
    role TEXT NOT NULL CHECK (role IN ('executor', 'wallet', 'treasury')),
    token_symbol TEXT NOT NULL,
    token_decimals INTEGER NOT NULL,
    amount TEXT NOT NULL
        CHECK (amount <> '' AND amount NOT GLOB '*[^0-9]*' AND amount NOT GLOB '0?*'),
    amount_real REAL GENERATED ALWAYS AS (CAST(amount AS REAL)) VIRTUAL,
    PRIMARY KEY (account, token, block)
) STRICT;

CREATE TABLE reconciliation (
    id INTEGER PRIMARY KEY,
    run TEXT NOT NULL REFERENCES run (id),
    -- blocks: holdings between two final blocks; settlement: one receipt on its own block
    kind TEXT NOT NULL CHECK (kind IN ('blocks', 'settlement')),
    from_block INTEGER NOT NULL, -- its holdings are the beginning; changes count after it
    to_block INTEGER NOT NULL,
    to_hash TEXT NOT NULL,
    execution_id TEXT,
    at TEXT NOT NULL
        CHECK (at GLOB '????-??-??T??:??:??.??????[+Z]*'),
    settlements INTEGER NOT NULL, -- how many were compared; quiet blocks share one row that grows
    ok INTEGER NOT NULL CHECK (ok IN (0, 1)),
    amounts TEXT NOT NULL CHECK (json_valid(amounts)), -- [account, token, what the balance has over the settlements]
    difference TEXT NOT NULL DEFAULT '', -- the same for a person
    acknowledged_at TEXT
        CHECK (acknowledged_at GLOB '????-??-??T??:??:??.??????[+Z]*'),
    acknowledged_by TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE INDEX reconciliation_open ON reconciliation (id) WHERE ok = 0 AND acknowledged_at IS NULL;
CREATE INDEX reconciliation_by_block ON reconciliation (to_block) WHERE kind = 'blocks' AND settlements > 0;
