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
    error TEXT NOT NULL DEFAULT '', visibility TEXT NOT NULL DEFAULT 'public'
    CHECK (visibility IN ('public', 'private')),
    PRIMARY KEY (execution_id, number)
) STRICT;

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
    elapsed_ms REAL NOT NULL, wallet_balance TEXT -- wei the wallet held for gas at this block
    CHECK (wallet_balance IS NULL OR (wallet_balance <> '' AND wallet_balance NOT GLOB '*[^0-9]*'
    AND wallet_balance NOT GLOB '0?*')), paying INTEGER, unrecorded INTEGER,
    PRIMARY KEY (run, number, hash)
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
, final_block INTEGER) STRICT;

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

CREATE TABLE node (
    run TEXT NOT NULL REFERENCES run (id),
    name TEXT NOT NULL,
    block INTEGER, -- the block it was written with
    at TEXT NOT NULL
        CHECK (at GLOB '????-??-??T??:??:??.??????[+Z]*'),
    state TEXT NOT NULL, -- new, ok, stale, down, limited, quarantined
    detail TEXT NOT NULL,
    head INTEGER,
    lag INTEGER, -- blocks behind the best
    latency_ms REAL, -- median of the newest answers
    calls INTEGER NOT NULL,
    failures INTEGER NOT NULL, -- nothing came back, or not in time
    refused INTEGER NOT NULL, -- answers that were not believed
    refusals TEXT NOT NULL CHECK (json_valid(refusals)), -- of these, how many of each kind
    disagreements INTEGER NOT NULL,
    unknown_blocks INTEGER NOT NULL,
    PRIMARY KEY (run, name)
) STRICT;

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
    moved_by_log_index INTEGER, place INTEGER, behind TEXT, rate_numerator TEXT -- base units of its token per wei: what it was ranked at
    CHECK (rate_numerator IS NULL OR (rate_numerator <> '' AND rate_numerator NOT GLOB '*[^0-9]*')), rate_denominator TEXT
    CHECK (rate_denominator IS NULL OR (rate_denominator <> '' AND rate_denominator NOT GLOB '*[^0-9]*')), rate_pools TEXT CHECK (rate_pools IS NULL OR json_valid(rate_pools)),
    PRIMARY KEY (run, id)
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

CREATE TABLE rollup (
    run TEXT NOT NULL REFERENCES run (id),
    day TEXT NOT NULL CHECK (day GLOB '????-??-??'),
    -- block; dropped (name: the check that failed); closed (name: by whom); sender (name: who took it)
    kind TEXT NOT NULL CHECK (kind IN ('block', 'dropped', 'closed', 'sender')),
    name TEXT NOT NULL COLLATE NOCASE,
    count INTEGER NOT NULL,
    net_wei TEXT NOT NULL -- exact sum of what they would have left; 0 where none was computed
        CHECK (net_wei GLOB '*[0-9]'
        AND ltrim(substr(net_wei, 1, 1), '-') || substr(net_wei, 2) NOT GLOB '*[^0-9]*'
        AND net_wei NOT GLOB '0?*' AND net_wei NOT GLOB '-0*'),
    net_wei_real REAL GENERATED ALWAYS AS (CAST(net_wei AS REAL)) VIRTUAL,
    PRIMARY KEY (run, day, kind, name)
) STRICT;

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
    simulated_hash TEXT NOT NULL, fallback TEXT CHECK (fallback IS NULL OR json_valid(fallback)),
    FOREIGN KEY (run, opportunity_id) REFERENCES opportunity (run, id)
) STRICT;

