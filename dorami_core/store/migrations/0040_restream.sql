-- Where broadcasts are sent on to, and how that went.

CREATE SCHEMA IF NOT EXISTS restream;

CREATE TABLE restream.targets (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES core.users (id),
    name text NOT NULL,
    platform text NOT NULL CHECK (platform IN ('YOUTUBE', 'INSTAGRAM', 'TIKTOK', 'CUSTOM')),
    rtmp_url text NOT NULL,
    stream_key bytea NOT NULL,
    stream_key_end text NOT NULL,
    mute_audio boolean NOT NULL DEFAULT false,
    start_mode text NOT NULL DEFAULT 'AUTO' CHECK (start_mode IN ('AUTO', 'MANUAL')),
    delay_s integer NOT NULL DEFAULT 0 CHECK (delay_s >= 0),
    revision integer NOT NULL DEFAULT 1,
    asked text CHECK (asked IN ('START', 'STOP')),
    asked_live_id text,
    asked_session_at timestamptz,
    asked_count integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT core.now()
);
COMMENT ON COLUMN restream.targets.stream_key IS 'The platform''s key, sealed (dorami_core/base/sealing.py)';
COMMENT ON COLUMN restream.targets.stream_key_end IS 'Its last characters, to tell keys apart by';
COMMENT ON COLUMN restream.targets.revision IS 'Grows where a connection that runs must be made anew';
COMMENT ON COLUMN restream.targets.asked IS 'The last wish of a person; it holds for the session of asked_live_id that began at asked_session_at';
COMMENT ON COLUMN restream.targets.asked_count IS 'Grows with every wish, so that the same one can be made again';

CREATE TABLE restream.runs (
    id uuid PRIMARY KEY,
    target_id uuid NOT NULL REFERENCES restream.targets (id) ON DELETE CASCADE,
    live_id text NOT NULL REFERENCES streams.streams (stream_key),
    status text NOT NULL CHECK (status IN ('IDLE', 'CONNECTING', 'ACTIVE', 'FAILED', 'STOPPED')),
    cause text NOT NULL DEFAULT '',
    restart_count integer NOT NULL DEFAULT 0,
    sent_bytes bigint NOT NULL DEFAULT 0,
    bitrate_bps integer NOT NULL DEFAULT 0,
    delay_ms integer NOT NULL DEFAULT 0,
    on_slate boolean NOT NULL DEFAULT false,
    next_attempt_at timestamptz,
    active_since timestamptz,
    started_at timestamptz NOT NULL DEFAULT core.now(),
    updated_at timestamptz NOT NULL DEFAULT core.now(),
    ended_at timestamptz,
    lines text[] NOT NULL DEFAULT '{}'
);
COMMENT ON COLUMN restream.runs.updated_at IS 'Once a second while it runs; a run that is older and has no end died with its process';
COMMENT ON COLUMN restream.runs.lines IS 'The last of what the workers of this run said, without keys';

CREATE INDEX runs_of_target ON restream.runs (target_id, started_at DESC, id);
CREATE INDEX runs_newest ON restream.runs (started_at DESC, id);
