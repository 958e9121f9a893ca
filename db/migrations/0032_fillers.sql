-- What only fills a nonce gap is counted apart from executions, as the report does.
DROP VIEW v_figures;
DROP VIEW v_sum;
DROP VIEW v_funnel;
DROP VIEW v_execution;

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

-- SUM over TEXT is inexact, so each amount is summed as two whole numbers, 10^12 apart, and put together again.
-- Exact while an amount, and each sum, stays under 9.2e30 wei and there are fewer than 9 million rows; past that
-- SQLite says "integer overflow" rather than round.
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

-- The report's sums in plain SQL, to the wei; fillers are in the money and in no count but their own. scope: total, lender, strategy, token, path, day (UTC, of the decision).
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
