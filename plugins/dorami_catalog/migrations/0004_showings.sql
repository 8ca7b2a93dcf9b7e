CREATE TABLE catalog.showings (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream_key text NOT NULL,
    product_id uuid NOT NULL REFERENCES catalog.products,
    shown_at timestamptz NOT NULL,
    media_from_ms bigint,
    hidden_at timestamptz,
    media_until_ms bigint,
    CHECK (hidden_at >= shown_at)
);
COMMENT ON TABLE catalog.showings IS
    'When each product was the one shown now; media times are milliseconds since the broadcast began, null where it was not on air';
CREATE UNIQUE INDEX one_shown_now ON catalog.showings (stream_key) WHERE hidden_at IS NULL;
CREATE INDEX showings_by_stream ON catalog.showings (stream_key, id);
