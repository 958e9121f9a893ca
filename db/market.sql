CREATE TABLE factory (
    address TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    listing TEXT NOT NULL CHECK (listing IN ('index', 'logs')),
    from_block INTEGER NOT NULL,
    next_index INTEGER NOT NULL DEFAULT 0, -- index: the first number not asked for yet
    block INTEGER NOT NULL DEFAULT -1, -- asked up to here; -1 before the first time
    block_hash TEXT NOT NULL DEFAULT '', -- '' where the block is too deep for a reorganisation
    anchor INTEGER NOT NULL DEFAULT -1, -- a block 64 below, and its hash
    anchor_hash TEXT NOT NULL DEFAULT '',
    updated_at TEXT NOT NULL CHECK (updated_at GLOB '????-??-??T??:??:??.??????[+Z]*')
) STRICT;

CREATE TABLE holding (
    pool TEXT PRIMARY KEY,
    reserve0 TEXT NOT NULL CHECK (reserve0 <> '' AND reserve0 NOT GLOB '*[^0-9]*' AND reserve0 NOT GLOB '0?*'),
    reserve1 TEXT NOT NULL CHECK (reserve1 <> '' AND reserve1 NOT GLOB '*[^0-9]*' AND reserve1 NOT GLOB '0?*'),
    held0 TEXT NOT NULL CHECK (held0 <> '' AND held0 NOT GLOB '*[^0-9]*' AND held0 NOT GLOB '0?*'),
    held1 TEXT NOT NULL CHECK (held1 <> '' AND held1 NOT GLOB '*[^0-9]*' AND held1 NOT GLOB '0?*'),
    block INTEGER NOT NULL,
    fault TEXT NOT NULL -- why nothing could be read; '' where it could
) STRICT, WITHOUT ROWID;

CREATE TABLE identity (
    chain_id INTEGER NOT NULL,
    genesis TEXT NOT NULL, -- hash of block 0
    judged TEXT NOT NULL DEFAULT '' -- digest of the filters that `verdict` and `value` of the pools come from
) STRICT;

CREATE TABLE pool (
    factory TEXT NOT NULL REFERENCES factory (address),
    place INTEGER NOT NULL, -- its number in the list, or block and log index of its event
    address TEXT NOT NULL,
    kind TEXT NOT NULL,
    token0 TEXT NOT NULL,
    token1 TEXT NOT NULL,
    fee_ppm INTEGER, -- NULL for a fork of Uniswap V2: the configuration says it
    tick_spacing INTEGER NOT NULL,
    block INTEGER NOT NULL, -- where it was made (logs) or first read (index)
    fault TEXT NOT NULL, -- what is wrong with it for good; '' where nothing is
    verdict TEXT, -- '' kept, else why it is left out; NULL not judged yet
    value TEXT -- wei on its thinner side, at its last reading
        CHECK (value IS NULL OR (value <> '' AND value NOT GLOB '*[^0-9]*' AND value NOT GLOB '0?*')),
    PRIMARY KEY (factory, place)
) STRICT, WITHOUT ROWID;

CREATE TABLE token (
    address TEXT PRIMARY KEY,
    symbol TEXT NOT NULL, -- made safe; '' where it has none
    decimals INTEGER CHECK (decimals BETWEEN 0 AND 36),
    fault TEXT NOT NULL, -- why it cannot be used; '' where it can
    block INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX pool_address ON pool (address);

CREATE INDEX pool_kept ON pool (verdict) WHERE verdict = '';
