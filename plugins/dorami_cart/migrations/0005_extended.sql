ALTER TABLE cart.items ADD COLUMN extended_s double precision NOT NULL DEFAULT 0 CHECK (extended_s >= 0);
COMMENT ON COLUMN cart.items.extended_s IS 'By how much its time was made longer in all';
