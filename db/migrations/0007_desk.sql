-- What the desk shows of a waiting ticket: the newest re-simulation of its bytes. The ticket itself never changes.
CREATE TABLE ticket_now (
    ticket_id TEXT PRIMARY KEY REFERENCES ticket (id),
    run TEXT NOT NULL REFERENCES run (id),
    block INTEGER NOT NULL,
    expected_profit TEXT NOT NULL -- base units of the ticket's token, after the loan fee
        CHECK (expected_profit GLOB '*[0-9]'
        AND ltrim(substr(expected_profit, 1, 1), '-') || substr(expected_profit, 2) NOT GLOB '*[^0-9]*'
        AND expected_profit NOT GLOB '0?*' AND expected_profit NOT GLOB '-0*'),
    expected_gas INTEGER NOT NULL,
    expected_net_wei TEXT NOT NULL
        CHECK (expected_net_wei GLOB '*[0-9]'
        AND ltrim(substr(expected_net_wei, 1, 1), '-') || substr(expected_net_wei, 2) NOT GLOB '*[^0-9]*'
        AND expected_net_wei NOT GLOB '0?*' AND expected_net_wei NOT GLOB '-0*'),
    seen_at TEXT -- when a desk first showed it to a person
        CHECK (seen_at GLOB '????-??-??T??:??:??.??????[+Z]*')
) STRICT;

-- The other leg that is in the same digest: lender, calldata, floor; at most one of the two is ever signed.
ALTER TABLE ticket ADD COLUMN fallback TEXT CHECK (fallback IS NULL OR json_valid(fallback));

ALTER TABLE block ADD COLUMN wallet_balance TEXT -- wei the wallet held for gas at this block
    CHECK (wallet_balance IS NULL OR (wallet_balance <> '' AND wallet_balance NOT GLOB '*[^0-9]*'
    AND wallet_balance NOT GLOB '0?*'));
