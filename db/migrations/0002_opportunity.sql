-- What was found, what each lender said, and what each check saw.

CREATE TABLE opportunity (
    run TEXT NOT NULL REFERENCES run (id),
    id TEXT NOT NULL,
    block INTEGER NOT NULL,
    block_hash TEXT NOT NULL,
    at TEXT NOT NULL
        CHECK (at GLOB '????-??-??T??:??:??.??????[+Z]*'),
    path_id TEXT NOT NULL,
    path TEXT NOT NULL CHECK (json_valid(path)), -- the hops in order, amounts as text
    token TEXT NOT NULL COLLATE NOCASE,
    token_symbol TEXT NOT NULL,
    token_decimals INTEGER NOT NULL,
    amount_in TEXT NOT NULL
        CHECK (amount_in <> '' AND amount_in NOT GLOB '*[^0-9]*' AND amount_in NOT GLOB '0?*'),
    amount_in_real REAL GENERATED ALWAYS AS (CAST(amount_in AS REAL)) VIRTUAL,
    amount_out TEXT NOT NULL
        CHECK (amount_out <> '' AND amount_out NOT GLOB '*[^0-9]*' AND amount_out NOT GLOB '0?*'),
    amount_out_real REAL GENERATED ALWAYS AS (CAST(amount_out AS REAL)) VIRTUAL,
    gross_profit TEXT NOT NULL
        CHECK (gross_profit GLOB '*[0-9]'
        AND ltrim(substr(gross_profit, 1, 1), '-') || substr(gross_profit, 2) NOT GLOB '*[^0-9]*'
        AND gross_profit NOT GLOB '0?*' AND gross_profit NOT GLOB '-0*'),
    gross_profit_real REAL GENERATED ALWAYS AS (CAST(gross_profit AS REAL)) VIRTUAL,
    outcome TEXT NOT NULL CHECK (outcome IN ('ticket', 'dropped')),
    reason TEXT NOT NULL DEFAULT '', -- the check that failed, where dropped
    -- what it would have earned after fee and gas, where that could be computed
    net_wei TEXT
        CHECK (net_wei GLOB '*[0-9]'
        AND ltrim(substr(net_wei, 1, 1), '-') || substr(net_wei, 2) NOT GLOB '*[^0-9]*'
        AND net_wei NOT GLOB '0?*' AND net_wei NOT GLOB '-0*'),
    net_wei_real REAL GENERATED ALWAYS AS (CAST(net_wei AS REAL)) VIRTUAL,
    moved_by_block INTEGER, -- the foreign trade that last moved one of its pools
    moved_by_pool TEXT COLLATE NOCASE,
    moved_by_tx TEXT,
    moved_by_log_index INTEGER,
    PRIMARY KEY (run, id)
) STRICT;

CREATE INDEX opportunity_by_block ON opportunity (run, block);
CREATE INDEX opportunity_by_outcome ON opportunity (outcome, at);

CREATE TABLE loan_quote (
    run TEXT NOT NULL,
    opportunity_id TEXT NOT NULL,
    lender TEXT NOT NULL,
    protocol TEXT NOT NULL,
    version TEXT NOT NULL,
    token TEXT NOT NULL COLLATE NOCASE,
    amount TEXT NOT NULL
        CHECK (amount <> '' AND amount NOT GLOB '*[^0-9]*' AND amount NOT GLOB '0?*'),
    block INTEGER NOT NULL,
    usable INTEGER NOT NULL CHECK (usable IN (0, 1)),
    reason TEXT,
    detail TEXT NOT NULL,
    available TEXT
        CHECK (available <> '' AND available NOT GLOB '*[^0-9]*' AND available NOT GLOB '0?*'),
    fee TEXT
        CHECK (fee <> '' AND fee NOT GLOB '*[^0-9]*' AND fee NOT GLOB '0?*'),
    gas_overhead INTEGER NOT NULL,
    gas_overhead_source TEXT NOT NULL,
    gas_cost TEXT
        CHECK (gas_cost <> '' AND gas_cost NOT GLOB '*[^0-9]*' AND gas_cost NOT GLOB '0?*'),
    total_cost TEXT
        CHECK (total_cost <> '' AND total_cost NOT GLOB '*[^0-9]*' AND total_cost NOT GLOB '0?*'),
    total_cost_real REAL GENERATED ALWAYS AS (CAST(total_cost AS REAL)) VIRTUAL,
    chosen INTEGER NOT NULL DEFAULT 0 CHECK (chosen IN (0, 1)),
    why_lost TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (run, opportunity_id, lender),
    FOREIGN KEY (run, opportunity_id) REFERENCES opportunity (run, id)
) STRICT;

CREATE TABLE check_result (
    run TEXT NOT NULL REFERENCES run (id),
    subject_kind TEXT NOT NULL CHECK (subject_kind IN ('opportunity', 'ticket')),
    subject_id TEXT NOT NULL,
    phase TEXT NOT NULL CHECK (phase IN ('ticket', 'send')),
    seq INTEGER NOT NULL,
    block INTEGER,
    name TEXT NOT NULL,
    passed INTEGER NOT NULL CHECK (passed IN (0, 1)),
    observed TEXT NOT NULL
        CHECK (observed GLOB '*[0-9]'
        AND ltrim(substr(observed, 1, 1), '-') || substr(observed, 2) NOT GLOB '*[^0-9]*'
        AND observed NOT GLOB '0?*' AND observed NOT GLOB '-0*'),
    limit_value TEXT NOT NULL
        CHECK (limit_value GLOB '*[0-9]'
        AND ltrim(substr(limit_value, 1, 1), '-') || substr(limit_value, 2) NOT GLOB '*[^0-9]*'
        AND limit_value NOT GLOB '0?*' AND limit_value NOT GLOB '-0*'),
    margin TEXT NOT NULL
        CHECK (margin GLOB '*[0-9]'
        AND ltrim(substr(margin, 1, 1), '-') || substr(margin, 2) NOT GLOB '*[^0-9]*'
        AND margin NOT GLOB '0?*' AND margin NOT GLOB '-0*'),
    margin_real REAL GENERATED ALWAYS AS (CAST(margin AS REAL)) VIRTUAL,
    unit TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (run, subject_kind, subject_id, phase, seq)
) STRICT;

CREATE INDEX check_result_by_subject ON check_result (subject_id);