CREATE TABLE ticket_now (
    ticket_id TEXT PRIMARY KEY REFERENCES ticket (id),
    run TEXT NOT NULL REFERENCES run (id),
    block INTEGER NOT NULL,
    expected_profit TEXT NOT NULL -- base units of the ticket's token, after the loan fee
        CHECK (expected_profit GLOB '*[0-9]'
        AND ltrim(substr(expected_profit, 1, 1), '-') || substr(expected_profit, 2) NOT GLOB '*[^0-9]*'
        AND expected_profit NOT GLOB '0?*' AND expected_profit NOT GLOB '-0*'),
    expected_gas INTEGER NOT NULL,
    expected_net_wei TEXT NOT NULL
        CHECK (expected_net_wei GLOB '*[0-9]'
        AND ltrim(substr(expected_net_wei, 1, 1), '-') || substr(expected_net_wei, 2) NOT GLOB '*[^0-9]*'
        AND expected_net_wei NOT GLOB '0?*' AND expected_net_wei NOT GLOB '-0*'),
    seen_at TEXT -- when a desk first showed it to a person
        CHECK (seen_at GLOB '????-??-??T??:??:??.??????[+Z]*')
) STRICT;

CREATE INDEX attempt_by_hash ON attempt (tx_hash);

CREATE INDEX check_result_by_subject ON check_result (subject_id);

CREATE INDEX closing_by_block ON closing (run, closed_block);

CREATE INDEX command_waiting ON command (id) WHERE taken_at IS NULL;

CREATE INDEX decision_by_ticket ON decision (ticket_id);

CREATE INDEX decision_by_time ON decision (at);

CREATE INDEX execution_by_ticket ON execution (ticket_id);

CREATE INDEX execution_by_time ON execution (decided_at);

CREATE INDEX execution_event_by_execution ON execution_event (execution_id, id);

CREATE INDEX incident_by_time ON incident (at);

CREATE INDEX opportunity_by_block ON opportunity (run, block);

CREATE INDEX opportunity_by_outcome ON opportunity (outcome, at);

CREATE INDEX reconciliation_by_block ON reconciliation (to_block) WHERE kind = 'blocks' AND settlements > 0;

CREATE INDEX reconciliation_open ON reconciliation (id) WHERE ok = 0 AND acknowledged_at IS NULL;

CREATE INDEX recovery_event_by_execution ON recovery_event (execution_id, id);

CREATE INDEX ticket_by_block ON ticket (run, block);

CREATE INDEX ticket_by_opportunity ON ticket (run, opportunity_id);

CREATE INDEX ticket_by_time ON ticket (created_at);

CREATE VIEW v_decision AS
SELECT
    d.id, d.run, d.ticket_id, d.kind, d.reason, d.block, d.at, d.moved_by_tx, t.lender, t.strategy,
    t.expected_net_wei, t.expected_net_wei_real, t.created_at AS ticket_at, o.path_id, o.token_symbol,
    e.id AS execution_id, e.status, s.net_wei
FROM decision AS d
JOIN ticket AS t ON t.id = d.ticket_id
JOIN opportunity AS o ON o.run = t.run AND o.id = t.opportunity_id
LEFT JOIN execution AS e ON e.ticket_id = t.id
LEFT JOIN settlement AS s ON s.execution_id = e.id AND e.status IN ('mined', 'reverted', 'cancelled')
WHERE d.id = (SELECT max(l.id) FROM decision AS l WHERE l.ticket_id = d.ticket_id);

CREATE VIEW v_execution AS
SELECT
    e.id, e.run, e.block, e.ticket_id, e.status, e.lender, e.strategy, o.path_id,
    e.token, e.token_symbol, e.token_decimals,
    e.expected_profit, e.expected_net_wei, e.decided_at, e.sent_at, e.mined_at, e.error_class, e.reason,
    s.tx_hash, s.block AS mined_block, s.gas_used, s.gas_cost, s.l1_fee, s.loan_fee,
    s.net_wei, s.net_wei_real, s.reconciled,
    round((julianday(e.mined_at) - julianday(e.decided_at)) * 86400.0, 3) AS seconds,
    (SELECT count(*) FROM attempt AS a WHERE a.execution_id = e.id) AS attempts,
    t.created_at AS ticket_at,
    -- a self-transfer that fills a nonce gap: the only execution without a ticket. Its gas is money; it is no attempt
    e.ticket_id = '' AS filler,
    -- wall time of the block's work in which it was found and became a ticket
    (SELECT b.elapsed_ms / 1000.0 FROM block AS b
        WHERE b.run = t.run AND b.number = t.block AND b.hash = o.block_hash) AS found_s,
    (SELECT r.at FROM reconciliation AS r
        WHERE r.kind = 'blocks' AND r.settlements > 0 AND r.from_block < s.block AND r.to_block >= s.block
        ORDER BY r.to_block LIMIT 1) AS final_at
