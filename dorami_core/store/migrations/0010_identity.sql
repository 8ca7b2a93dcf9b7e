-- People, their sessions, and what was answered to repeated requests.

CREATE TABLE core.users (
    id uuid PRIMARY KEY,
    email text NOT NULL UNIQUE CHECK (email = lower(email)),
    name text NOT NULL,
    role text NOT NULL DEFAULT 'USER' CHECK (role IN ('USER', 'ADMIN')),
    instagram_id text,
    shipping_address bytea,
    status text NOT NULL DEFAULT 'ACTIVE' CHECK (status IN ('ACTIVE', 'SUSPENDED')),
    created_at timestamptz NOT NULL DEFAULT core.now()
);
COMMENT ON COLUMN core.users.shipping_address IS 'AES-256-GCM envelope; see dorami_core/identity/addresses.py';

CREATE TABLE core.sessions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES core.users (id) ON DELETE CASCADE,
    current_hash bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT core.now(),
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    end_reason text CHECK (end_reason IN ('logout', 'reuse'))
);
CREATE INDEX sessions_user ON core.sessions (user_id);
CREATE INDEX sessions_expiry ON core.sessions (expires_at);
COMMENT ON TABLE core.sessions IS 'One sign-in: the family of its refresh tokens. Its row lock orders their rotation';

CREATE TABLE core.refresh_tokens (
    token_hash bytea PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES core.sessions (id) ON DELETE CASCADE,
    issued_at timestamptz NOT NULL DEFAULT core.now()
);
CREATE INDEX refresh_tokens_session ON core.refresh_tokens (session_id);
COMMENT ON TABLE core.refresh_tokens IS 'SHA-256 of every token of a family: one that is not current any more was used before';

CREATE TABLE core.idempotency (
    viewer text NOT NULL,
    route text NOT NULL,
    key text NOT NULL,
    claim uuid NOT NULL,
    body_hash bytea NOT NULL,
    status smallint,
    body bytea,
    created_at timestamptz NOT NULL DEFAULT core.now(),
    PRIMARY KEY (viewer, route, key)
);
CREATE INDEX idempotency_age ON core.idempotency (created_at);
COMMENT ON COLUMN core.idempotency.status IS 'Null while the first request is being answered';
