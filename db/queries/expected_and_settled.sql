-- How far the settlement stood off the simulation at the send, in the native coin.
SELECT id, decided_at, lender, token_symbol, expected_net_wei, net_wei,
    (net_wei_real - CAST(expected_net_wei AS REAL)) / 1e18 AS difference, reconciled
FROM v_execution
WHERE net_wei IS NOT NULL
ORDER BY abs(net_wei_real - CAST(expected_net_wei AS REAL)) DESC
LIMIT 50;