FROM execution AS e
-- A settlement counts while its transaction stands: after a reorg the execution is back at 'submitted'.
LEFT JOIN settlement AS s ON s.execution_id = e.id AND e.status IN ('mined', 'reverted', 'cancelled')
LEFT JOIN ticket AS t ON t.id = e.ticket_id
LEFT JOIN opportunity AS o ON o.run = t.run AND o.id = t.opportunity_id;

CREATE VIEW v_figures AS
WITH carried AS (
    SELECT scope, key, executions, delivered, successes, settled, fillers,
        net_high + net_low / 1000000000000 AS net_high, net_low % 1000000000000 AS net_low,
        gas_high + gas_low / 1000000000000 AS gas_high, gas_low % 1000000000000 AS gas_low
    FROM v_sum
), one_sign AS (
    SELECT scope, key, executions, delivered, successes, settled, fillers, gas_high, gas_low,
        CASE WHEN net_high > 0 AND net_low < 0 THEN net_high - 1
            WHEN net_high < 0 AND net_low > 0 THEN net_high + 1 ELSE net_high END AS net_high,
        CASE WHEN net_high > 0 AND net_low < 0 THEN net_low + 1000000000000
            WHEN net_high < 0 AND net_low > 0 THEN net_low - 1000000000000 ELSE net_low END AS net_low
    FROM carried
)
SELECT
    scope, key, executions, delivered, successes, CAST(successes AS REAL) / nullif(delivered, 0) AS success_rate,
    settled, fillers,
    CASE WHEN net_high = 0 THEN CAST(net_low AS TEXT) ELSE printf('%d%012d', net_high, abs(net_low)) END AS net_wei,
    CASE WHEN gas_high = 0 THEN CAST(gas_low AS TEXT) ELSE printf('%d%012d', gas_high, gas_low) END AS gas_spent_wei
FROM one_sign;

CREATE VIEW v_funnel AS
SELECT
    r.id AS run, r.started_at, r.stage,
    (SELECT count(*) FROM block AS b WHERE b.run = r.id)
        + (SELECT coalesce(sum(u.count), 0) FROM rollup AS u WHERE u.run = r.id AND u.kind = 'block') AS blocks,
    (SELECT count(*) FROM opportunity AS o WHERE o.run = r.id)
        + (SELECT coalesce(sum(u.count), 0) FROM rollup AS u WHERE u.run = r.id AND u.kind = 'dropped')
        AS opportunities,
    (SELECT count(*) FROM opportunity AS o WHERE o.run = r.id AND o.outcome = 'dropped')
        + (SELECT coalesce(sum(u.count), 0) FROM rollup AS u WHERE u.run = r.id AND u.kind = 'dropped') AS dropped,
    (SELECT count(*) FROM ticket AS t WHERE t.run = r.id) AS tickets,
    (SELECT count(DISTINCT d.ticket_id) FROM decision AS d
        WHERE d.run = r.id AND d.kind LIKE 'approved%') AS approved,
    (SELECT count(*) FROM execution AS e WHERE e.run = r.id AND e.ticket_id <> '') AS executions,
    (SELECT count(*) FROM execution AS e WHERE e.run = r.id AND e.ticket_id <> '' AND e.status = 'mined') AS mined,
    (SELECT count(*) FROM execution AS e WHERE e.run = r.id AND e.ticket_id = '') AS fillers
