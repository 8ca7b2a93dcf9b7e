-- A promoted place is counted by the cart that it gave a line to.
CREATE FUNCTION reservation.units_of_buyer(p_product uuid, p_buyer uuid) RETURNS bigint LANGUAGE sql AS $$
    SELECT sum(p.quantity) FROM reservation.places p
    WHERE p.user_id = p_buyer AND p.status = 'WAITING' AND p.product_id = p_product
$$;
SELECT catalog.count_for_buyers('reservation.units_of_buyer');

-- As before, and more than one buyer may have is LIMIT, with how many more he may have as `available`.
CREATE OR REPLACE FUNCTION reservation.join_queues(
    p_ids uuid[], p_users uuid[], p_products uuid[], p_colors text[], p_sizes text[], p_quantities integer[],
    p_accept_partial boolean[]
) RETURNS TABLE (
    outcome text, variant_id uuid, available integer, existing uuid, product_id uuid, stream_key text, version bigint
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    FOR i IN 1 .. cardinality(p_ids) LOOP
        available := catalog.over_limit(p_products[i], p_users[i], p_quantities[i]);
        IF available IS NULL THEN
            RETURN QUERY SELECT * FROM reservation.join_queue(
                p_ids[i], p_users[i], p_products[i], p_colors[i], p_sizes[i], p_quantities[i], p_accept_partial[i]);
            CONTINUE;
        END IF;
        -- Who waits already hears that first.
        SELECT p.id INTO existing FROM reservation.places p
          WHERE p.user_id = p_users[i] AND p.status IN ('WAITING', 'PROMOTED') AND p.product_id = p_products[i]
            AND p.color IS NOT DISTINCT FROM p_colors[i] AND p.size IS NOT DISTINCT FROM p_sizes[i];
        outcome := CASE WHEN FOUND THEN 'EXISTS' ELSE 'LIMIT' END;
        RETURN NEXT;
    END LOOP;
END
$$;
