-- Moderation of the chat, and the log of what was said. Redis and memory hold copies; this is the truth.

CREATE SCHEMA chat;

CREATE TABLE chat.version (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version bigint NOT NULL
);
INSERT INTO chat.version (version) VALUES (1);
COMMENT ON TABLE chat.version IS 'Grows with every change of the tables below that processes keep copies of; its row lock orders those changes';

CREATE TABLE chat.bans (
    user_id uuid PRIMARY KEY REFERENCES core.users (id) ON DELETE CASCADE,
    display_name text NOT NULL,
    reason text NOT NULL,
    by_user uuid NOT NULL,
    at timestamptz NOT NULL
);

CREATE TABLE chat.timeouts (
    user_id uuid PRIMARY KEY REFERENCES core.users (id) ON DELETE CASCADE,
    display_name text NOT NULL,
    until timestamptz NOT NULL,
    by_user uuid NOT NULL,
    at timestamptz NOT NULL
);

CREATE TABLE chat.moderators (
    user_id uuid PRIMARY KEY REFERENCES core.users (id) ON DELETE CASCADE,
    display_name text NOT NULL,
    by_user uuid NOT NULL,
    at timestamptz NOT NULL
);

CREATE TABLE chat.banned_words (
    id uuid PRIMARY KEY,
    word text NOT NULL,
    normal text NOT NULL UNIQUE,
    by_user uuid NOT NULL,
    at timestamptz NOT NULL
);
COMMENT ON COLUMN chat.banned_words.normal IS 'As messages are compared: see dorami_core/chat/words.py';

CREATE TABLE chat.rooms (
    stream_key text PRIMARY KEY REFERENCES streams.streams (stream_key) ON DELETE CASCADE,
    frozen boolean NOT NULL DEFAULT false,
    slow_s integer NOT NULL DEFAULT 0 CHECK (slow_s >= 0),
    pinned jsonb,
    changed_at timestamptz NOT NULL
);

CREATE TABLE chat.acts (
    no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    by_user uuid NOT NULL,
    act text NOT NULL,
    subject text NOT NULL,
    facts jsonb NOT NULL
);
COMMENT ON TABLE chat.acts IS 'What moderators did, and undid; only grows';

CREATE TABLE chat.messages (
    id uuid PRIMARY KEY,
    stream_key text NOT NULL,
    user_id uuid NOT NULL,
    display_name text NOT NULL,
    role text NOT NULL,
    message text NOT NULL,
    at timestamptz NOT NULL,
    seq bigint NOT NULL,
    epoch text NOT NULL
);
CREATE INDEX messages_log ON chat.messages (stream_key, at, seq, id);
COMMENT ON TABLE chat.messages IS 'Written in batches, so a row may come a moment after the message was said and even deleted';

CREATE TABLE chat.deletions (
    message_id uuid PRIMARY KEY,
    by_user uuid NOT NULL,
    at timestamptz NOT NULL
);
COMMENT ON TABLE chat.deletions IS 'Without a reference, since the message may not be written yet';
