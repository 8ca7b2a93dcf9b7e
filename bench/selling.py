"""Adds to carts without sockets: the service in this process, and pgbench with the same SQL on the same server."""

from __future__ import annotations

import itertools
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import trio
from dorami_cart.api import AddToCart, CartApi
from dorami_cart.plugin import CartPlugin
from dorami_catalog.api import CatalogApi
from dorami_catalog.model import NewProduct
from dorami_catalog.plugin import CatalogPlugin
from dorami_catalog.verify import verify
from dorami_orders.plugin import OrdersPlugin
from dorami_reservation.plugin import ReservationPlugin

from bench.target import CannotRun
from dorami_core.hooks.plugin import Plugin
from dorami_core.store.embedded.postgres import embedded_postgres, find_binaries
from dorami_core.store.migrations import migrate
from dorami_core.testing.host import Bench, migrations_of, open_bench

PRODUCTS = 100
BUYERS = 96
"""Adders at once, in the service; pgbench has CLIENTS."""
CLIENTS = 8
STOCK = 1_000_000
STREAM = "bench-show"

WHOLE_ADD = """
CREATE SEQUENCE public.bench_seq;
CREATE TABLE public.bench_products (n integer PRIMARY KEY, id uuid NOT NULL);
-- One whole add in one round trip: stock, ledger, line, timer, and two events with their aggregates.
CREATE FUNCTION public.bench_add(p_n integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    product uuid;
    buyer uuid := gen_random_uuid();
    added record;
BEGIN
    SELECT id INTO product FROM public.bench_products WHERE n = p_n;
    SELECT * INTO added FROM cart.add_items(ARRAY[product], ARRAY[product], '{NULL}', '{NULL}', '{1}', 600, '{NULL}',
                                            '{""}', '{NULL}');
    INSERT INTO core.deadlines (kind, key, due_at) VALUES ('cart_item', added.item_id::text, added.expires_at)
      ON CONFLICT (kind, key) DO UPDATE SET due_at = excluded.due_at, attempts = 0;
    WITH new AS (
        SELECT * FROM (VALUES ('CartItemAdded', 'cart:' || buyer), ('ProductUpdated', 'product:' || product))
               AS e (type, aggregate)
    ), counted AS (
        INSERT INTO core.aggregates AS a (aggregate, seq) SELECT aggregate, 1 FROM new ORDER BY aggregate
        ON CONFLICT (aggregate) DO UPDATE SET seq = a.seq + 1 RETURNING aggregate, seq
    )
    INSERT INTO core.outbox (event_id, type, aggregate, aggregate_seq, payload)
    SELECT gen_random_uuid(), type, aggregate, seq, jsonb_build_object('product_id', product, 'quantity', 1)
    FROM new JOIN counted USING (aggregate);
END
$$;
"""


def plugins() -> list[Plugin]:
    return [CatalogPlugin(), CartPlugin(), ReservationPlugin(), OrdersPlugin()]


async def measure(folder: Path, seconds: float) -> tuple[dict[str, float], list[str]]:
    """Adds a second by pgbench and by the service, to one product and to a hundred; and what was broken."""
    folder.mkdir()
    results: dict[str, float] = {}
    async with embedded_postgres(folder) as url:
        await migrate(url, migrations_of(plugins()))
        async with open_bench(url, plugins()) as bench:
            bench.streams.put(STREAM)
            catalog = bench.api(CatalogApi)  # type: ignore[type-abstract]
            products = [await catalog.create(_product(number)) for number in range(PRODUCTS)]  # type: ignore[attr-defined]
            ids = [product.id for product in products]
            await bench.db.execute(WHOLE_ADD)
            await bench.db.execute(
                "INSERT INTO public.bench_products SELECT n, id FROM unnest($1::uuid[]) WITH ORDINALITY AS p (id, n)",
                ids,
            )
            for name, script in {"hot": "1", "spread": f"random(1, {PRODUCTS})"}.items():
                rate = await trio.to_thread.run_sync(_pgbench, url, folder, script, seconds)
                results[f"pgbench_{name}_per_s"] = rate
            results["service_hot_per_s"] = await _add(bench, ids[:1], seconds)
            results["service_spread_per_s"] = await _add(bench, ids, seconds)
            show = await catalog.export_show(STREAM)
        problems = verify(show).problems
    return results, problems


def _product(number: int) -> NewProduct:
    return NewProduct(name=f"bench {number}", price="1.00", quantity=STOCK, stream_key=STREAM)


async def _add(bench: Bench, ids: Sequence[Any], seconds: float) -> float:
    cart = bench.api(CartApi)  # type: ignore[type-abstract]
    added = 0
    turns = itertools.cycle(ids)
    began = time.monotonic()

    async def buy() -> None:
        nonlocal added
        while time.monotonic() - began < seconds:
            user = bench.users.put()
            await cart.add(user, AddToCart(product_id=next(turns), quantity=1))
            added += 1

    async with trio.open_nursery() as nursery:
        for _ in range(BUYERS):
            nursery.start_soon(buy)
    return added / (time.monotonic() - began)


def _pgbench(url: str, folder: Path, choice: str, seconds: float) -> float:
    """Transactions a second."""
    binary = find_binaries() / "pgbench"
    if not binary.exists():
        raise CannotRun(f"there is no pgbench at {binary}")
    script = folder / "add.sql"
    script.write_text(f"\\set n {choice}\nSELECT public.bench_add(:n);\n", "utf-8")
    parts = urlsplit(url)
    host = parse_qs(parts.query).get("host", [parts.hostname or ""])[0]
    command = [str(binary), "-h", host, "-U", parts.username or "postgres", "-n", "-M", "prepared", "-c", str(CLIENTS)]
    command += ["-j", "2", "-T", str(max(1, round(seconds))), "-f", str(script), parts.path.lstrip("/") or "postgres"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        if line.startswith("tps = "):
            return float(line.split()[2])
    raise CannotRun(f"pgbench failed: {done.stderr.strip() or done.stdout.strip()}")
