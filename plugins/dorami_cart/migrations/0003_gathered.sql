-- Many wishes for products in one statement, in the order given: the hot path of a flash sale. Each is as in
-- cart.add_item; what is refused leaves nothing behind, so nothing has to be rolled back.
-- All names are taken before any product is locked, in one order: LOCKING.md of the catalogue.
CREATE FUNCTION cart.add_items(
    p_users uuid[], p_products uuid[], p_colors text[], p_sizes text[], p_quantities integer[], p_hold_s double precision,
    p_clients text[], p_wishes text[]
) RETURNS TABLE (
    n integer, outcome text, answer jsonb, variant_available integer,
    product_id uuid, stream_key text, version bigint, available_before bigint, available_after bigint,
    item_id uuid, merged boolean, variant_id uuid, product_name text, image_url text, color text, size text,
    quantity integer, unit_price_minor bigint, currency text, status text, timer_enabled boolean,
    expires_at timestamptz, created_at timestamptz, server_time timestamptz, reservation_id uuid
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    taken integer[];
    said record;
BEGIN
    WITH named AS (
        INSERT INTO cart.adds (user_id, client_id, wish)
        SELECT w.u, w.c, w.wish FROM unnest(p_users, p_clients, p_wishes) AS w (u, c, wish)
        WHERE w.c IS NOT NULL ORDER BY w.u, w.c
        ON CONFLICT DO NOTHING RETURNING user_id, client_id
    )
    SELECT array_agg(w.i) INTO taken
    FROM unnest(p_users, p_clients) WITH ORDINALITY AS w (u, c, i)
    WHERE w.c IS NULL OR EXISTS (SELECT FROM named WHERE named.user_id = w.u AND named.client_id = w.c);
    FOR i IN 1 .. cardinality(p_users) LOOP
        IF i = ANY (taken) THEN
            RETURN QUERY SELECT i, a.outcome, a.answer, a.variant_available, a.product_id, a.stream_key, a.version,
                a.available_before, a.available_after, a.item_id, a.merged, a.variant_id, a.product_name, a.image_url,
                a.color, a.size, a.quantity, a.unit_price_minor, a.currency, a.status, a.timer_enabled, a.expires_at,
                a.created_at, a.server_time, a.reservation_id
              FROM cart.add_item(p_users[i], p_products[i], p_colors[i], p_sizes[i], p_quantities[i], p_hold_s, NULL,
                                 p_wishes[i]) a;
        ELSE
            SELECT CASE a.wish WHEN p_wishes[i] THEN 'REPEATED' ELSE 'OTHER_WISH' END AS outcome, a.answer INTO said
              FROM cart.adds a WHERE a.user_id = p_users[i] AND a.client_id = p_clients[i];
            n := i;
            outcome := said.outcome;
            answer := said.answer;
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;
