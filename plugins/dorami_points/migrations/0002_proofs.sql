CREATE TABLE points.proofs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT core.now(),
    night date UNIQUE,
    accounts bigint NOT NULL,
    entries bigint NOT NULL,
    problems bigint NOT NULL,
    mismatches jsonb NOT NULL
);
COMMENT ON TABLE points.proofs IS 'What each recomputing of all balances found; the newest 400 are kept';
COMMENT ON COLUMN points.proofs.night IS 'The day in the shop''s time zone whose night it was; null: somebody asked for it';
COMMENT ON COLUMN points.proofs.mismatches IS 'The first hundred: user_id, id of the entry, problem';
