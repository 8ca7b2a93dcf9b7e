-- Many places in the queues of one product, given in the order of the arrays by one statement; a row for each, `n` from 1.
-- outcome: OK, EXISTS (existing is the place), LIMIT (of what one buyer may have, available is left), FREE (available units
-- and nobody waits), or those of catalog.lock_option.
DROP FUNCTION reservation.join_queues;
DROP FUNCTION reservation.join_queue;
CREATE FUNCTION reservation.join_queue(
    p_product uuid, p_ids uuid[], p_users uuid[], p_colors text[], p_sizes text[], p_quantities integer[],
    p_partial boolean[]
) RETURNS TABLE (
    n bigint, outcome text, variant_id uuid, available integer, existing uuid, stream_key text, product_name text,
    image_url text, number integer, "position" bigint, created_at timestamptz, version bigint
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    limited boolean;
BEGIN
    -- The lock in a statement of its own: the next one sees what was committed before it was given.
    PERFORM catalog.lock_option(p_product, p_colors[1], p_sizes[1]);
    SELECT p.max_per_buyer IS NOT NULL INTO limited FROM catalog.products p WHERE p.id = p_product;
    IF limited AND cardinality(p_ids) > 1 THEN
        -- What one buyer may have is counted with what he was given just before.
        FOR i IN 1 .. cardinality(p_ids) LOOP
            RETURN QUERY SELECT i::bigint, one.outcome, one.variant_id, one.available, one.existing, one.stream_key,
                                one.product_name, one.image_url, one.number, one.position, one.created_at, one.version
              FROM reservation.join_queue(p_product, p_ids[i:i], p_users[i:i], p_colors[i:i], p_sizes[i:i],
                                          p_quantities[i:i], p_partial[i:i]) one;
        END LOOP;
        RETURN;
    END IF;
    RETURN QUERY
    WITH options AS MATERIALIZED (
        SELECT o.color, o.size, stock.*
        FROM (SELECT DISTINCT u.color, u.size FROM unnest(p_colors, p_sizes) AS u (color, size)) o
        CROSS JOIN LATERAL catalog.lock_option(p_product, o.color, o.size) stock
    ), judged AS MATERIALIZED (
        -- Of two wishes of one person for one variant the first is served, and the second finds it.
        SELECT w.*, o.variant_id, o.stream_key, o.name, o.image_url, o.free, o.waiting, buyer.may,
               coalesce(there.id, nullif(first_value(w.id) OVER same, w.id)) AS existing,
               CASE WHEN o.outcome <> 'OK' THEN o.outcome
                    WHEN there.id IS NOT NULL THEN 'EXISTS'
                    WHEN buyer.may IS NOT NULL THEN 'LIMIT'
                    WHEN o.waiting = 0 AND o.free > 0 THEN 'FREE'
                    WHEN row_number() OVER same > 1 THEN 'EXISTS'
                    ELSE 'OK' END AS outcome
        FROM unnest(p_ids, p_users, p_colors, p_sizes, p_quantities, p_partial)
             WITH ORDINALITY AS w (id, user_id, color, size, quantity, partial, n)
        JOIN options o ON o.color IS NOT DISTINCT FROM w.color AND o.size IS NOT DISTINCT FROM w.size
        CROSS JOIN LATERAL (SELECT CASE WHEN limited THEN catalog.over_limit(p_product, w.user_id, w.quantity) END AS may) buyer
        LEFT JOIN reservation.places there ON there.user_id = w.user_id AND there.variant_id = o.variant_id
                                           AND there.status IN ('WAITING', 'PROMOTED')
        WINDOW same AS (PARTITION BY w.user_id, o.variant_id ORDER BY w.n)
    ), counted AS (
        INSERT INTO reservation.counters AS c (product_id, last)
        SELECT p_product, count(*) FROM judged WHERE outcome = 'OK' HAVING count(*) > 0
        ON CONFLICT (product_id) DO UPDATE SET last = c.last + excluded.last
        RETURNING c.last
    ), placed AS (
        INSERT INTO reservation.places (id, user_id, product_id, variant_id, number, stream_key, product_name, image_url,
                                        color, size, quantity, accept_partial)
        SELECT j.id, j.user_id, p_product, j.variant_id, c.last - count(*) OVER () + row_number() OVER (ORDER BY j.n),
               j.stream_key, j.name, j.image_url, j.color, j.size, j.quantity, j.partial
        FROM judged j CROSS JOIN counted c WHERE j.outcome = 'OK'
        RETURNING id, variant_id, quantity, number, accept_partial, created_at
    ), written AS MATERIALIZED (
        SELECT catalog.enqueue(p_product, array_agg(p.variant_id ORDER BY p.number), array_agg(p.quantity ORDER BY p.number),
                               array_agg(p.number ORDER BY p.number), array_agg(p.accept_partial ORDER BY p.number)) AS version
        FROM placed p HAVING count(*) > 0
    )
    SELECT j.n, j.outcome, j.variant_id, coalesce(j.may, j.free), j.existing, j.stream_key, j.name,
           j.image_url, p.number, j.waiting + rank() OVER (PARTITION BY j.variant_id, p.id IS NULL ORDER BY j.n), p.created_at, w.version
    FROM judged j LEFT JOIN placed p ON p.id = j.id LEFT JOIN written w ON true ORDER BY j.n;
END
$$;
