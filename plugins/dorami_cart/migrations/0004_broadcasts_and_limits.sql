CREATE FUNCTION cart.units_of_buyer(p_product uuid, p_buyer uuid) RETURNS bigint LANGUAGE sql AS $$
    SELECT sum(i.quantity) FROM cart.items i
    WHERE i.user_id = p_buyer AND i.status = 'ACTIVE' AND i.product_id = p_product
      AND (i.expires_at IS NULL OR i.expires_at > core.now())
$$;
SELECT catalog.count_for_buyers('cart.units_of_buyer');
