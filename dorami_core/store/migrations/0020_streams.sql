-- Broadcasts. One row per stream key; publishing again after the end opens a new session in the same row.

CREATE SCHEMA IF NOT EXISTS streams;

CREATE TABLE streams.streams (
    stream_key text PRIMARY KEY CHECK (stream_key ~ '^[a-z0-9-]{4,64}$'),
    title text NOT NULL,
    status text NOT NULL DEFAULT 'PENDING' CHECK (status IN ('PENDING', 'LIVE', 'INTERRUPTED', 'OFFLINE')),
    secret text NOT NULL,
    scheduled_at timestamptz,
    started_at timestamptz,
    ended_at timestamptz,
    grace_ends_at timestamptz,
    session_no integer NOT NULL DEFAULT 0,
    peak_viewers integer NOT NULL DEFAULT 0,
    free_shipping_enabled boolean NOT NULL DEFAULT false,
    closed boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL
);
COMMENT ON COLUMN streams.streams.secret IS 'What an encoder proves itself with; readable, since staff must be able to see it again';
COMMENT ON COLUMN streams.streams.closed IS 'Ended by the seller for good: publishing is refused';

CREATE INDEX streams_on_air ON streams.streams (started_at DESC) WHERE status IN ('LIVE', 'INTERRUPTED');
CREATE INDEX streams_upcoming ON streams.streams (scheduled_at) WHERE status = 'PENDING';
CREATE INDEX streams_newest ON streams.streams (created_at DESC, stream_key);
