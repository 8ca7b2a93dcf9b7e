-- The schema of the core. Every plugin makes its own.

CREATE SCHEMA IF NOT EXISTS core;

-- The clock that decides over deadlines. Tests replace it by one that they can move.
CREATE FUNCTION core.now() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'select clock_timestamp()';
