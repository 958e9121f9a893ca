-- Opportunities that one check alone held back, the closest first.
SELECT o.at, o.block, o.token_symbol, c.name AS failed, c.observed, c.limit_value, c.margin, c.unit, o.net_wei
FROM opportunity AS o
JOIN check_result AS c ON c.run = o.run AND c.subject_kind = 'opportunity' AND c.subject_id = o.id AND NOT c.passed
WHERE o.outcome = 'dropped'
    AND 1 = (SELECT count(*) FROM check_result AS f WHERE f.run = o.run AND f.subject_kind = 'opportunity'
        AND f.subject_id = o.id AND NOT f.passed)
ORDER BY c.unit, abs(c.margin_real)
LIMIT 50;
