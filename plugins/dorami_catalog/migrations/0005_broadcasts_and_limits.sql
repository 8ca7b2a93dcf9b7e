-- One product in several broadcasts. stream_key is the one it came to last, and what a cart takes where nobody says.
ALTER TABLE catalog.products ADD COLUMN stream_keys text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN catalog.products.stream_keys IS 'All broadcasts that show it, in the order in which it came to them';
UPDATE catalog.products SET stream_keys = ARRAY[stream_key] WHERE stream_key IS NOT NULL;
ALTER TABLE catalog.products ADD CONSTRAINT stream_key_is_the_last CHECK (
    stream_key IS NOT DISTINCT FROM stream_keys[cardinality(stream_keys)]
);
DROP INDEX catalog.products_by_stream;
CREATE INDEX products_by_stream ON catalog.products USING gin (stream_keys);

-- How many one buyer may have of a product.
ALTER TABLE catalog.products ADD COLUMN max_per_buyer integer CHECK (max_per_buyer > 0);
COMMENT ON COLUMN catalog.products.max_per_buyer IS 'Over all that catalog.buyer_counts count; null: as many as there are';

CREATE TABLE catalog.buyer_counts (
    function text PRIMARY KEY
);
COMMENT ON TABLE catalog.buyer_counts IS
    'Names of functions (product uuid, buyer uuid) -> units that this buyer holds, waits for or bought. Each plugin that '
    'keeps such units adds its own by catalog.count_for_buyers; together they count every unit once';

-- Asked for products with a limit alone.
CREATE FUNCTION catalog.units_of_buyer(p_product uuid, p_buyer uuid) RETURNS bigint LANGUAGE sql AS 'SELECT 0::bigint';

-- For migrations: from now on this function counts too. What is called for each add is made here, so that its plan stays.
CREATE FUNCTION catalog.count_for_buyers(p_function text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    body text;
BEGIN
    INSERT INTO catalog.buyer_counts VALUES (p_function);
    SELECT string_agg(format('coalesce(%s($1, $2), 0)', function), ' + ' ORDER BY function) INTO body
      FROM catalog.buyer_counts;
    EXECUTE format('CREATE OR REPLACE FUNCTION catalog.units_of_buyer(p_product uuid, p_buyer uuid) RETURNS bigint '
                   'LANGUAGE sql AS %L', 'SELECT (' || body || ')::bigint');
END
$$;

-- How many more this buyer may have, where so many are too many; null: they are not. After null a product with a limit
-- is locked, so that what follows in the transaction is decided on this count.
CREATE FUNCTION catalog.over_limit(p_product uuid, p_buyer uuid, p_quantity integer) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    most integer;
    allowed bigint;
BEGIN
    SELECT max_per_buyer INTO most FROM catalog.products WHERE id = p_product AND deleted_at IS NULL;
    IF most IS NULL THEN
        RETURN NULL;
    END IF;
    -- First without the lock: who asks for too much must not stand in line for the row.
    allowed := greatest(0, most - catalog.units_of_buyer(p_product, p_buyer));
    IF p_quantity <= allowed THEN
        SELECT max_per_buyer INTO most FROM catalog.products WHERE id = p_product AND deleted_at IS NULL FOR UPDATE;
        IF most IS NULL THEN
            RETURN NULL;
        END IF;
        allowed := greatest(0, most - catalog.units_of_buyer(p_product, p_buyer));
    END IF;
    RETURN CASE WHEN p_quantity > allowed THEN allowed END;
END
$$;
