-- Ended broadcasts to watch again, and clips out of recordings.

CREATE TABLE recordings.replays (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    live_id text NOT NULL REFERENCES streams.streams (stream_key),
    session_at timestamptz NOT NULL,
    public boolean NOT NULL DEFAULT true,
    UNIQUE (live_id, session_at)
);
COMMENT ON TABLE recordings.replays IS 'One for each recorded session of a broadcast; public: everybody may watch it';
CREATE INDEX replays_newest ON recordings.replays (session_at DESC, id DESC);

-- What was recorded before there were replays was for staff, and stays so until the seller says otherwise.
INSERT INTO recordings.replays (live_id, session_at, public) SELECT DISTINCT live_id, session_at, false FROM recordings.parts;
ALTER TABLE recordings.parts ADD FOREIGN KEY (live_id, session_at) REFERENCES recordings.replays (live_id, session_at);

CREATE TABLE recordings.clips (
    id uuid PRIMARY KEY,
    live_id text NOT NULL,
    subject uuid NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz NOT NULL,
    status text NOT NULL DEFAULT 'WAITING' CHECK (status IN ('WAITING', 'READY', 'FAILED')),
    try_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    problem text,
    part_id uuid REFERENCES recordings.parts (id) ON DELETE CASCADE,
    file text,
    from_ms bigint,
    duration_ms bigint NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0,
    ready_at timestamptz,
    CHECK (until > since),
    CHECK (status <> 'READY' OR (part_id IS NOT NULL AND file IS NOT NULL AND from_ms IS NOT NULL AND ready_at IS NOT NULL))
);
COMMENT ON COLUMN recordings.clips.subject IS 'What it shows: the id of a product';
COMMENT ON COLUMN recordings.clips.since IS 'From when to when it was shown, by the clock; the marks of the part say where that is in the file';
COMMENT ON COLUMN recordings.clips.part_id IS 'What it was cut from; it goes with it';
COMMENT ON COLUMN recordings.clips.from_ms IS 'Where it begins in the part: a key frame';
CREATE INDEX clips_waiting ON recordings.clips (try_at) WHERE status = 'WAITING';
CREATE INDEX clips_of_subject ON recordings.clips (subject, since DESC);
CREATE INDEX clips_of_part ON recordings.clips (part_id);
