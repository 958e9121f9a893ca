-- The report's sums, exact: what was earned in all, by lender and by day.
SELECT scope, key, executions, successes, round(success_rate, 3) AS success_rate, net_wei, gas_spent_wei
FROM v_figures
WHERE scope IN ('total', 'lender', 'day')
ORDER BY scope DESC, key;
