-- Each node as the engine sees it now: one row a node and run, brought up to date with every block.
CREATE TABLE node (
    run TEXT NOT NULL REFERENCES run (id),
    name TEXT NOT NULL,
    block INTEGER, -- the block it was written with
    at TEXT NOT NULL
        CHECK (at GLOB '????-??-??T??:??:??.??????[+Z]*'),
    state TEXT NOT NULL, -- new, ok, stale, down, limited, quarantined
    detail TEXT NOT NULL,
    head INTEGER,
    lag INTEGER, -- blocks behind the best
    latency_ms REAL, -- median of the newest answers
    calls INTEGER NOT NULL,
    failures INTEGER NOT NULL, -- nothing came back, or not in time
    refused INTEGER NOT NULL, -- answers that were not believed
    refusals TEXT NOT NULL CHECK (json_valid(refusals)), -- of these, how many of each kind
    disagreements INTEGER NOT NULL,
    unknown_blocks INTEGER NOT NULL,
    PRIMARY KEY (run, name)
) STRICT;
