CREATE SCHEMA orders;

CREATE TABLE orders.day_counters (
    day date PRIMARY KEY,
    last integer NOT NULL
);
COMMENT ON TABLE orders.day_counters IS 'The last order number of each day in the shop''s time zone; locked last in a transaction';

CREATE TABLE orders.orders (
    id text PRIMARY KEY,
    user_id uuid NOT NULL,
    status text NOT NULL CHECK (status IN ('PENDING_PAYMENT', 'PAID', 'CANCELLED', 'EXPIRED')),
    shipping_status text NOT NULL DEFAULT 'NONE' CHECK (shipping_status IN ('NONE', 'PREPARING', 'SHIPPED', 'DELIVERED')),
    depositor_name text NOT NULL,
    payment_method text NOT NULL CHECK (payment_method IN ('BANK_TRANSFER', 'ZELLE')),
    subtotal_minor bigint NOT NULL CHECK (subtotal_minor >= 0),
    shipping_fee_minor bigint NOT NULL CHECK (shipping_fee_minor >= 0),
    points_used bigint NOT NULL DEFAULT 0 CHECK (points_used BETWEEN 0 AND subtotal_minor),
    total_minor bigint NOT NULL,
    currency text NOT NULL,
    shipping_address jsonb NOT NULL,
    masked_name text NOT NULL,
    carrier text,
    tracking_number text,
    created_at timestamptz NOT NULL DEFAULT core.now(),
    expires_at timestamptz NOT NULL,
    paid_at timestamptz,
    cancelled_at timestamptz,
    shipped_at timestamptz,
    CONSTRAINT total_adds_up CHECK (total_minor = subtotal_minor - points_used + shipping_fee_minor),
    CONSTRAINT only_paid_orders_are_shipped CHECK (shipping_status = 'NONE' OR paid_at IS NOT NULL)
);
CREATE INDEX orders_by_user ON orders.orders (user_id, created_at DESC, id DESC);
CREATE INDEX orders_by_age ON orders.orders (created_at DESC, id DESC);
CREATE INDEX orders_by_status ON orders.orders (status, created_at DESC, id DESC);

CREATE TABLE orders.items (
    order_id text NOT NULL REFERENCES orders.orders,
    position integer NOT NULL,
    product_id uuid NOT NULL,
    variant_id uuid NOT NULL,
    stream_key text,
    name text NOT NULL,
    image_url text,
    color text,
    size text,
    quantity integer NOT NULL CHECK (quantity > 0),
    unit_price_minor bigint NOT NULL CHECK (unit_price_minor >= 0),
    PRIMARY KEY (order_id, position)
);
CREATE INDEX items_by_product ON orders.items (product_id);

CREATE TABLE orders.refund_tasks (
    order_id text PRIMARY KEY REFERENCES orders.orders,
    reason text NOT NULL CHECK (reason IN ('PAID_LATE_WITHOUT_STOCK', 'CANCELLED_AFTER_PAYMENT')),
    created_at timestamptz NOT NULL DEFAULT core.now(),
    done_at timestamptz
);
COMMENT ON TABLE orders.refund_tasks IS 'Money that came in and has to go back';
