-- Whether a block has tickets is asked of each block that may be pruned.
CREATE INDEX ticket_by_block ON ticket (run, block);
