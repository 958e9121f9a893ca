-- What was put before a person or a mandate, and what became of it.

CREATE TABLE ticket (
    id TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    run TEXT NOT NULL,
    opportunity_id TEXT NOT NULL,
    block INTEGER NOT NULL,
    created_at TEXT NOT NULL
        CHECK (created_at GLOB '????-??-??T??:??:??.??????[+Z]*'),
    lender TEXT NOT NULL,
    strategy TEXT NOT NULL,
    gas_limit INTEGER NOT NULL,
    min_profit TEXT NOT NULL
        CHECK (min_profit GLOB '*[0-9]'
        AND ltrim(substr(min_profit, 1, 1), '-') || substr(min_profit, 2) NOT GLOB '*[^0-9]*'
        AND min_profit NOT GLOB '0?*' AND min_profit NOT GLOB '-0*'),
    min_profit_real REAL GENERATED ALWAYS AS (CAST(min_profit AS REAL)) VIRTUAL,
    last_block INTEGER NOT NULL,
    expected_profit TEXT NOT NULL
        CHECK (expected_profit GLOB '*[0-9]'
        AND ltrim(substr(expected_profit, 1, 1), '-') || substr(expected_profit, 2) NOT GLOB '*[^0-9]*'
        AND expected_profit NOT GLOB '0?*' AND expected_profit NOT GLOB '-0*'),
    expected_profit_real REAL GENERATED ALWAYS AS (CAST(expected_profit AS REAL)) VIRTUAL,
    expected_gas INTEGER NOT NULL,
    expected_net_wei TEXT NOT NULL
        CHECK (expected_net_wei GLOB '*[0-9]'
        AND ltrim(substr(expected_net_wei, 1, 1), '-') || substr(expected_net_wei, 2) NOT GLOB '*[^0-9]*'
        AND expected_net_wei NOT GLOB '0?*' AND expected_net_wei NOT GLOB '-0*'),
    expected_net_wei_real REAL GENERATED ALWAYS AS (CAST(expected_net_wei AS REAL)) VIRTUAL,
    calldata_hash TEXT NOT NULL, -- keccak-256
    calldata TEXT NOT NULL,
    rate_numerator TEXT NOT NULL
        CHECK (rate_numerator <> ''
        AND rate_numerator NOT GLOB '*[^0-9]*' AND rate_numerator NOT GLOB '0?*'),
    rate_denominator TEXT NOT NULL
        CHECK (rate_denominator <> ''
        AND rate_denominator NOT GLOB '*[^0-9]*' AND rate_denominator NOT GLOB '0?*'),
    rate_pools TEXT NOT NULL CHECK (json_valid(rate_pools)),
    rate_block INTEGER NOT NULL,
    ladder TEXT NOT NULL CHECK (json_valid(ladder)),
    worst_cost TEXT NOT NULL
        CHECK (worst_cost <> '' AND worst_cost NOT GLOB '*[^0-9]*' AND worst_cost NOT GLOB '0?*'),
    worst_cost_real REAL GENERATED ALWAYS AS (CAST(worst_cost AS REAL)) VIRTUAL,
    simulated_block INTEGER NOT NULL,
    simulated_hash TEXT NOT NULL,
    FOREIGN KEY (run, opportunity_id) REFERENCES opportunity (run, id)
) STRICT;

CREATE INDEX ticket_by_opportunity ON ticket (run, opportunity_id);
CREATE INDEX ticket_by_time ON ticket (created_at);

CREATE TABLE decision (
    id INTEGER PRIMARY KEY,
    run TEXT NOT NULL REFERENCES run (id),
    ticket_id TEXT NOT NULL REFERENCES ticket (id),
    kind TEXT NOT NULL CHECK (kind IN ('approved_by_hand', 'approved_by_mandate', 'approved_by_all',
        'rejected', 'expired_seen', 'expired_unseen', 'stale')),
    reason TEXT NOT NULL,
    block INTEGER NOT NULL,
    block_hash TEXT NOT NULL,
    at TEXT NOT NULL
        CHECK (at GLOB '????-??-??T??:??:??.??????[+Z]*'),
    moved_by_block INTEGER,
    moved_by_pool TEXT COLLATE NOCASE,
    moved_by_tx TEXT,
    moved_by_log_index INTEGER
) STRICT;

CREATE INDEX decision_by_ticket ON decision (ticket_id);
CREATE INDEX decision_by_time ON decision (at);
