"""What a dead connection looks like in the driver, and what is a mistake of ours."""

from __future__ import annotations

import asyncpg
import pytest

from dorami_core.base.errors import DoramiError
from dorami_core.store.unreachable import postgres_unreachable


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(),
        asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
        asyncpg.CannotConnectNowError("the database system is starting up"),
        asyncpg.InterfaceError("cannot call Connection.fetch(): connection has been released back to the pool"),
        asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"),
    ],
)
def test_a_dead_connection_is_unavailable(error: Exception) -> None:
    with pytest.raises(DoramiError, match="UNAVAILABLE"), postgres_unreachable():
        raise error


@pytest.mark.parametrize(
    "error", [asyncpg.UniqueViolationError(), asyncpg.InterfaceError("bad"), asyncpg.InternalClientError("got no data")]
)
def test_a_mistake_is_none(error: Exception) -> None:
    with pytest.raises(type(error)), postgres_unreachable():
        raise error
