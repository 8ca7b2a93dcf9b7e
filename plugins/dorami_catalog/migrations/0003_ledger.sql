-- What happened to a product's units, without saying to whom: one chain per product. Its head is in the product's row,
-- which is locked anyway, so chains never wait for each other.
ALTER TABLE catalog.products
    ADD COLUMN ledger_seq bigint NOT NULL DEFAULT 0,
    ADD COLUMN ledger_head bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex');

CREATE TABLE catalog.ledger (
    product_id uuid NOT NULL REFERENCES catalog.products,
    seq bigint NOT NULL,
    at timestamptz NOT NULL,
    tx bigint NOT NULL,
    kind text NOT NULL CHECK (kind IN ('BEGIN', 'STOCK', 'HOLD', 'RELEASE', 'ORDER', 'TAKE', 'RETURN', 'SHIP',
                                       'WAIT', 'LEAVE', 'PROMOTE', 'CLOSE', 'OPEN', 'DELETE')),
    variant_id uuid,
    quantity integer NOT NULL,
    number integer,
    partial boolean,
    rule text,
    on_hand integer NOT NULL,
    held integer NOT NULL,
    committed integer NOT NULL,
    waiting integer NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (product_id, seq)
);
COMMENT ON TABLE catalog.ledger IS 'Append-only; README.md says what each kind means';
COMMENT ON COLUMN catalog.ledger.tx IS 'Entries with one number were committed together';
COMMENT ON COLUMN catalog.ledger.on_hand IS 'This counter, and those that follow, as they are after the entry';

CREATE FUNCTION catalog.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%.% is append-only', TG_TABLE_SCHEMA, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON catalog.ledger
    FOR EACH STATEMENT EXECUTE FUNCTION catalog.refuse_change();

-- SHA-256 of the entry before and of all fields of this one, in their order, with | between and nothing for null.
CREATE FUNCTION catalog.entry_hash(p_before bytea, e catalog.ledger) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT sha256(p_before || convert_to(
        e.product_id || '|' || e.seq || '|' || (extract(epoch FROM e.at) * 1000000)::bigint || '|' || e.tx || '|' || e.kind
        || '|' || coalesce(e.variant_id::text, '') || '|' || e.quantity || '|' || coalesce(e.number::text, '') || '|'
        || CASE e.partial WHEN true THEN 't' WHEN false THEN 'f' ELSE '' END || '|' || e.on_hand || '|' || e.held || '|'
        || e.committed || '|' || e.waiting || '|' || coalesce(e.rule, ''), 'UTF8'))
$$;

