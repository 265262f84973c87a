-- The log, and the side tables that a backup must hold besides it. docs/log-format.md describes every column.

-- The first five columns are those that the eventsourcing library's PostgresApplicationRecorder reads
-- (originator_id_type="text"), so its stock recorder and subscriptions can follow this table. It listens on the
-- channel "stored_events"; the writer notifies it.
--
-- No column has a default and notification_id has no sequence: positions are given out as head + 1 under the writer's
-- advisory lock, so they have no gaps, and an INSERT that does not come from our writer (the library's own, say) fails
-- instead of breaking the chain.
CREATE TABLE stored_events (
    originator_id      text        NOT NULL,   -- the stream: {org}/{category}/{id}
    originator_version bigint      NOT NULL,
    topic              text        NOT NULL,
    state              bytea       NOT NULL,   -- JSON exactly as hashed: never rewritten
    notification_id    bigint      NOT NULL,   -- the position
    at                 timestamptz NOT NULL,   -- the batch's time, not the row's
    org                text        NOT NULL,
    by                 text        NOT NULL,
    correlation_id     text        NOT NULL,
    causation_id       text,                   -- null: nothing in the log caused it
    hash               bytea       NOT NULL,
    PRIMARY KEY (originator_id, originator_version),
    CONSTRAINT stored_events_counts_from_one CHECK (originator_version > 0 AND notification_id > 0),
    CONSTRAINT stored_events_hash_is_sha256 CHECK (octet_length(hash) = 32)
) WITH (
    -- The library's settings. Rows are never updated or deleted, so vacuuming for dead rows is pointless; vacuum by
    -- inserts (visibility map, freezing) stays on, and so does analyze, at 1 % instead of 10 %.
    autovacuum_enabled = true,
    autovacuum_vacuum_threshold = 100000000,
    autovacuum_vacuum_scale_factor = 0.5,
    autovacuum_analyze_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.01
);

-- Read by every follower of the log, and the last line of defence against a writer that skipped the lock: it collides
-- here. The name is the one that the library would give it.
CREATE UNIQUE INDEX stored_events_notification_id_idx ON stored_events (notification_id);

-- Every index below is paid for in each batch under the lock, so there are two. Topic, org and "by" have none:
-- GET /admin/events pages by position, and their values are frequent enough for a scan along the position.

-- "Everything that this request did": a handful of rows among millions, so no scan will do. Almost free while
-- correlation ids are ordered by time (UUIDv7); random ones cost up to a third of the rate of large batches.
CREATE INDEX stored_events_correlation_id_idx ON stored_events (correlation_id);

-- from/to: time grows with position, so a block range index of a few pages does what a btree would, almost for free.
CREATE INDEX stored_events_at_idx ON stored_events USING brin (at) WITH (autosummarize = on);


-- What identifies a person. Events carry only the reference; erasing is deleting the row, and saying so with an event.
CREATE TABLE forgettable (
    org       text  NOT NULL,
    kind      text  NOT NULL,
    reference uuid  NOT NULL,
    body      jsonb NOT NULL,
    PRIMARY KEY (org, kind, reference)
);

-- Which batch answered an Idempotency-Key: the events [position, position + events). Written in that same batch, so
-- a repeat finds either both or neither. Keys and digests are HMACs: what a client wrote into them is nobody's business.
CREATE TABLE idempotency (
    org            text        NOT NULL,
    key_hmac       bytea       NOT NULL,
    request_digest bytea       NOT NULL,
    position       bigint      NOT NULL,
    events         integer     NOT NULL CHECK (events >= 0),   -- 0: a command that found nothing to do
    at             timestamptz NOT NULL,
    PRIMARY KEY (org, key_hmac)
);

-- What is too large for an event (64 KiB), by the digest that the event carries.
CREATE TABLE contents (
    org    text  NOT NULL,
    digest bytea NOT NULL,
    body   bytea NOT NULL,
    PRIMARY KEY (org, digest)
);
