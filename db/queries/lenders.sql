-- What each lender cost and earned: run it with sqlite3 or Datasette.
-- REAL twins: good for ordering and pictures, exact to 15 digits; for exact sums take the TEXT columns.
SELECT lender, sum(NOT filler) AS executions, sum(status = 'mined') AS mined, round(avg(seconds), 3) AS avg_seconds,
    sum(net_wei_real) / 1e18 AS net, avg(gas_used) AS avg_gas
FROM v_execution
GROUP BY lender
ORDER BY net DESC;
