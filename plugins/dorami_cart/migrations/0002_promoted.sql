ALTER TABLE cart.items ADD COLUMN reservation_id uuid;
COMMENT ON COLUMN cart.items.reservation_id IS 'The place in a queue that this line was given for';
CREATE INDEX items_active_by_variant ON cart.items (variant_id, expires_at) WHERE status = 'ACTIVE';

-- As before, but nothing merges with a line that was given to somebody who waited.
DROP FUNCTION cart.add_item;
CREATE FUNCTION cart.add_item(
    p_user uuid, p_product uuid, p_color text, p_size text, p_quantity integer, p_hold_s double precision,
    p_client text, p_wish text,
    OUT outcome text, OUT answer jsonb, OUT variant_available integer,
    OUT product_id uuid, OUT stream_key text, OUT version bigint, OUT available_before bigint, OUT available_after bigint,
    OUT item_id uuid, OUT merged boolean, OUT variant_id uuid, OUT product_name text, OUT image_url text,
    OUT color text, OUT size text, OUT quantity integer, OUT unit_price_minor bigint, OUT currency text,
    OUT status text, OUT timer_enabled boolean, OUT expires_at timestamptz, OUT created_at timestamptz,
    OUT server_time timestamptz, OUT reservation_id uuid
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    taken record;
    item cart.items;
    hold interval;
BEGIN
    IF p_client IS NOT NULL THEN
        INSERT INTO cart.adds (user_id, client_id, wish) VALUES (p_user, p_client, p_wish) ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            SELECT CASE a.wish WHEN p_wish THEN 'REPEATED' ELSE 'OTHER_WISH' END, a.answer INTO outcome, answer
              FROM cart.adds a WHERE a.user_id = p_user AND a.client_id = p_client;
            RETURN;
        END IF;
    END IF;
    SELECT * INTO taken FROM catalog.hold_units(p_product, p_color, p_size, p_quantity);
    outcome := taken.outcome;
    variant_available := taken.variant_available;
    IF outcome <> 'OK' THEN
        RETURN;
    END IF;
    server_time := core.now();
    UPDATE cart.items i SET quantity = i.quantity + p_quantity
      WHERE i.id = (
        SELECT o.id FROM cart.items o
        WHERE o.user_id = p_user AND o.status = 'ACTIVE' AND o.product_id = p_product AND o.variant_id = taken.variant_id
          AND o.reservation_id IS NULL
          AND o.color IS NOT DISTINCT FROM p_color AND o.size IS NOT DISTINCT FROM p_size
          AND o.unit_price_minor = taken.unit_price_minor AND o.currency = taken.currency
          AND (o.expires_at IS NULL OR o.expires_at > server_time)
        ORDER BY o.created_at LIMIT 1)
      RETURNING i.* INTO item;
    merged := FOUND;
    IF NOT merged THEN
        hold := make_interval(secs => coalesce(taken.hold_seconds, p_hold_s));
        INSERT INTO cart.items AS i (user_id, product_id, variant_id, stream_key, product_name, image_url, color, size,
                                     quantity, unit_price_minor, currency, timer_enabled, expires_at, created_at)
          SELECT p_user, p_product, taken.variant_id, taken.stream_key, taken.name, taken.image_url, p_color, p_size,
                 p_quantity, taken.unit_price_minor, taken.currency, taken.timer_enabled,
                 CASE WHEN taken.timer_enabled THEN server_time + hold
                      ELSE (SELECT greatest(e.ended_at + interval '24 hours', server_time + hold)
                            FROM cart.ended_streams e WHERE e.stream_key = taken.stream_key) END,
                 server_time
          RETURNING i.* INTO item;
        -- Wanted again: what expired of it is no surprise at the checkout any more.
        UPDATE cart.items o SET told = true
          WHERE o.user_id = p_user AND o.status = 'EXPIRED' AND NOT o.told AND o.variant_id = taken.variant_id
            AND o.color IS NOT DISTINCT FROM p_color AND o.size IS NOT DISTINCT FROM p_size;
    END IF;
    product_id := p_product;
    stream_key := taken.stream_key;
    version := taken.version;
    available_before := taken.available_before;
    available_after := taken.available_after;
    item_id := item.id;
    variant_id := item.variant_id;
    product_name := item.product_name;
    image_url := item.image_url;
    color := item.color;
    size := item.size;
    quantity := item.quantity;
    unit_price_minor := item.unit_price_minor;
    currency := item.currency;
    status := item.status;
    timer_enabled := item.timer_enabled;
    expires_at := item.expires_at;
    created_at := item.created_at;
END
$$;
