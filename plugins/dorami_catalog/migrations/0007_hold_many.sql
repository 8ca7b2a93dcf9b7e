-- What became of one wish for units; `n` counts from 1. `version` and `available_*` are the product's at this wish's turn.
CREATE TYPE catalog.held AS (
    n integer, outcome text, variant_id uuid, variant_available integer, stream_key text, stream_keys text[], name text,
    image_url text, unit_price_minor bigint, currency text, timer_enabled boolean, hold_seconds integer, version bigint,
    available_before bigint, available_after bigint
);

-- What wishes for a product find, in order: the variant as it is with what of it is free, or what is wrong with the
-- options that were chosen.
CREATE FUNCTION catalog.find_options(product catalog.products, p_colors text[], p_sizes text[], p_quantities integer[])
RETURNS TABLE (
    n integer, quantity integer, problem text, variant_id uuid, free integer, on_hand integer, held integer,
    committed integer, waiting integer
) STABLE LANGUAGE sql AS $$
    SELECT w.n::integer, w.quantity,
           CASE WHEN product.id IS NULL THEN 'NOT_FOUND'
                ELSE coalesce(catalog.option_problem(product, w.color, w.size), CASE WHEN v.id IS NULL THEN 'BAD_OPTION' END) END,
           v.id, CASE WHEN product.sold_out_by_hand OR v.waiting > 0 THEN 0 ELSE v.on_hand - v.held - v.committed END,
           v.on_hand, v.held, v.committed, v.waiting
    FROM unnest(p_colors, p_sizes, p_quantities) WITH ORDINALITY AS w (color, size, quantity, n)
    LEFT JOIN catalog.variants v ON v.product_id = product.id AND v.removed_at IS NULL
        AND v.color IS NOT DISTINCT FROM CASE WHEN product.has_variants THEN w.color END
        AND v.size IS NOT DISTINCT FROM CASE WHEN product.has_variants THEN w.size END
    ORDER BY w.n
$$;

-- Units of one product for many, in the order of the arrays: locked once, written once, with an entry of the ledger for
-- each. outcome: OK, NOT_FOUND, BAD_COLOR, BAD_SIZE, BAD_OPTION, or SHORT (also while others wait for the variant), where
-- variant_available are left; all but OK come with nothing else.
DROP FUNCTION catalog.hold_units;
CREATE FUNCTION catalog.hold_units(p_product uuid, p_colors text[], p_sizes text[], p_quantities integer[])
RETURNS SETOF catalog.held LANGUAGE plpgsql AS $$
DECLARE
    product catalog.products;
    wish record;
    held catalog.held;
    all_held catalog.held[];
    entry catalog.ledger;
    entries catalog.ledger[] := '{}';
    variants uuid[] := '{}';
    taken integer[] := '{}';
    at integer;
    available bigint;
BEGIN
    -- First without a lock: the crowd after the last unit must not queue up for its row only to be refused.
    SELECT p.* INTO product FROM catalog.products p WHERE p.id = p_product AND p.deleted_at IS NULL;
    SELECT array_agg((o.n, coalesce(o.problem, CASE WHEN o.free < o.quantity THEN 'SHORT' ELSE 'OK' END), NULL,
                      CASE WHEN o.problem IS NULL THEN o.free END,
                      NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)::catalog.held)
      INTO all_held FROM catalog.find_options(product, p_colors, p_sizes, p_quantities) o;
    IF NOT EXISTS (SELECT FROM unnest(all_held) looked WHERE looked.outcome = 'OK') THEN
        RETURN QUERY SELECT * FROM unnest(all_held);
        RETURN;
    END IF;
    -- The lock in a statement of its own: the options are then those of after it.
    SELECT p.* INTO product FROM catalog.products p WHERE p.id = p_product AND p.deleted_at IS NULL FOR UPDATE;
    available := catalog.available(product);
    entry.product_id := p_product;
    entry.seq := product.ledger_seq;
    entry.hash := product.ledger_head;
    entry.at := core.now();
    entry.tx := pg_current_xact_id()::text::bigint;
    entry.kind := 'HOLD';
    all_held := '{}';
    FOR wish IN SELECT * FROM catalog.find_options(product, p_colors, p_sizes, p_quantities) LOOP
        held := NULL;
        held.n := wish.n;
        held.outcome := wish.problem;
        IF wish.problem IS NULL THEN
            at := array_position(variants, wish.variant_id);
            IF at IS NULL THEN
                variants := variants || wish.variant_id;
                taken := taken || 0;
                at := cardinality(taken);
            END IF;
            held.variant_available := wish.free - taken[at];
            held.outcome := CASE WHEN held.variant_available < wish.quantity THEN 'SHORT' ELSE 'OK' END;
        END IF;
        IF held.outcome = 'OK' THEN
            taken[at] := taken[at] + wish.quantity;
            held.variant_id := wish.variant_id;
            held.variant_available := held.variant_available - wish.quantity;
            held.stream_key := product.stream_key;
            held.stream_keys := product.stream_keys;
            held.name := product.name;
            held.image_url := product.image_url;
            held.unit_price_minor := catalog.final_price(product);
            held.currency := product.currency;
            held.timer_enabled := product.timer_enabled;
            held.hold_seconds := product.hold_seconds;
            product.version := product.version + 1;
            held.version := product.version;
            held.available_before := available;
            available := available - wish.quantity;
            held.available_after := available;
            entry.seq := entry.seq + 1;
            entry.variant_id := wish.variant_id;
            entry.quantity := wish.quantity;
            entry.on_hand := wish.on_hand;
            entry.held := wish.held + taken[at];
            entry.committed := wish.committed;
            entry.waiting := wish.waiting;
            entry.hash := catalog.entry_hash(entry.hash, entry);
            entries := entries || entry;
        END IF;
        all_held := all_held || held;
    END LOOP;
    IF entries <> '{}' THEN
        INSERT INTO catalog.ledger SELECT * FROM unnest(entries);
        UPDATE catalog.variants v SET held = v.held + d.n FROM unnest(variants, taken) AS d (variant, n)
          WHERE v.id = d.variant AND d.n > 0;
        UPDATE catalog.products p SET version = product.version, ledger_seq = entry.seq, ledger_head = entry.hash
          WHERE p.id = p_product;
    END IF;
    RETURN QUERY SELECT * FROM unnest(all_held);
END
$$;
