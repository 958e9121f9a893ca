-- The life of an approved ticket, and what its receipt says.

CREATE TABLE execution (
    id TEXT PRIMARY KEY,
    run TEXT NOT NULL REFERENCES run (id),
    block INTEGER,
    -- no foreign key: an execution that only the journal knows is written down all the same
    ticket_id TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('paper', 'prepared', 'submitted', 'mined', 'reverted',
        'cancelled', 'expired', 'rejected')),
    nonce INTEGER,
    lender TEXT NOT NULL,
    strategy TEXT NOT NULL,
    token TEXT NOT NULL COLLATE NOCASE,
    token_symbol TEXT NOT NULL,
    token_decimals INTEGER NOT NULL,
    expected_profit TEXT
        CHECK (expected_profit GLOB '*[0-9]'
        AND ltrim(substr(expected_profit, 1, 1), '-') || substr(expected_profit, 2) NOT GLOB '*[^0-9]*'
        AND expected_profit NOT GLOB '0?*' AND expected_profit NOT GLOB '-0*'),
    expected_profit_real REAL GENERATED ALWAYS AS (CAST(expected_profit AS REAL)) VIRTUAL,
    expected_net_wei TEXT
        CHECK (expected_net_wei GLOB '*[0-9]'
        AND ltrim(substr(expected_net_wei, 1, 1), '-') || substr(expected_net_wei, 2) NOT GLOB '*[^0-9]*'
        AND expected_net_wei NOT GLOB '0?*' AND expected_net_wei NOT GLOB '-0*'),
    expected_net_wei_real REAL GENERATED ALWAYS AS (CAST(expected_net_wei AS REAL)) VIRTUAL,
    decided_at TEXT NOT NULL
        CHECK (decided_at GLOB '????-??-??T??:??:??.??????[+Z]*'),
    sent_at TEXT
        CHECK (sent_at GLOB '????-??-??T??:??:??.??????[+Z]*'),
    mined_at TEXT
        CHECK (mined_at GLOB '????-??-??T??:??:??.??????[+Z]*'),
    error_class TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE INDEX execution_by_time ON execution (decided_at);
CREATE INDEX execution_by_ticket ON execution (ticket_id);

