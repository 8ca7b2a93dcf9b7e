CREATE SCHEMA catalog;

CREATE TABLE catalog.products (
    id uuid PRIMARY KEY,
    stream_key text,
    name text NOT NULL CHECK (name <> ''),
    price_minor bigint NOT NULL CHECK (price_minor >= 0),
    currency text NOT NULL,
    discount_rate integer NOT NULL DEFAULT 0 CHECK (discount_rate BETWEEN 0 AND 100),
    color_options text[] NOT NULL DEFAULT '{}',
    size_options text[] NOT NULL DEFAULT '{}',
    has_variants boolean NOT NULL,
    sold_out_by_hand boolean NOT NULL DEFAULT false,
    image_url text,
    sort_order integer NOT NULL DEFAULT 0,
    timer_enabled boolean NOT NULL DEFAULT true,
    hold_seconds integer CHECK (hold_seconds > 0),
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT core.now(),
    deleted_at timestamptz
) WITH (fillfactor = 70);
COMMENT ON TABLE catalog.products IS 'Its row lock is the umbrella over its variants and their counters (LOCKING.md)';
CREATE INDEX products_by_stream ON catalog.products (stream_key, sort_order, created_at) WHERE deleted_at IS NULL;
CREATE INDEX products_in_order ON catalog.products (sort_order, created_at, id) WHERE deleted_at IS NULL;

CREATE TABLE catalog.variants (
    id uuid PRIMARY KEY,
    product_id uuid NOT NULL REFERENCES catalog.products,
    color text,
    size text,
    position integer NOT NULL,
    on_hand integer NOT NULL,
    held integer NOT NULL DEFAULT 0,
    committed integer NOT NULL DEFAULT 0,
    removed_at timestamptz,
    CONSTRAINT stock_is_never_negative CHECK (
        on_hand >= 0 AND held >= 0 AND committed >= 0 AND on_hand - held - committed >= 0
    ),
    CONSTRAINT removed_variants_are_empty CHECK (removed_at IS NULL OR on_hand = 0)
) WITH (fillfactor = 70);
COMMENT ON COLUMN catalog.variants.held IS 'Units in active cart items';
COMMENT ON COLUMN catalog.variants.committed IS 'Units of orders that are PENDING_PAYMENT, or PAID and not shipped';
CREATE UNIQUE INDEX variants_by_option ON catalog.variants (product_id, color, size) NULLS NOT DISTINCT
    WHERE removed_at IS NULL;

-- What is free of a product as a buyer sees it: nothing while it is sold out by hand or deleted.
CREATE FUNCTION catalog.available(p_product catalog.products) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN p_product.sold_out_by_hand OR p_product.deleted_at IS NOT NULL THEN 0 ELSE
        (SELECT coalesce(sum(on_hand - held - committed), 0) FROM catalog.variants
         WHERE product_id = p_product.id AND removed_at IS NULL) END
$$;

-- The price a cart takes, half up to the minor unit.
CREATE FUNCTION catalog.final_price(p_product catalog.products) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT (p_product.price_minor * (100 - p_product.discount_rate) + 50) / 100
$$;

