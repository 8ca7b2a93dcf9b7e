CREATE SCHEMA reservation;

CREATE TABLE reservation.counters (
    product_id uuid PRIMARY KEY,
    last integer NOT NULL
);
COMMENT ON TABLE reservation.counters IS
    'The last number of each product; counted under the lock of the product, so that numbers have no holes';

CREATE TABLE reservation.places (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    product_id uuid NOT NULL,
    variant_id uuid NOT NULL,
    number integer NOT NULL CHECK (number > 0),
    stream_key text,
    product_name text NOT NULL,
    image_url text,
    color text,
    size text,
    quantity integer NOT NULL CHECK (quantity > 0),
    accept_partial boolean NOT NULL,
    status text NOT NULL DEFAULT 'WAITING'
        CHECK (status IN ('WAITING', 'PROMOTED', 'FULFILLED', 'EXPIRED', 'CANCELLED')),
    promoted_quantity integer CHECK (promoted_quantity BETWEEN 1 AND quantity),
    item_id uuid,
    rule text,
    order_id text,
    created_at timestamptz NOT NULL DEFAULT core.now(),
    promoted_at timestamptz,
    expires_at timestamptz,
    ended_at timestamptz,
    CONSTRAINT numbers_are_given_once UNIQUE (product_id, number),
    CONSTRAINT promoted_ones_have_a_line CHECK (
        (promoted_at IS NULL) = (item_id IS NULL) AND (promoted_at IS NULL) = (promoted_quantity IS NULL)
        AND (promoted_at IS NULL) = (expires_at IS NULL)
        AND (status <> 'WAITING' OR promoted_at IS NULL) AND (status <> 'PROMOTED' OR promoted_at IS NOT NULL)
    )
);
COMMENT ON TABLE reservation.places IS 'Changes only under the lock of its product (LOCKING.md of the catalogue)';
COMMENT ON COLUMN reservation.places.rule IS 'The rule by which a policy served this place before the head; null: it was the head';
CREATE UNIQUE INDEX one_place_per_user_and_variant ON reservation.places (user_id, variant_id)
    WHERE status IN ('WAITING', 'PROMOTED');
CREATE INDEX places_in_line ON reservation.places (variant_id, number) WHERE status = 'WAITING';
CREATE INDEX places_by_user ON reservation.places (user_id, created_at DESC, id DESC);

-- Takes the next number of a product for one who waits.
-- outcome: OK, EXISTS (existing is the place), FREE (available units and nobody waits), or those of catalog.lock_option.
CREATE FUNCTION reservation.join_queue(
    p_id uuid, p_user uuid, p_product uuid, p_color text, p_size text, p_quantity integer, p_accept_partial boolean,
    OUT outcome text, OUT variant_id uuid, OUT available integer, OUT existing uuid
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
END
$$;
