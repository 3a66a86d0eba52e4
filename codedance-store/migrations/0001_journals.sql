-- One row for each workload: the head of its journal, and who may write.
CREATE TABLE journals (
    workload TEXT NOT NULL PRIMARY KEY,
    -- The sequence that the next entry must have, so that a lost end is noticed.
    next BIGINT NOT NULL DEFAULT 0,
    -- Grows with each new holder of the lease; 0 before the first.
    token BIGINT NOT NULL DEFAULT 0,
    -- NULL when nobody holds the lease.
    owner TEXT,
    -- When the lease ends, in milliseconds since the epoch.
    expires BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE entries (
    workload TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    -- When it was written, in milliseconds since the epoch. For people and for compaction; what counts
    -- is in the body.
    written BIGINT NOT NULL,
    -- 0 begins a rollout, 1 was told, 2 is a snapshot.
    kind BIGINT NOT NULL,
    -- The entry as JSON.
    body TEXT NOT NULL,
    -- CRC-32 over all columns but this.
    checksum BIGINT NOT NULL,
    PRIMARY KEY (workload, sequence)
);

-- Where each workload's rollouts begin.
CREATE INDEX beginnings ON entries (workload, sequence) WHERE kind = 0;
