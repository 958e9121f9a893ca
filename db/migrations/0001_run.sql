-- One start of the engine, and every block it decided on.

CREATE TABLE run (
    id TEXT PRIMARY KEY,
    started_at TEXT NOT NULL
        CHECK (started_at GLOB '????-??-??T??:??:??.??????[+Z]*'),
    ended_at TEXT
        CHECK (ended_at GLOB '????-??-??T??:??:??.??????[+Z]*'),
    stage TEXT NOT NULL CHECK (stage IN ('observe', 'paper', 'canary', 'live')),
    approve TEXT NOT NULL CHECK (approve IN ('none', 'mandate', 'all')),
    chain_id INTEGER NOT NULL,
    chain TEXT NOT NULL,
    wallet TEXT NOT NULL COLLATE NOCASE,
    executor TEXT NOT NULL COLLATE NOCASE,
    treasury TEXT NOT NULL COLLATE NOCASE,
    version TEXT NOT NULL,
    config_digest TEXT NOT NULL,
    seed INTEGER
) STRICT;

CREATE TABLE block (
    run TEXT NOT NULL REFERENCES run (id),
    number INTEGER NOT NULL,
    hash TEXT NOT NULL,
    timestamp INTEGER NOT NULL, -- the chain's own: seconds since 1970
    base_fee_per_gas TEXT NOT NULL
        CHECK (base_fee_per_gas <> ''
        AND base_fee_per_gas NOT GLOB '*[^0-9]*' AND base_fee_per_gas NOT GLOB '0?*'),
    base_fee_per_gas_real REAL GENERATED ALWAYS AS (CAST(base_fee_per_gas AS REAL)) VIRTUAL,
    pools INTEGER NOT NULL,
    cycles INTEGER NOT NULL,
    elapsed_ms REAL NOT NULL,
    PRIMARY KEY (run, number, hash)
) STRICT;
