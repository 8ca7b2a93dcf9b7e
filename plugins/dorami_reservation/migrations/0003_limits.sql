-- A promoted place is counted by the cart that it gave a line to.
CREATE FUNCTION reservation.units_of_buyer(p_product uuid, p_buyer uuid) RETURNS bigint LANGUAGE sql AS $$
    SELECT sum(p.quantity) FROM reservation.places p
    WHERE p.user_id = p_buyer AND p.status = 'WAITING' AND p.product_id = p_product
$$;
SELECT catalog.count_for_buyers('reservation.units_of_buyer');