FROM run AS r;

CREATE VIEW v_missed AS
SELECT
    c.run, c.opportunity_id, c.path_id, o.at, c.last_block, c.closed_block, c.closed_by, c.sender, c.tx, c.tip_per_gas,
    c.net_wei, c.net_wei_real, o.outcome, o.reason, o.token_symbol
FROM closing AS c
JOIN opportunity AS o ON o.run = c.run AND o.id = c.opportunity_id;

CREATE VIEW v_sum AS
WITH shared AS (
    SELECT token_symbol FROM execution GROUP BY token_symbol HAVING count(DISTINCT lower(token)) > 1
), facts AS (
    SELECT
        v.id, v.filler, v.status, v.lender, v.strategy,
        v.token_symbol || CASE WHEN v.token_symbol IN shared THEN '@' || v.token ELSE '' END AS token_key,
        coalesce(v.path_id, 'unknown') AS path_id,
        substr(v.decided_at, 1, 10) AS day, coalesce(v.net_wei, '0') AS net, v.gas_cost, v.l1_fee, v.net_wei,
        NOT v.filler AND (v.status IN ('mined', 'reverted', 'cancelled') OR EXISTS (
            SELECT 1 FROM attempt AS a WHERE a.execution_id = v.id AND a.delivery = 'delivered')) AS delivered,
        '000000000000' || ltrim(coalesce(v.net_wei, '0'), '-') AS net_digits,
        CASE WHEN v.net_wei LIKE '-%' THEN -1 ELSE 1 END AS net_sign,
        '000000000000' || coalesce(v.gas_cost, '0') AS gas_digits,
        '000000000000' || coalesce(v.l1_fee, '0') AS l1_digits
    FROM v_execution AS v
), keyed AS (
    SELECT 'total' AS scope, '' AS key, facts.* FROM facts
    UNION ALL SELECT 'lender', lender, facts.* FROM facts
    UNION ALL SELECT 'strategy', strategy, facts.* FROM facts
    UNION ALL SELECT 'token', token_key, facts.* FROM facts
    UNION ALL SELECT 'path', path_id, facts.* FROM facts
    UNION ALL SELECT 'day', day, facts.* FROM facts
)
SELECT
    scope, key, sum(NOT filler) AS executions, sum(delivered) AS delivered,
    sum(status = 'mined' AND NOT filler) AS successes,
    sum(net_wei IS NOT NULL AND NOT filler) AS settled, sum(filler) AS fillers,
    sum(net_sign * CAST(substr(net_digits, 1, length(net_digits) - 12) AS INTEGER)) AS net_high,
    sum(net_sign * CAST(substr(net_digits, -12) AS INTEGER)) AS net_low,
    sum(CAST(substr(gas_digits, 1, length(gas_digits) - 12) AS INTEGER)
        + CAST(substr(l1_digits, 1, length(l1_digits) - 12) AS INTEGER)) AS gas_high,
    sum(CAST(substr(gas_digits, -12) AS INTEGER) + CAST(substr(l1_digits, -12) AS INTEGER)) AS gas_low
FROM keyed
GROUP BY scope, key;

CREATE TRIGGER execution_event_is_never_changed BEFORE UPDATE ON execution_event
BEGIN
    SELECT RAISE(ABORT, 'execution_event is append-only');
END;

CREATE TRIGGER execution_event_is_never_deleted BEFORE DELETE ON execution_event
BEGIN
    SELECT RAISE(ABORT, 'execution_event is append-only');
END;

CREATE TRIGGER recovery_event_is_never_changed BEFORE UPDATE ON recovery_event
BEGIN
    SELECT RAISE(ABORT, 'recovery_event is append-only');
END;

CREATE TRIGGER recovery_event_is_never_deleted BEFORE DELETE ON recovery_event
BEGIN
    SELECT RAISE(ABORT, 'recovery_event is append-only');
END;
