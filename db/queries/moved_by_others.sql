-- Tickets that went stale because of somebody else's trade, and what they were expected to earn.
SELECT d.at, d.ticket_id, d.kind, d.reason, t.expected_net_wei, d.moved_by_block, d.moved_by_pool, d.moved_by_tx
FROM decision AS d
JOIN ticket AS t ON t.id = d.ticket_id
WHERE d.moved_by_tx IS NOT NULL
ORDER BY t.expected_net_wei_real DESC
LIMIT 50;
