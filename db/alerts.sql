CREATE TABLE alarm (
    rule TEXT NOT NULL,
    subject TEXT NOT NULL,
    level TEXT NOT NULL CHECK (level IN ('info', 'warning', 'error')),
    text TEXT NOT NULL, -- the newest
    standing INTEGER NOT NULL CHECK (standing IN (0, 1)), -- whether it holds now
    count INTEGER NOT NULL, -- occurrences of this episode
    told_count INTEGER NOT NULL, -- of which so many when it was last told; 0: not told in this episode
    first_at TEXT NOT NULL,
    last_at TEXT NOT NULL,
    told_at TEXT, -- when any message about it was last made
    next_at TEXT, -- a reminder of one that stands is due then
    PRIMARY KEY (rule, subject)
) STRICT;

CREATE TABLE delivery (
    message_id INTEGER NOT NULL REFERENCES message (id),
    channel TEXT NOT NULL, -- number and kind of the channel; never its address
    state TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'given_up')),
    attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT '',
    at TEXT NOT NULL,
    PRIMARY KEY (message_id, channel)
) STRICT;

CREATE TABLE mark (
    -- how far the store was read, and what has to be remembered of it
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL CHECK (json_valid(value))
) STRICT;

CREATE TABLE message (
    id INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    level TEXT NOT NULL,
    title TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;

CREATE INDEX delivery_waiting ON delivery (channel, message_id) WHERE state = 'waiting';
