-- Whose it is stands with each item, so that what a buyer has of a product is one look into an index.
ALTER TABLE orders.items ADD COLUMN user_id uuid;
UPDATE orders.items i SET user_id = o.user_id FROM orders.orders o WHERE o.id = i.order_id;
ALTER TABLE orders.items ALTER COLUMN user_id SET NOT NULL;
CREATE INDEX items_by_buyer ON orders.items (user_id, product_id);

CREATE FUNCTION orders.units_of_buyer(p_product uuid, p_buyer uuid) RETURNS bigint LANGUAGE sql AS $$
    SELECT sum(i.quantity) FROM orders.items i JOIN orders.orders o ON o.id = i.order_id
    WHERE i.user_id = p_buyer AND i.product_id = p_product AND o.status IN ('PENDING_PAYMENT', 'PAID')
$$;
SELECT catalog.count_for_buyers('orders.units_of_buyer');
