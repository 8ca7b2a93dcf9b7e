-- The Idempotency-Key that an order was made with, kept with the order itself: whoever got no answer, because the process
-- or the database died, asks again by it.
ALTER TABLE orders.orders ADD COLUMN request_key text;
CREATE UNIQUE INDEX one_order_per_key ON orders.orders (user_id, request_key);
