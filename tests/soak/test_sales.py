"""Random sales: a slice in `make test`, a million operations with SOAK_SEED (`make soak SEED=`)."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from dorami_core.store.migrations import MigrationSource
from dorami_core.testing.host import migrations_of
from tests.soak.sale_engine import Engine, open_engine, plugins
from tests.soak.sale_machine import Sale

SEED = int(os.environ.get("SOAK_SEED") or 1)
STEPS = 250


@pytest.fixture(scope="session")
def sale_sources() -> tuple[MigrationSource, ...]:
    return migrations_of(plugins())


@pytest.fixture
def migration_sources(sale_sources: tuple[MigrationSource, ...]) -> tuple[MigrationSource, ...]:
    return sale_sources


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    with open_engine(database_url) as engine:
        yield engine


def run_sales(engine: Engine, sales: int, steps: int = STEPS, *, shrink: bool = True) -> int:
    """How many operations were done."""
    machine = type("SaleOfThisTest", (Sale,), {"engine": engine, "operations": 0})
    how = settings(
        max_examples=sales,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        print_blob=True,
        phases=[Phase.generate, *([Phase.shrink] if shrink else [])],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(seed(SEED)(machine), settings=how)  # type: ignore[arg-type]
    return int(machine.operations)  # type: ignore[attr-defined]


def test_whatever_people_do_the_rules_hold(engine: Engine) -> None:
    assert run_sales(engine, 12) > 1500


@pytest.mark.soak
def test_a_million_operations(engine: Engine) -> None:
    done = 0
    while done < 1_000_000:
        done += run_sales(engine, 200)


def test_a_broken_rule_is_found(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: without its turn somebody else gets what came free."""

    async def nobody(*_: object) -> list[object]:
        return []

    monkeypatch.setattr("dorami_reservation.store.with_waiters", nobody)
    with pytest.raises(AssertionError, match="no head waits for what it could have"):
        run_sales(engine, 24, shrink=False)
