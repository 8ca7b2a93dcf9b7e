-- As before; a wish may name the broadcast it was made in (NOT_FOUND where the product is not in it), more than one
-- buyer may have is LIMIT, with how many more he may have, and `stream_keys` are all that show the product. Who wants no
-- less of what somebody before him in the same statement could not get is refused without a look of his own, for within
-- it nothing comes free.
DROP FUNCTION cart.add_items;
CREATE FUNCTION cart.add_items(
    p_users uuid[], p_products uuid[], p_colors text[], p_sizes text[], p_quantities integer[], p_hold_s double precision,
    p_clients text[], p_wishes text[], p_streams text[]
) RETURNS TABLE (
    n integer, outcome text, answer jsonb, variant_available integer,
    product_id uuid, stream_key text, version bigint, available_before bigint, available_after bigint,
    item_id uuid, merged boolean, variant_id uuid, product_name text, image_url text, color text, size text,
    quantity integer, unit_price_minor bigint, currency text, status text, timer_enabled boolean,
    expires_at timestamptz, created_at timestamptz, server_time timestamptz, reservation_id uuid,
    main_stream_key text, stream_keys text[]
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    are_named boolean;
    taken integer[];
    said record;
    shown record;
    added record;
    allowed integer;
    looked_at uuid;
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
        IF are_named AND i = ANY (taken) IS NOT TRUE THEN
            SELECT CASE a.wish WHEN p_wishes[i] THEN 'REPEATED' ELSE 'OTHER_WISH' END AS outcome, a.answer INTO said
              FROM cart.adds a WHERE a.user_id = p_users[i] AND a.client_id = p_clients[i];
            outcome := said.outcome;
            answer := said.answer;
            RETURN NEXT;
            CONTINUE;
        END IF;
        IF looked_at IS DISTINCT FROM p_products[i] THEN
            looked_at := p_products[i];
            SELECT p.max_per_buyer, p.stream_keys, p.hold_seconds INTO shown FROM catalog.products p WHERE p.id = looked_at;
        END IF;
        answer := NULL;
        IF p_streams[i] IS NOT NULL AND p_streams[i] <> ALL (shown.stream_keys) THEN
            outcome := 'NOT_FOUND';
            RETURN NEXT;
            CONTINUE;
        END IF;
        IF shown.max_per_buyer IS NOT NULL THEN
            allowed := catalog.over_limit(p_products[i], p_users[i], p_quantities[i]);
            IF allowed IS NOT NULL THEN
                outcome := 'LIMIT';
                variant_available := allowed;
                RETURN NEXT;
                CONTINUE;
            END IF;
        END IF;
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
        main_stream_key := added.stream_key;
        IF added.outcome = 'OK' AND NOT added.merged AND p_streams[i] <> main_stream_key THEN
            -- A line without a timer lives as its own broadcast says.
            UPDATE cart.items o SET stream_key = p_streams[i], expires_at = CASE WHEN o.timer_enabled THEN o.expires_at
                ELSE (SELECT greatest(e.ended_at + interval '24 hours',
                                      o.created_at + make_interval(secs => coalesce(shown.hold_seconds, p_hold_s)))
                      FROM cart.ended_streams e WHERE e.stream_key = p_streams[i]) END
              WHERE o.id = added.item_id RETURNING o.stream_key, o.expires_at INTO added.stream_key, added.expires_at;
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
        stream_keys := shown.stream_keys;
        RETURN NEXT;
    END LOOP;
END
$$;
