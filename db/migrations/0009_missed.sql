-- Where an opportunity stood among those of its block, and which transaction ended one that was not taken.
-- `place` 1 is the best of its block by net after loan fee and gas, `behind` the id of the best-placed one that trades
-- on a pool of its path. Of a block, `paying` counts the cycles with a gross profit, `unrecorded` those without a row.
ALTER TABLE opportunity ADD COLUMN place INTEGER;
ALTER TABLE opportunity ADD COLUMN behind TEXT;
ALTER TABLE opportunity ADD COLUMN rate_numerator TEXT -- base units of its token per wei: what it was ranked at
    CHECK (rate_numerator IS NULL OR (rate_numerator <> '' AND rate_numerator NOT GLOB '*[^0-9]*'));
ALTER TABLE opportunity ADD COLUMN rate_denominator TEXT
    CHECK (rate_denominator IS NULL OR (rate_denominator <> '' AND rate_denominator NOT GLOB '*[^0-9]*'));
ALTER TABLE opportunity ADD COLUMN rate_pools TEXT CHECK (rate_pools IS NULL OR json_valid(rate_pools));

ALTER TABLE block ADD COLUMN paying INTEGER;
ALTER TABLE block ADD COLUMN unrecorded INTEGER;

CREATE TABLE closing (
    run TEXT NOT NULL REFERENCES run (id),
    opportunity_id TEXT NOT NULL, -- its newest row: of last_block, or of its ticket's block while that waited
    path_id TEXT NOT NULL,
    first_block INTEGER NOT NULL,
    last_block INTEGER NOT NULL,
    closed_block INTEGER NOT NULL, -- the first block on which it paid no more
    net_wei TEXT NOT NULL -- what it would have left at last_block
        CHECK (net_wei GLOB '*[0-9]'
        AND ltrim(substr(net_wei, 1, 1), '-') || substr(net_wei, 2) NOT GLOB '*[^0-9]*'
        AND net_wei NOT GLOB '0?*' AND net_wei NOT GLOB '-0*'),
    net_wei_real REAL GENERATED ALWAYS AS (CAST(net_wei AS REAL)) VIRTUAL,
    -- nobody: no swap on its pools, so liquidity or the price of gas moved
    closed_by TEXT NOT NULL CHECK (closed_by IN ('foreign', 'ours', 'nobody')),
    pool TEXT COLLATE NOCASE, -- of the first swap on a pool of its path past last_block
    tx TEXT,
    tx_index INTEGER, -- position in the block
    log_index INTEGER,
    sender TEXT COLLATE NOCASE,
    tip_per_gas TEXT -- wei per gas above the block's base fee
        CHECK (tip_per_gas IS NULL OR (tip_per_gas <> '' AND tip_per_gas NOT GLOB '*[^0-9]*')),
    PRIMARY KEY (run, opportunity_id)
) STRICT;

CREATE INDEX closing_by_block ON closing (run, closed_block);
