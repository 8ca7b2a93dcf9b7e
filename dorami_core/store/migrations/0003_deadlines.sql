-- Every timer is a row; the process only wakes up for it.

CREATE TABLE core.deadlines (
    kind text NOT NULL,
    key text NOT NULL,
    due_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    PRIMARY KEY (kind, key)
);
CREATE INDEX deadlines_due ON core.deadlines (due_at);
