-- What `arbtui db prune` left of opportunities and blocks that it took away: counts and exact sums for each UTC day.

CREATE TABLE rollup (
    run TEXT NOT NULL REFERENCES run (id),
    day TEXT NOT NULL CHECK (day GLOB '????-??-??'),
    -- block; dropped (name: the check that failed); closed (name: by whom); sender (name: who took it)
    kind TEXT NOT NULL CHECK (kind IN ('block', 'dropped', 'closed', 'sender')),
    name TEXT NOT NULL COLLATE NOCASE,
    count INTEGER NOT NULL,
    net_wei TEXT NOT NULL -- exact sum of what they would have left; 0 where none was computed
        CHECK (net_wei GLOB '*[0-9]'
        AND ltrim(substr(net_wei, 1, 1), '-') || substr(net_wei, 2) NOT GLOB '*[^0-9]*'
        AND net_wei NOT GLOB '0?*' AND net_wei NOT GLOB '-0*'),
    net_wei_real REAL GENERATED ALWAYS AS (CAST(net_wei AS REAL)) VIRTUAL,
    PRIMARY KEY (run, day, kind, name)
) STRICT;
