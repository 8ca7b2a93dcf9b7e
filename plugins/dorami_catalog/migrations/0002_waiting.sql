ALTER TABLE catalog.variants ADD COLUMN waiting integer NOT NULL DEFAULT 0 CHECK (waiting >= 0);
COMMENT ON COLUMN catalog.variants.waiting IS
    'How many people stand in the queue of this variant; while it is above 0, free units are for its head alone';

-- A variant by its option, with its product locked.
-- outcome: OK, NOT_FOUND, BAD_COLOR, BAD_SIZE or BAD_OPTION. free is what a buyer sees: 0 while sold out by hand.
CREATE FUNCTION catalog.lock_option(
    p_product uuid, p_color text, p_size text,
    OUT outcome text, OUT variant_id uuid, OUT stream_key text, OUT name text, OUT image_url text,
    OUT free integer, OUT waiting integer
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    product catalog.products;
    stock catalog.variants;
BEGIN
    SELECT p.* INTO product FROM catalog.products p WHERE p.id = p_product AND p.deleted_at IS NULL FOR UPDATE;
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
    outcome := 'OK';
    variant_id := stock.id;
    stream_key := product.stream_key;
    name := product.name;
    image_url := product.image_url;
    free := CASE WHEN product.sold_out_by_hand THEN 0 ELSE stock.on_hand - stock.held - stock.committed END;
    waiting := stock.waiting;
END
$$;

-- One step of a variant's queue: so many people more (or fewer) wait, and so many units are held for who was served.
-- The caller has locked the product.
CREATE FUNCTION catalog.step_queue(
    p_variant uuid, p_waiting integer, p_held integer,
    OUT product_id uuid, OUT stream_key text, OUT version bigint, OUT deleted boolean
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    UPDATE catalog.variants v SET waiting = v.waiting + p_waiting, held = v.held + p_held WHERE v.id = p_variant
      RETURNING v.product_id INTO product_id;
    UPDATE catalog.products p SET version = p.version + 1 WHERE p.id = product_id
      RETURNING p.stream_key, p.version, p.deleted_at IS NOT NULL INTO stream_key, version, deleted;
END
$$;

-- As before, and SHORT while others wait for the variant.
CREATE OR REPLACE FUNCTION catalog.hold_units(
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
        variant_available := CASE WHEN product.sold_out_by_hand OR stock.waiting > 0 THEN 0
                                  ELSE stock.on_hand - stock.held - stock.committed END;
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