-- Adds an entry about a locked product, with the counters of the variant as they are now, and raises the product's
-- version by p_version; returns the version.
CREATE FUNCTION catalog.append(
    p_product uuid, p_variant uuid, p_kind text, p_quantity integer, p_number integer, p_partial boolean, p_rule text,
    p_version integer
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    entry catalog.ledger;
    before bytea;
    version bigint;
BEGIN
    SELECT p.ledger_seq + 1, p.ledger_head INTO entry.seq, before FROM catalog.products p WHERE p.id = p_product;
    SELECT v.on_hand, v.held, v.committed, v.waiting INTO entry.on_hand, entry.held, entry.committed, entry.waiting
      FROM catalog.variants v WHERE v.id = p_variant;
    IF NOT FOUND THEN
        entry.on_hand := 0;
        entry.held := 0;
        entry.committed := 0;
        entry.waiting := 0;
    END IF;
    entry.product_id := p_product;
    entry.at := core.now();
    entry.tx := pg_current_xact_id()::text::bigint;
    entry.kind := p_kind;
    entry.variant_id := p_variant;
    entry.quantity := p_quantity;
    entry.number := p_number;
    entry.partial := p_partial;
    entry.rule := p_rule;
    entry.hash := catalog.entry_hash(before, entry);
    INSERT INTO catalog.ledger VALUES (entry.*);
    UPDATE catalog.products p SET version = p.version + p_version, ledger_seq = entry.seq, ledger_head = entry.hash
      WHERE p.id = p_product RETURNING p.version INTO version;
    RETURN version;
END
$$;

-- What was there before the ledger.
SELECT catalog.append(v.product_id, v.id, 'BEGIN', v.on_hand, NULL, NULL, NULL, 0)
  FROM (SELECT * FROM catalog.variants WHERE removed_at IS NULL OR held > 0 OR committed > 0 ORDER BY product_id, position) v;
SELECT catalog.append(p.id, NULL, 'CLOSE', 0, NULL, NULL, NULL, 0) FROM catalog.products p WHERE p.sold_out_by_hand;
SELECT catalog.append(p.id, NULL, 'DELETE', 0, NULL, NULL, NULL, 0) FROM catalog.products p WHERE p.deleted_at IS NOT NULL;

-- As before, with the number of the place, what was wanted (a part will do or not) or given, and a policy's rule.
DROP FUNCTION catalog.step_queue;
CREATE FUNCTION catalog.step_queue(
    p_variant uuid, p_kind text, p_quantity integer, p_number integer, p_partial boolean, p_rule text,
    OUT product_id uuid, OUT stream_key text, OUT version bigint, OUT deleted boolean
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    UPDATE catalog.variants v
      SET waiting = v.waiting + CASE p_kind WHEN 'WAIT' THEN 1 ELSE -1 END,
          held = v.held + CASE p_kind WHEN 'PROMOTE' THEN p_quantity ELSE 0 END
      WHERE v.id = p_variant RETURNING v.product_id INTO product_id;
    version := catalog.append(product_id, p_variant, p_kind, p_quantity, p_number, p_partial, p_rule, 1);
    SELECT p.stream_key, p.deleted_at IS NOT NULL INTO stream_key, deleted FROM catalog.products p WHERE p.id = product_id;
END
$$;

-- As before, with an entry.
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
            SELECT p.* INTO product FROM catalog.products p WHERE p.id = p_product AND p.deleted_at IS NULL FOR UPDATE;
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
    version := catalog.append(p_product, stock.id, 'HOLD', p_quantity, NULL, NULL, NULL, 1);
    outcome := 'OK';
    variant_id := stock.id;
    stream_key := product.stream_key;
    name := product.name;
    image_url := product.image_url;
    unit_price_minor := catalog.final_price(product);
    currency := product.currency;
    timer_enabled := product.timer_enabled;
    hold_seconds := product.hold_seconds;
    available_after := available_before - p_quantity;
    variant_available := variant_available - p_quantity;
END
$$;

-- As before, with an entry for each variant.
CREATE OR REPLACE FUNCTION catalog.change_units(
    p_variants uuid[], p_on_hand integer, p_held integer, p_committed integer, p_quantities integer[], p_visible boolean
) RETURNS TABLE (
    product_id uuid, stream_key text, version bigint, available_before bigint, available_after bigint, deleted boolean,
    variant_ids uuid[], short_variant uuid, short_available integer
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    before jsonb;
    moved record;
    kind text := CASE (p_on_hand, p_held, p_committed)
        WHEN (0, 1, 0) THEN 'HOLD' WHEN (0, -1, 0) THEN 'RELEASE' WHEN (0, -1, 1) THEN 'ORDER'
        WHEN (0, 0, 1) THEN 'TAKE' WHEN (0, 0, -1) THEN 'RETURN' WHEN (-1, 0, -1) THEN 'SHIP' END;
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
    FOR moved IN
        SELECT v.product_id, v.id, d.n, row_number() OVER (PARTITION BY v.product_id ORDER BY v.id) = 1 AS is_first
        FROM catalog.variants v
        JOIN (SELECT variant, sum(n)::integer AS n FROM unnest(p_variants, p_quantities) AS u (variant, n) GROUP BY 1) d
          ON d.variant = v.id
        ORDER BY v.product_id, v.id
    LOOP
        PERFORM catalog.append(moved.product_id, moved.id, kind, moved.n, NULL, NULL, NULL,
                               CASE WHEN p_visible AND moved.is_first THEN 1 ELSE 0 END);
    END LOOP;
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
