CREATE SCHEMA points;

CREATE TABLE points.accounts (
    user_id uuid PRIMARY KEY
);
COMMENT ON TABLE points.accounts IS 'One row to lock for each user who ever had points; it holds no balance';

CREATE TABLE points.ledger (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES points.accounts,
    kind text NOT NULL CHECK (kind IN ('EARNED_ORDER', 'USED_ORDER', 'RETURNED_ORDER', 'TAKEN_BACK_ORDER', 'EXPIRED',
                                       'ADJUSTED')),
    amount bigint NOT NULL CHECK (amount <> 0),
    balance_after bigint NOT NULL,
    order_id text,
    reverses bigint REFERENCES points.ledger,
    expires_at timestamptz,
    reason text,
    made_by uuid,
    created_at timestamptz NOT NULL DEFAULT core.now(),
    CONSTRAINT sign_of_its_kind CHECK (CASE
        WHEN kind IN ('EARNED_ORDER', 'RETURNED_ORDER') THEN amount > 0
        WHEN kind = 'ADJUSTED' THEN true
        ELSE amount < 0 END),
    CONSTRAINT lots_expire CHECK ((amount > 0) = (expires_at IS NOT NULL)),
    CONSTRAINT orders_are_named CHECK ((kind LIKE '%\_ORDER') = (order_id IS NOT NULL)),
    CONSTRAINT undoing_names_what CHECK ((kind IN ('RETURNED_ORDER', 'TAKEN_BACK_ORDER')) = (reverses IS NOT NULL)),
    CONSTRAINT adjusting_has_a_reason CHECK ((kind = 'ADJUSTED') = (reason IS NOT NULL AND made_by IS NOT NULL))
);
COMMENT ON COLUMN points.ledger.amount IS 'Minor units, signed. A positive entry is a lot that others are allotted to';
COMMENT ON COLUMN points.ledger.balance_after IS 'What the nightly proof compares with the sum; nothing is decided by it';
CREATE INDEX ledger_by_user ON points.ledger (user_id, id) INCLUDE (amount);
CREATE INDEX ledger_by_order ON points.ledger (order_id) WHERE order_id IS NOT NULL;
CREATE UNIQUE INDEX an_order_earns_once ON points.ledger (order_id) WHERE kind = 'EARNED_ORDER';
CREATE UNIQUE INDEX taken_back_once ON points.ledger (reverses) WHERE kind = 'TAKEN_BACK_ORDER';
CREATE UNIQUE INDEX returned_once ON points.ledger (reverses, expires_at) WHERE kind = 'RETURNED_ORDER';

CREATE TABLE points.allotments (
    entry_id bigint NOT NULL REFERENCES points.ledger,
    lot_id bigint NOT NULL REFERENCES points.ledger,
    amount bigint NOT NULL CHECK (amount > 0),
    PRIMARY KEY (entry_id, lot_id)
);
COMMENT ON TABLE points.allotments IS
    'Which lot a negative entry was taken from. What is not allotted is owed, until a later lot settles it';
CREATE INDEX allotments_by_lot ON points.allotments (lot_id);

CREATE FUNCTION points.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%.% is append-only', TG_TABLE_SCHEMA, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON points.ledger
    FOR EACH STATEMENT EXECUTE FUNCTION points.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON points.allotments
    FOR EACH STATEMENT EXECUTE FUNCTION points.refuse_change();

CREATE VIEW points.lots AS
SELECT l.id, l.user_id, l.order_id, l.kind, l.amount, l.expires_at,
       l.amount - coalesce((SELECT sum(a.amount) FROM points.allotments a WHERE a.lot_id = l.id), 0)::bigint AS rest
FROM points.ledger l WHERE l.amount > 0;

CREATE VIEW points.debts AS
SELECT l.id, l.user_id,
       -l.amount - coalesce((SELECT sum(a.amount) FROM points.allotments a WHERE a.entry_id = l.id), 0)::bigint AS rest
FROM points.ledger l WHERE l.amount < 0;
