-- The contract with the desk, notebooks and Datasette.

CREATE VIEW v_execution AS
SELECT
    e.id, e.run, e.block, e.ticket_id, e.status, e.lender, e.strategy, o.path_id,
    e.token, e.token_symbol, e.token_decimals,
    e.expected_profit, e.expected_net_wei, e.decided_at, e.sent_at, e.mined_at, e.error_class, e.reason,
    s.tx_hash, s.block AS mined_block, s.gas_used, s.gas_cost, s.l1_fee, s.loan_fee,
    s.net_wei, s.net_wei_real, s.reconciled,
    round((julianday(e.mined_at) - julianday(e.decided_at)) * 86400.0, 3) AS seconds,
    (SELECT count(*) FROM attempt AS a WHERE a.execution_id = e.id) AS attempts
FROM execution AS e
-- A settlement counts while its transaction stands: after a reorg the execution is back at 'submitted'.
LEFT JOIN settlement AS s ON s.execution_id = e.id AND e.status IN ('mined', 'reverted', 'cancelled')
LEFT JOIN ticket AS t ON t.id = e.ticket_id
LEFT JOIN opportunity AS o ON o.run = t.run AND o.id = t.opportunity_id;

CREATE VIEW v_funnel AS
SELECT
    r.id AS run, r.started_at, r.stage,
    (SELECT count(*) FROM block AS b WHERE b.run = r.id) AS blocks,
    (SELECT count(*) FROM opportunity AS o WHERE o.run = r.id) AS opportunities,
    (SELECT count(*) FROM opportunity AS o WHERE o.run = r.id AND o.outcome = 'dropped') AS dropped,
    (SELECT count(*) FROM ticket AS t WHERE t.run = r.id) AS tickets,
    (SELECT count(DISTINCT d.ticket_id) FROM decision AS d
        WHERE d.run = r.id AND d.kind LIKE 'approved%') AS approved,
    (SELECT count(*) FROM execution AS e WHERE e.run = r.id) AS executions,
    (SELECT count(*) FROM execution AS e WHERE e.run = r.id AND e.status = 'mined') AS mined
FROM run AS r;
