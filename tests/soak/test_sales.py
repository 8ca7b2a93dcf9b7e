"""Random sales: a slice in `make test`, as many as the time allows under `make soak`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test
from sale_engine import Engine, open_engine, plugins
from sale_machine import Sale
from soaking import Soak

from dorami_core.store.migrations import MigrationSource
from dorami_core.testing.host import migrations_of

STEPS = 250
SALES = 12
"""Between two words of how far it is."""
SLICE = 20_000
"""Operations."""


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


def run_sales(engine: Engine, sales: int, number: int, *, shrink: bool = True, broken: list[str] | None = None) -> int:
    """How many operations were done; `broken` gets the names of rules that did not hold."""
    found = [] if broken is None else broken
    machine = type("SaleOfThisTest", (Sale,), {"engine": engine, "operations": 0, "broken": found})
    how = settings(
        max_examples=sales,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        print_blob=True,
        phases=[Phase.generate, *([Phase.shrink] if shrink else [])],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(seed(number)(machine), settings=how)  # type: ignore[arg-type]
    return int(machine.operations)  # type: ignore[attr-defined]


@pytest.mark.soak
def test_whatever_people_do_the_rules_hold(engine: Engine, soak: Soak) -> None:
    done, number = 0, soak.seed
    while soak.has_time() or done < SLICE:
        done += run_sales(engine, SALES, number)
        soak.tell(f"{done} operations so far; the last seed is {number}")
        number += 1


def test_a_broken_rule_is_found(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: without its turn somebody else gets what came free."""

    async def nobody(*_: object) -> list[object]:
        return []

    monkeypatch.setattr("dorami_reservation.store.with_waiters", nobody)
    broken: list[str] = []
    # what it does to confirm the failure meets other rows, which it may call flaky
    with pytest.raises((AssertionError, Flaky)):
        run_sales(engine, 24, 1, shrink=False, broken=broken)
    assert any("no head waits for what it could have" in rule for rule in broken)
