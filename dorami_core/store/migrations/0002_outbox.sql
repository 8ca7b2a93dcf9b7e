-- Events are written with the change they tell of and delivered after the commit.

CREATE TABLE core.aggregates (
    aggregate text PRIMARY KEY,
    seq bigint NOT NULL
);
COMMENT ON TABLE core.aggregates IS 'The last sequence number of each aggregate; its row lock orders the events of one aggregate';

CREATE TABLE core.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id uuid NOT NULL,
    type text NOT NULL,
    aggregate text NOT NULL,
    aggregate_seq bigint NOT NULL,
    payload jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT core.now(),
    position bigint UNIQUE
);
COMMENT ON COLUMN core.outbox.position IS
    'Given by the deliverer once the row can be seen: ids commit out of order, positions never have a gap behind the cursor';
CREATE INDEX outbox_unplaced ON core.outbox (id) WHERE position IS NULL;
CREATE SEQUENCE core.outbox_position;

CREATE TABLE core.outbox_cursors (
    subscriber text PRIMARY KEY,
    position bigint NOT NULL
);

CREATE TABLE core.outbox_parked (
    subscriber text NOT NULL,
    position bigint NOT NULL,
    aggregate text NOT NULL,
    attempts integer NOT NULL,
    retry_at timestamptz,
    error text,
    PRIMARY KEY (subscriber, position)
);
COMMENT ON TABLE core.outbox_parked IS
    'Events that a subscriber failed on, and the later ones of the same aggregate that wait behind. retry_at null: a dead letter';
CREATE INDEX outbox_parked_aggregate ON core.outbox_parked (subscriber, aggregate, position);
