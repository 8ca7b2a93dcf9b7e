-- As before, but set by set: wishes for one product, each of another person, are one statement of each kind. Where one
-- buyer may have only so many, the set is one wish, for what he holds is counted with what he was given just before.
DROP FUNCTION cart.add_items;
DROP FUNCTION cart.add_item;

-- As it was sent: nobody looks into it here.
ALTER TABLE cart.adds ALTER COLUMN answer TYPE json USING answer::json;

-- What became of one wish, `n` of those that were said together, and the line of the cart that it is in.
CREATE TYPE cart.added AS (
    n integer, outcome text, answer json, variant_available integer,
    product_id uuid, stream_key text, version bigint, available_before bigint, available_after bigint,
    item_id uuid, merged boolean, variant_id uuid, product_name text, image_url text, color text, size text,
    quantity integer, unit_price_minor bigint, currency text, status text, timer_enabled boolean,
    expires_at timestamptz, created_at timestamptz, server_time timestamptz, reservation_id uuid,
    main_stream_key text, stream_keys text[]
);

-- Lines for units of one product, for people none of whom comes twice; `n` are the numbers that the rows get.
CREATE FUNCTION cart.add_set(
    p_n integer[], p_users uuid[], p_product uuid, p_colors text[], p_sizes text[], p_quantities integer[],
    p_hold_s double precision, p_streams text[]
) RETURNS SETOF cart.added LANGUAGE plpgsql AS $$
DECLARE
    held catalog.held[];
    refused cart.added;
    moment timestamptz;
BEGIN
    -- The lock in a statement of its own: the next one sees what was committed before it was given.
    SELECT array_agg(h ORDER BY h.n) INTO held FROM catalog.hold_units(p_product, p_colors, p_sizes, p_quantities) h;
    IF NOT EXISTS (SELECT FROM unnest(held) h WHERE h.outcome = 'OK') THEN
        FOR refused.n, refused.outcome, refused.variant_available IN
            SELECT p_n[h.n], h.outcome, h.variant_available FROM unnest(held) h
        LOOP
            RETURN NEXT refused;
        END LOOP;
        RETURN;
    END IF;
    moment := core.now();
    RETURN QUERY
    WITH given AS MATERIALIZED (
        SELECT h.*, w.i, w.user_id, w.color, w.size, w.quantity, gen_random_uuid() AS new_id,
               CASE WHEN w.stream <> h.stream_key THEN w.stream ELSE h.stream_key END AS line_stream_key,
               moment + make_interval(secs => coalesce(h.hold_seconds, p_hold_s)) AS held_until
        FROM unnest(held) h
        JOIN unnest(p_n, p_users, p_colors, p_sizes, p_quantities, p_streams) WITH ORDINALITY
             AS w (i, user_id, color, size, quantity, stream, n) ON w.n = h.n
        WHERE h.outcome = 'OK'
    ), grown AS (
        UPDATE cart.items o SET quantity = o.quantity + found.more
        FROM (SELECT g.i, g.quantity AS more, line.id
              FROM given g CROSS JOIN LATERAL (
                  -- OFFSET 0: by the person alone, for the hot product has lines without number and statistics come late.
                  SELECT o.id FROM (SELECT * FROM cart.items WHERE user_id = g.user_id AND status = 'ACTIVE' OFFSET 0) o
                  WHERE o.variant_id = g.variant_id AND o.reservation_id IS NULL
                    AND o.color IS NOT DISTINCT FROM g.color AND o.size IS NOT DISTINCT FROM g.size
                    AND o.unit_price_minor = g.unit_price_minor AND o.currency = g.currency
                    AND (o.expires_at IS NULL OR o.expires_at > moment)
                  ORDER BY o.created_at LIMIT 1) line) found
        WHERE o.id = found.id RETURNING found.i, o.*
    ), made AS (
        INSERT INTO cart.items AS o (id, user_id, product_id, variant_id, stream_key, product_name, image_url, color, size,
                                     quantity, unit_price_minor, currency, timer_enabled, expires_at, created_at)
        SELECT g.new_id, g.user_id, p_product, g.variant_id, g.line_stream_key, g.name, g.image_url, g.color, g.size,
               g.quantity, g.unit_price_minor, g.currency, g.timer_enabled,
               CASE WHEN g.timer_enabled THEN g.held_until
                    ELSE (SELECT greatest(e.ended_at + interval '24 hours', g.held_until)
                          FROM cart.ended_streams e WHERE e.stream_key = g.line_stream_key) END,
               moment
        FROM given g WHERE g.i NOT IN (SELECT grown.i FROM grown) ORDER BY g.i
        RETURNING o.*
    ), wanted_again AS (
        -- What expired of it is no surprise at the checkout any more.
        UPDATE cart.items o SET told = true
        FROM (SELECT line.id FROM made CROSS JOIN LATERAL (
                  SELECT * FROM cart.items WHERE user_id = made.user_id AND status = 'EXPIRED' AND NOT told OFFSET 0) line
              WHERE line.variant_id = made.variant_id AND line.color IS NOT DISTINCT FROM made.color
                AND line.size IS NOT DISTINCT FROM made.size) found
        WHERE o.id = found.id
    ), lines AS (
        SELECT g.i, made.*, false AS merged FROM made JOIN given g ON g.new_id = made.id
        UNION ALL
        SELECT grown.*, true FROM grown
    )
    SELECT p_n[h.n], h.outcome, NULL::json, h.variant_available, p_product, l.stream_key, h.version, h.available_before,
           h.available_after, l.id, l.merged, h.variant_id, l.product_name, l.image_url, l.color, l.size, l.quantity,
           l.unit_price_minor, l.currency, l.status, l.timer_enabled, l.expires_at, l.created_at, moment, NULL::uuid,
           h.stream_key, h.stream_keys
    FROM unnest(held) h LEFT JOIN lines l ON l.i = p_n[h.n];