CREATE TABLE execution_event (
    id INTEGER PRIMARY KEY,
    execution_id TEXT NOT NULL REFERENCES execution (id),
    run TEXT NOT NULL REFERENCES run (id),
    block INTEGER,
    at TEXT NOT NULL
        CHECK (at GLOB '????-??-??T??:??:??.??????[+Z]*'),
    from_status TEXT NOT NULL, -- empty for the first
    to_status TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT;

CREATE INDEX execution_event_by_execution ON execution_event (execution_id, id);

CREATE TRIGGER execution_event_is_never_changed BEFORE UPDATE ON execution_event
BEGIN
    SELECT RAISE(ABORT, 'execution_event is append-only');
END;

CREATE TRIGGER execution_event_is_never_deleted BEFORE DELETE ON execution_event
BEGIN
    SELECT RAISE(ABORT, 'execution_event is append-only');
END;

CREATE TABLE attempt (
    execution_id TEXT NOT NULL REFERENCES execution (id),
    number INTEGER NOT NULL,
    run TEXT NOT NULL REFERENCES run (id),
    block INTEGER,
    kind TEXT NOT NULL CHECK (kind IN ('trade', 'cancel')),
    nonce INTEGER NOT NULL,
    tx_hash TEXT NOT NULL,
    max_fee_per_gas TEXT NOT NULL
        CHECK (max_fee_per_gas <> ''
        AND max_fee_per_gas NOT GLOB '*[^0-9]*' AND max_fee_per_gas NOT GLOB '0?*'),
    max_fee_per_gas_real REAL GENERATED ALWAYS AS (CAST(max_fee_per_gas AS REAL)) VIRTUAL,
    max_priority_fee_per_gas TEXT NOT NULL
        CHECK (max_priority_fee_per_gas <> ''
        AND max_priority_fee_per_gas NOT GLOB '*[^0-9]*' AND max_priority_fee_per_gas NOT GLOB '0?*'),
    max_priority_fee_per_gas_real REAL GENERATED ALWAYS AS (CAST(max_priority_fee_per_gas AS REAL)) VIRTUAL,
    delivery TEXT NOT NULL
        CHECK (delivery IN ('unsent', 'delivered', 'rejected', 'not_delivered', 'ambiguous')),
    error TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (execution_id, number)
) STRICT;

CREATE INDEX attempt_by_hash ON attempt (tx_hash);

CREATE TABLE settlement (
    execution_id TEXT PRIMARY KEY REFERENCES execution (id),
    run TEXT NOT NULL REFERENCES run (id),
    block INTEGER NOT NULL,
    block_hash TEXT NOT NULL,
    tx_hash TEXT NOT NULL,
    success INTEGER NOT NULL CHECK (success IN (0, 1)),
    gas_used INTEGER NOT NULL,
    effective_gas_price TEXT NOT NULL
        CHECK (effective_gas_price <> ''
        AND effective_gas_price NOT GLOB '*[^0-9]*' AND effective_gas_price NOT GLOB '0?*'),
    effective_gas_price_real REAL GENERATED ALWAYS AS (CAST(effective_gas_price AS REAL)) VIRTUAL,
    gas_cost TEXT NOT NULL
        CHECK (gas_cost <> '' AND gas_cost NOT GLOB '*[^0-9]*' AND gas_cost NOT GLOB '0?*'),
    gas_cost_real REAL GENERATED ALWAYS AS (CAST(gas_cost AS REAL)) VIRTUAL,
    l1_fee TEXT NOT NULL
        CHECK (l1_fee <> '' AND l1_fee NOT GLOB '*[^0-9]*' AND l1_fee NOT GLOB '0?*'),
    loan_fee TEXT
        CHECK (loan_fee <> '' AND loan_fee NOT GLOB '*[^0-9]*' AND loan_fee NOT GLOB '0?*'),
    net_wei TEXT NOT NULL
        CHECK (net_wei GLOB '*[0-9]'
        AND ltrim(substr(net_wei, 1, 1), '-') || substr(net_wei, 2) NOT GLOB '*[^0-9]*'
        AND net_wei NOT GLOB '0?*' AND net_wei NOT GLOB '-0*'),
    net_wei_real REAL GENERATED ALWAYS AS (CAST(net_wei AS REAL)) VIRTUAL,
    reconciled INTEGER CHECK (reconciled IN (0, 1)),
    difference TEXT NOT NULL DEFAULT '',
    -- sha-256 of the settlement as it was written; a row that was altered contradicts it
    seal TEXT NOT NULL
) STRICT;

CREATE TABLE settlement_delta (
    execution_id TEXT NOT NULL REFERENCES settlement (execution_id),
    seq INTEGER NOT NULL,
    run TEXT NOT NULL REFERENCES run (id),
    block INTEGER NOT NULL,
    account TEXT NOT NULL COLLATE NOCASE,
    role TEXT NOT NULL CHECK (role IN ('executor', 'wallet', 'treasury')),
    token TEXT NOT NULL COLLATE NOCASE,
    token_symbol TEXT NOT NULL,
    token_decimals INTEGER NOT NULL,
    amount TEXT NOT NULL
        CHECK (amount GLOB '*[0-9]'
        AND ltrim(substr(amount, 1, 1), '-') || substr(amount, 2) NOT GLOB '*[^0-9]*'
        AND amount NOT GLOB '0?*' AND amount NOT GLOB '-0*'),
    amount_real REAL GENERATED ALWAYS AS (CAST(amount AS REAL)) VIRTUAL,
    PRIMARY KEY (execution_id, seq)
) STRICT;
