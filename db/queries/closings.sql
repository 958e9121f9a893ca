-- Who took what we saw: the transaction that ended each opportunity, its place in the block and its tip.
SELECT
    c.closed_block, c.closed_by, c.net_wei, c.last_block - c.first_block + 1 AS blocks_open,
    c.tx, c.tx_index, c.sender, CAST(c.tip_per_gas AS REAL) / 1e9 AS tip_gwei, o.token_symbol, o.place
FROM closing AS c
INNER JOIN opportunity AS o ON o.run = c.run AND o.id = c.opportunity_id
ORDER BY c.net_wei_real DESC
LIMIT 100;
