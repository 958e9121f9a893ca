-- Tokens that share a symbol are told apart by their address, as the report's by_base_token does.
DROP VIEW v_figures;
DROP VIEW v_sum;

-- SUM over TEXT is inexact, so each amount is summed as two whole numbers, 10^12 apart, and put together again.
-- Exact while an amount, and each sum, stays under 9.2e30 wei and there are fewer than 9 million rows; past that
-- SQLite says "integer overflow" rather than round.
CREATE VIEW v_sum AS
WITH shared AS (
    SELECT token_symbol FROM execution GROUP BY token_symbol HAVING count(DISTINCT lower(token)) > 1
), facts AS (
    SELECT
        v.id, v.status, v.lender, v.strategy,
        v.token_symbol || CASE WHEN v.token_symbol IN shared THEN '@' || v.token ELSE '' END AS token_key,
        coalesce(v.path_id, 'unknown') AS path_id,
        substr(v.decided_at, 1, 10) AS day, coalesce(v.net_wei, '0') AS net, v.gas_cost, v.l1_fee, v.net_wei,
        v.status IN ('mined', 'reverted', 'cancelled') OR EXISTS (
            SELECT 1 FROM attempt AS a WHERE a.execution_id = v.id AND a.delivery = 'delivered') AS delivered,
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
    scope, key, count(*) AS executions, sum(delivered) AS delivered, sum(status = 'mined') AS successes,
    sum(net_wei IS NOT NULL) AS settled,
    sum(net_sign * CAST(substr(net_digits, 1, length(net_digits) - 12) AS INTEGER)) AS net_high,
    sum(net_sign * CAST(substr(net_digits, -12) AS INTEGER)) AS net_low,
    sum(CAST(substr(gas_digits, 1, length(gas_digits) - 12) AS INTEGER)
        + CAST(substr(l1_digits, 1, length(l1_digits) - 12) AS INTEGER)) AS gas_high,
    sum(CAST(substr(gas_digits, -12) AS INTEGER) + CAST(substr(l1_digits, -12) AS INTEGER)) AS gas_low
FROM keyed
GROUP BY scope, key;

-- The report's sums in plain SQL, to the wei. scope: total, lender, strategy, token, path, day (UTC, of the decision).
CREATE VIEW v_figures AS
WITH carried AS (
    SELECT scope, key, executions, delivered, successes, settled,
        net_high + net_low / 1000000000000 AS net_high, net_low % 1000000000000 AS net_low,
        gas_high + gas_low / 1000000000000 AS gas_high, gas_low % 1000000000000 AS gas_low
    FROM v_sum
), one_sign AS (
    SELECT scope, key, executions, delivered, successes, settled, gas_high, gas_low,
        CASE WHEN net_high > 0 AND net_low < 0 THEN net_high - 1
            WHEN net_high < 0 AND net_low > 0 THEN net_high + 1 ELSE net_high END AS net_high,
        CASE WHEN net_high > 0 AND net_low < 0 THEN net_low + 1000000000000
            WHEN net_high < 0 AND net_low > 0 THEN net_low - 1000000000000 ELSE net_low END AS net_low
    FROM carried
)
SELECT
    scope, key, executions, delivered, successes, CAST(successes AS REAL) / nullif(delivered, 0) AS success_rate,
    settled,
    CASE WHEN net_high = 0 THEN CAST(net_low AS TEXT) ELSE printf('%d%012d', net_high, abs(net_low)) END AS net_wei,
    CASE WHEN gas_high = 0 THEN CAST(gas_low AS TEXT) ELSE printf('%d%012d', gas_high, gas_low) END AS gas_spent_wei
FROM one_sign;
