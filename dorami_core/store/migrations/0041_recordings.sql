-- Broadcasts that were kept. The files lie in the data directory; a row without its files is shown without its video.

CREATE SCHEMA IF NOT EXISTS recordings;

CREATE TABLE recordings.parts (
    id uuid PRIMARY KEY,
    live_id text NOT NULL REFERENCES streams.streams (stream_key),
    session_at timestamptz NOT NULL,
    number integer NOT NULL,
    file text NOT NULL,
    status text NOT NULL CHECK (status IN ('RECORDING', 'READY', 'FAILED')),
    began_at timestamptz NOT NULL,
    ended_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT core.now(),
    duration_ms bigint NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0,
    marks jsonb NOT NULL DEFAULT '[]',
    kept boolean NOT NULL DEFAULT false,
    delete_at timestamptz,
    delete_reason text CHECK (delete_reason IN ('AGE', 'SPACE'))
);
COMMENT ON COLUMN recordings.parts.session_at IS 'When the broadcast''s session began; its parts are one recording';
COMMENT ON COLUMN recordings.parts.number IS 'From 1; another part begins where an encoder comes back with another picture or sound';
COMMENT ON COLUMN recordings.parts.file IS 'Below the recordings folder of the data directory';
COMMENT ON COLUMN recordings.parts.marks IS '[[milliseconds in the file, Unix milliseconds], ...]: where the clock went on while the file did not';
COMMENT ON COLUMN recordings.parts.delete_at IS 'Warned of; nothing is deleted earlier, nor without it';

CREATE UNIQUE INDEX parts_of_session ON recordings.parts (live_id, session_at, number);
CREATE INDEX parts_newest ON recordings.parts (began_at DESC, id);
