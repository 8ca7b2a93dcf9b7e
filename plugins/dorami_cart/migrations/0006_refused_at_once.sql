-- As before; and who wants no less of what somebody before him in the same statement could not get is refused without a
-- look of his own, for within it nothing comes free.
CREATE OR REPLACE FUNCTION cart.add_items(
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
    are_named boolean;
    taken integer[];
    said record;
    added record;
    short integer;
    short_available integer;
BEGIN
    are_named := array_remove(p_clients, NULL) <> '{}';
    IF are_named THEN
        WITH named AS (
            INSERT INTO cart.adds (user_id, client_id, wish)
            SELECT w.u, w.c, w.wish FROM unnest(p_users, p_clients, p_wishes) AS w (u, c, wish)
            WHERE w.c IS NOT NULL ORDER BY w.u, w.c
            ON CONFLICT DO NOTHING RETURNING user_id, client_id
        )
        SELECT array_agg(w.i) INTO taken
        FROM unnest(p_users, p_clients) WITH ORDINALITY AS w (u, c, i)
        WHERE w.c IS NULL OR EXISTS (SELECT FROM named WHERE named.user_id = w.u AND named.client_id = w.c);
    END IF;
    FOR i IN 1 .. cardinality(p_users) LOOP
        n := i;
        answer := NULL;
        IF NOT are_named OR i = ANY (taken) THEN
            IF p_products[i] = p_products[short] AND p_quantities[i] >= p_quantities[short]
               AND (p_colors[i], p_sizes[i]) IS NOT DISTINCT FROM (p_colors[short], p_sizes[short]) THEN
                outcome := 'SHORT';
                variant_available := short_available;
                RETURN NEXT;
                CONTINUE;
            END IF;
            SELECT * INTO added FROM cart.add_item(p_users[i], p_products[i], p_colors[i], p_sizes[i], p_quantities[i],
                                                   p_hold_s, NULL, p_wishes[i]);
            IF added.outcome = 'SHORT' THEN
                short := i;
                short_available := added.variant_available;
            END IF;
            outcome := added.outcome;
            answer := added.answer;
            variant_available := added.variant_available;
            product_id := added.product_id;
            stream_key := added.stream_key;
            version := added.version;
            available_before := added.available_before;
            available_after := added.available_after;
            item_id := added.item_id;
            merged := added.merged;
            variant_id := added.variant_id;
            product_name := added.product_name;
            image_url := added.image_url;
            color := added.color;
            size := added.size;
            quantity := added.quantity;
            unit_price_minor := added.unit_price_minor;
            currency := added.currency;
            status := added.status;
            timer_enabled := added.timer_enabled;
            expires_at := added.expires_at;
            created_at := added.created_at;
            server_time := added.server_time;
            reservation_id := added.reservation_id;
            RETURN NEXT;
        ELSE
            SELECT CASE a.wish WHEN p_wishes[i] THEN 'REPEATED' ELSE 'OTHER_WISH' END AS outcome, a.answer INTO said
              FROM cart.adds a WHERE a.user_id = p_users[i] AND a.client_id = p_clients[i];
            outcome := said.outcome;
            answer := said.answer;
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;
