-- Many steps in the queues of a locked product, in the order given: WAIT, LEAVE, or PROMOTE, where so many units are held
-- for each who is served. They are counted, and the ledger gets an entry for each, chained here and written at once.
DROP FUNCTION catalog.step_queue;
CREATE FUNCTION catalog.step_queue(
    p_product uuid, p_kind text, p_variants uuid[], p_quantities integer[], p_numbers integer[], p_partial boolean[],
    p_rules text[], OUT stream_key text, OUT version bigint, OUT deleted boolean
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    entry catalog.ledger;
    entries catalog.ledger[] := '{}';
    told record;
    one constant integer := CASE p_kind WHEN 'WAIT' THEN 1 ELSE -1 END;
    unit constant integer := CASE p_kind WHEN 'PROMOTE' THEN 1 ELSE 0 END;
BEGIN
    SELECT p.ledger_seq, p.ledger_head INTO entry.seq, entry.hash FROM catalog.products p WHERE p.id = p_product;
    entry.product_id := p_product;
    entry.at := core.now();
    entry.tx := pg_current_xact_id()::text::bigint;
    entry.kind := p_kind;
    FOR told IN
        SELECT s.*, v.on_hand, v.committed, v.waiting + one * row_number() OVER so_far AS waiting,
               v.held + unit * sum(s.quantity) OVER so_far AS held
        FROM unnest(p_variants, p_quantities, p_numbers, p_partial, p_rules) WITH ORDINALITY
             AS s (variant, quantity, number, partial, rule, n)
        JOIN catalog.variants v ON v.id = s.variant
        WINDOW so_far AS (PARTITION BY v.id ORDER BY s.n) ORDER BY s.n
    LOOP
        entry.seq := entry.seq + 1;
        entry.variant_id := told.variant;
        entry.quantity := told.quantity;
        entry.number := told.number;
        entry.partial := told.partial;
        entry.rule := told.rule;
        entry.on_hand := told.on_hand;
        entry.held := told.held;
        entry.committed := told.committed;
        entry.waiting := told.waiting;
        entry.hash := catalog.entry_hash(entry.hash, entry);
        entries := entries || entry;
    END LOOP;
    INSERT INTO catalog.ledger SELECT * FROM unnest(entries);
    UPDATE catalog.variants v SET waiting = v.waiting + one * d.n, held = v.held + unit * d.units
      FROM (SELECT s.variant, count(*) AS n, sum(s.quantity) AS units
            FROM unnest(p_variants, p_quantities) AS s (variant, quantity) GROUP BY 1) d
      WHERE v.id = d.variant;
    UPDATE catalog.products p SET version = p.version + 1, ledger_seq = entry.seq, ledger_head = entry.hash
      WHERE p.id = p_product
      RETURNING p.stream_key, p.version, p.deleted_at IS NOT NULL INTO stream_key, version, deleted;
END
$$;

-- Many join the queues of a locked product. Returns the product's version.
CREATE OR REPLACE FUNCTION catalog.enqueue(
    p_product uuid, p_variants uuid[], p_quantities integer[], p_numbers integer[], p_partial boolean[]
) RETURNS bigint LANGUAGE sql AS $$
    SELECT s.version FROM catalog.step_queue(p_product, 'WAIT', p_variants, p_quantities, p_numbers, p_partial, NULL) s
$$;
