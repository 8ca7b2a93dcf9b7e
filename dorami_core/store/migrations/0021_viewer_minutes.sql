-- How many watched, minute by minute of a broadcast's sessions. A minute that two processes saw is the sum of both.

CREATE TABLE streams.viewer_minutes (
    stream_key text NOT NULL REFERENCES streams.streams,
    session_no integer NOT NULL,
    minute timestamptz NOT NULL CHECK (minute = date_trunc('minute', minute, 'UTC')),
    highest integer NOT NULL CHECK (highest >= 0),
    total bigint NOT NULL CHECK (total >= 0),
    samples integer NOT NULL CHECK (samples > 0),
    PRIMARY KEY (stream_key, session_no, minute)
);
COMMENT ON COLUMN streams.viewer_minutes.total IS 'The sum of the samples, about one a second; over samples it is the average';
