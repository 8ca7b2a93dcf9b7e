-- Like what it calls, so that it can be inlined: a third of the time.
ALTER FUNCTION catalog.entry_hash STABLE;

-- Many join the queues of a locked product, in the order given: they are counted, and the ledger gets an entry for each,
-- chained here and written at once. Returns the product's version.
CREATE FUNCTION catalog.enqueue(
    p_product uuid, p_variants uuid[], p_quantities integer[], p_numbers integer[], p_partial boolean[]
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    entry catalog.ledger;
    entries catalog.ledger[] := '{}';
    told record;
    version bigint;
BEGIN
    SELECT p.ledger_seq, p.ledger_head INTO entry.seq, entry.hash FROM catalog.products p WHERE p.id = p_product;
    entry.product_id := p_product;
    entry.at := core.now();
    entry.tx := pg_current_xact_id()::text::bigint;
    entry.kind := 'WAIT';
    FOR told IN
        SELECT w.*, v.on_hand, v.held, v.committed, v.waiting + row_number() OVER (PARTITION BY v.id ORDER BY w.n) AS waiting
        FROM unnest(p_variants, p_quantities, p_numbers, p_partial) WITH ORDINALITY AS w (variant, quantity, number, partial, n)
        JOIN catalog.variants v ON v.id = w.variant ORDER BY w.n
    LOOP
        entry.seq := entry.seq + 1;
        entry.variant_id := told.variant;
        entry.quantity := told.quantity;
        entry.number := told.number;
        entry.partial := told.partial;
        entry.on_hand := told.on_hand;
        entry.held := told.held;
        entry.committed := told.committed;
        entry.waiting := told.waiting;
        entry.hash := catalog.entry_hash(entry.hash, entry);
        entries := entries || entry;
    END LOOP;
    INSERT INTO catalog.ledger SELECT * FROM unnest(entries);
    UPDATE catalog.variants v SET waiting = v.waiting + d.n
      FROM (SELECT w.variant, count(*) AS n FROM unnest(p_variants) AS w (variant) GROUP BY 1) d WHERE v.id = d.variant;
    UPDATE catalog.products p SET version = p.version + 1, ledger_seq = entry.seq, ledger_head = entry.hash
      WHERE p.id = p_product RETURNING p.version INTO version;
    RETURN version;
END
$$;
