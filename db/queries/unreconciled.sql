-- What does not fit, with what was said about it; open ones stop sending.
SELECT id, kind, from_block, to_block, execution_id, at, difference, acknowledged_at, acknowledged_by, reason
FROM reconciliation
WHERE ok = 0
ORDER BY id DESC;