END
$$;

-- Many wishes in the order given. outcome: those of catalog.hold_units (NOT_FOUND also where the product is not in the
-- broadcast that the wish names), LIMIT (variant_available is how many more this buyer may have), REPEATED (answer is the
-- stored one) or OTHER_WISH. What is refused leaves nothing behind. Who asks writes the names of what was granted down last.
CREATE FUNCTION cart.add_items(
    p_users uuid[], p_products uuid[], p_colors text[], p_sizes text[], p_quantities integer[], p_hold_s double precision,
    p_clients text[], p_wishes text[], p_streams text[]
) RETURNS SETOF cart.added LANGUAGE plpgsql AS $$
DECLARE
    known integer[] := '{}';
    may_repeat boolean;
    told cart.added;
    looked_at uuid;
    limited boolean;
    shown_in text[];
    set_n integer[] := '{}';
BEGIN
    IF array_remove(p_clients, NULL) <> '{}' THEN
        -- Not EXISTS: each is looked up by its key, whatever statistics say.
        SELECT coalesce(array_agg(w.i), '{}') INTO known
        FROM unnest(p_users, p_clients) WITH ORDINALITY AS w (u, c, i)
        WHERE (SELECT true FROM cart.adds a WHERE a.user_id = w.u AND a.client_id = w.c);
    END IF;
    may_repeat := (SELECT count(*) > count(DISTINCT u) FROM unnest(p_users) u);
    FOR i IN 1 .. cardinality(p_users) + 1 LOOP
        IF set_n <> '{}' AND (p_products[i] IS DISTINCT FROM looked_at OR limited
                              OR may_repeat AND p_users[i] IN (SELECT p_users[n] FROM unnest(set_n) n)) THEN
            RETURN QUERY
            SELECT made.*
            FROM (SELECT array_agg(p_users[n]), array_agg(p_colors[n]), array_agg(p_sizes[n]), array_agg(p_quantities[n]),
                         array_agg(p_streams[n]) FROM unnest(set_n) n) one (users, colors, sizes, quantities, streams)
            CROSS JOIN cart.add_set(set_n, one.users, looked_at, one.colors, one.sizes, one.quantities, p_hold_s, one.streams) made;
            set_n := '{}';
        END IF;
        EXIT WHEN i > cardinality(p_users);
        told := NULL;
        told.n := i;
        IF i = ANY (known) THEN
            SELECT CASE a.wish WHEN p_wishes[i] THEN 'REPEATED' ELSE 'OTHER_WISH' END, a.answer
              INTO told.outcome, told.answer
              FROM cart.adds a WHERE a.user_id = p_users[i] AND a.client_id = p_clients[i];
            RETURN NEXT told;
            CONTINUE;
        END IF;
        IF looked_at IS DISTINCT FROM p_products[i] THEN
            looked_at := p_products[i];
            SELECT p.max_per_buyer IS NOT NULL, p.stream_keys INTO limited, shown_in FROM catalog.products p WHERE p.id = looked_at;
        END IF;
        IF p_streams[i] IS NOT NULL AND p_streams[i] <> ALL (shown_in) THEN
            told.outcome := 'NOT_FOUND';
            RETURN NEXT told;
            CONTINUE;
        END IF;
        IF limited THEN
            told.variant_available := catalog.over_limit(p_products[i], p_users[i], p_quantities[i]);
            IF told.variant_available IS NOT NULL THEN
                told.outcome := 'LIMIT';
                RETURN NEXT told;
                CONTINUE;
            END IF;
        END IF;
        set_n := set_n || i;
    END LOOP;
END
$$;