-- What is wrong with a chosen option of a product that keeps one stock for all of them; null: nothing.
CREATE FUNCTION catalog.option_problem(p_product catalog.products, p_color text, p_size text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN p_product.has_variants THEN NULL
        WHEN (p_color IS NULL) <> (cardinality(p_product.color_options) = 0)
            OR (p_color IS NOT NULL AND p_color <> ALL (p_product.color_options)) THEN 'BAD_COLOR'
        WHEN (p_size IS NULL) <> (cardinality(p_product.size_options) = 0)
            OR (p_size IS NOT NULL AND p_size <> ALL (p_product.size_options)) THEN 'BAD_SIZE'
    END
$$;

-- Takes units for a cart: locks product and variant, checks the option, counts, and gives what a line of a cart needs.
-- outcome: OK, NOT_FOUND, BAD_COLOR, BAD_SIZE, BAD_OPTION or SHORT; the caller rolls back on all but OK, and after OK
-- gives (product_id, stream_key, version, available_before, available_after) to CatalogApi.announce.
CREATE FUNCTION catalog.hold_units(
    p_product uuid, p_color text, p_size text, p_quantity integer,
    OUT outcome text, OUT variant_id uuid, OUT stream_key text, OUT name text, OUT image_url text,
    OUT unit_price_minor bigint, OUT currency text, OUT timer_enabled boolean, OUT hold_seconds integer,
    OUT version bigint, OUT available_before bigint, OUT available_after bigint, OUT variant_available integer
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    product catalog.products;
    stock catalog.variants;
BEGIN
    -- First without locks: the crowd after the last unit must not queue up for its row only to be refused.
    FOREACH outcome IN ARRAY ARRAY['UNLOCKED', 'LOCKED'] LOOP
        IF outcome = 'UNLOCKED' THEN
            SELECT p.* INTO product FROM catalog.products p WHERE p.id = p_product AND p.deleted_at IS NULL;
        ELSE
            UPDATE catalog.products p SET version = p.version + 1 WHERE p.id = p_product AND p.deleted_at IS NULL
              RETURNING p.* INTO product;
        END IF;
        IF NOT FOUND THEN
            outcome := 'NOT_FOUND';
            RETURN;
        END IF;
        outcome := catalog.option_problem(product, p_color, p_size);
        IF outcome IS NOT NULL THEN
            RETURN;
        END IF;
        SELECT v.* INTO stock FROM catalog.variants v
          WHERE v.product_id = p_product AND v.removed_at IS NULL
            AND v.color IS NOT DISTINCT FROM CASE WHEN product.has_variants THEN p_color END
            AND v.size IS NOT DISTINCT FROM CASE WHEN product.has_variants THEN p_size END;
        IF NOT FOUND THEN
            outcome := 'BAD_OPTION';
            RETURN;
        END IF;
        variant_available := CASE WHEN product.sold_out_by_hand THEN 0 ELSE stock.on_hand - stock.held - stock.committed END;
        IF variant_available < p_quantity THEN
            outcome := 'SHORT';
            RETURN;
        END IF;
    END LOOP;
    available_before := catalog.available(product);
    UPDATE catalog.variants v SET held = v.held + p_quantity WHERE v.id = stock.id;
    outcome := 'OK';
    variant_id := stock.id;
    stream_key := product.stream_key;
    name := product.name;
    image_url := product.image_url;
    unit_price_minor := catalog.final_price(product);
    currency := product.currency;
    timer_enabled := product.timer_enabled;
    hold_seconds := product.hold_seconds;
    version := product.version;
    available_after := available_before - p_quantity;
    variant_available := variant_available - p_quantity;
END
$$;

-- Moves units of many variants between on hand, held and committed, all or nothing. Where one would fall short nothing
-- changes, and the rows are the short variants (with `short_variant`); else one row per product.
CREATE FUNCTION catalog.change_units(
    p_variants uuid[], p_on_hand integer, p_held integer, p_committed integer, p_quantities integer[], p_visible boolean
) RETURNS TABLE (
    product_id uuid, stream_key text, version bigint, available_before bigint, available_after bigint, deleted boolean,
    variant_ids uuid[], short_variant uuid, short_available integer
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    before jsonb;
BEGIN
    PERFORM FROM catalog.products p
      WHERE p.id IN (SELECT v.product_id FROM catalog.variants v WHERE v.id = ANY (p_variants))
      ORDER BY p.id FOR UPDATE;
    RETURN QUERY
      SELECT v.product_id, NULL::text, NULL::bigint, NULL::bigint, NULL::bigint, NULL::boolean,
             NULL::uuid[], v.id, v.on_hand - v.held - v.committed
      FROM catalog.variants v
      JOIN (SELECT variant, sum(n)::integer AS n FROM unnest(p_variants, p_quantities) AS u (variant, n) GROUP BY 1) d
        ON d.variant = v.id
      WHERE v.on_hand - v.held - v.committed + (p_on_hand - p_held - p_committed) * d.n < 0;
    IF FOUND THEN
        RETURN;
    END IF;
    SELECT jsonb_object_agg(p.id, catalog.available(p)) INTO before FROM catalog.products p
      WHERE p.id IN (SELECT v.product_id FROM catalog.variants v WHERE v.id = ANY (p_variants));
    UPDATE catalog.variants v
      SET on_hand = v.on_hand + p_on_hand * d.n, held = v.held + p_held * d.n, committed = v.committed + p_committed * d.n
      FROM (SELECT variant, sum(n)::integer AS n FROM unnest(p_variants, p_quantities) AS u (variant, n) GROUP BY 1) d
      WHERE d.variant = v.id;
    IF p_visible THEN
        UPDATE catalog.products p SET version = p.version + 1
          WHERE p.id IN (SELECT v.product_id FROM catalog.variants v WHERE v.id = ANY (p_variants));
    END IF;
    RETURN QUERY
      SELECT p.id, p.stream_key, p.version, (before ->> p.id::text)::bigint, catalog.available(p),
             p.deleted_at IS NOT NULL,
             ARRAY(SELECT v.id FROM catalog.variants v WHERE v.product_id = p.id AND v.id = ANY (p_variants)),
             NULL::uuid, NULL::integer
      FROM catalog.products p
      WHERE p.id IN (SELECT v.product_id FROM catalog.variants v WHERE v.id = ANY (p_variants))
      ORDER BY p.id;
END
$$;
