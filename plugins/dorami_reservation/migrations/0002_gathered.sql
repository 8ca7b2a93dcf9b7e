-- As before, and it counts the one who waits and writes the ledger itself: one statement is all of a join.
DROP FUNCTION reservation.join_queue;
CREATE FUNCTION reservation.join_queue(
    p_id uuid, p_user uuid, p_product uuid, p_color text, p_size text, p_quantity integer, p_accept_partial boolean,
    OUT outcome text, OUT variant_id uuid, OUT available integer, OUT existing uuid, OUT product_id uuid,
    OUT stream_key text, OUT version bigint
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    stock record;
    next integer;
BEGIN
    SELECT * INTO stock FROM catalog.lock_option(p_product, p_color, p_size);
    outcome := stock.outcome;
    IF outcome <> 'OK' THEN
        RETURN;
    END IF;
    variant_id := stock.variant_id;
    available := stock.free;
    SELECT o.id INTO existing FROM reservation.places o
      WHERE o.user_id = p_user AND o.variant_id = stock.variant_id AND o.status IN ('WAITING', 'PROMOTED');
    IF FOUND THEN
        outcome := 'EXISTS';
        RETURN;
    END IF;
    IF stock.waiting = 0 AND stock.free > 0 THEN
        outcome := 'FREE';
        RETURN;
    END IF;
    INSERT INTO reservation.counters AS c (product_id, last) VALUES (p_product, 1)
      ON CONFLICT (product_id) DO UPDATE SET last = c.last + 1 RETURNING c.last INTO next;
    INSERT INTO reservation.places (id, user_id, product_id, variant_id, number, stream_key, product_name, image_url,
                                    color, size, quantity, accept_partial)
      VALUES (p_id, p_user, p_product, stock.variant_id, next, stock.stream_key, stock.name, stock.image_url,
              p_color, p_size, p_quantity, p_accept_partial);
    product_id := p_product;
    stream_key := stock.stream_key;
    SELECT s.version INTO version
      FROM catalog.step_queue(stock.variant_id, 'WAIT', p_quantity, next, p_accept_partial, NULL) s;
END
$$;

-- Many joins in the order given, one row for each.
CREATE FUNCTION reservation.join_queues(
    p_ids uuid[], p_users uuid[], p_products uuid[], p_colors text[], p_sizes text[], p_quantities integer[],
    p_accept_partial boolean[]
) RETURNS TABLE (
    outcome text, variant_id uuid, available integer, existing uuid, product_id uuid, stream_key text, version bigint
) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. cardinality(p_ids) LOOP
        RETURN QUERY SELECT * FROM reservation.join_queue(
            p_ids[i], p_users[i], p_products[i], p_colors[i], p_sizes[i], p_quantities[i], p_accept_partial[i]);
    END LOOP;
END
$$;
