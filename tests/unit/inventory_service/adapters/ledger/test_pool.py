"""The meaning of an error of Postgres: an outage to wait out, or a bug of this service."""

import asyncpg
import pytest

from inventory_service.adapters.ledger.pool import classify_error
from inventory_service.domain.shards import LedgerUnavailable


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.ConnectionDoesNotExistError("08003"),
        asyncpg.InvalidAuthorizationSpecificationError("28000"),
        asyncpg.InvalidCatalogNameError("3D000"),
        asyncpg.SerializationError("40001"),
        asyncpg.UndefinedTableError("42P01"),
        asyncpg.UndefinedColumnError("42703"),
        asyncpg.TooManyConnectionsError("53300"),
        asyncpg.ReadOnlySQLTransactionError("25006"),
        asyncpg.LockNotAvailableError("55P03"),
        asyncpg.AdminShutdownError("57P01"),
        asyncpg.PostgresIOError("58030"),
        asyncpg.InternalServerError("XX000"),
        asyncpg.PostgresError("no SQLSTATE"),
        asyncpg.InterfaceError("the connection is closed"),
        asyncpg.InternalClientError("goodbye was said"),
        ConnectionRefusedError("connection refused"),
        TimeoutError("no answer in time"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_transient_error_is_ledger_unavailable(error: Exception) -> None:
    """An operator corrects most of these while everything else goes on; the persister retries the same ones."""
    assert isinstance(classify_error(error), LedgerUnavailable)


@pytest.mark.parametrize(
    "error",
    [asyncpg.DataError("22000"), asyncpg.NumericValueOutOfRangeError("22003"), asyncpg.CheckViolationError("23514")],
    ids=lambda error: type(error).__name__,
)
def test_bad_data_and_violated_constraints_are_bugs(error: Exception) -> None:
    """The statement is wrong, and a retry would fail in the same way."""
    assert classify_error(error) is error


@pytest.mark.parametrize("error", [asyncpg.UndefinedTableError("42P01"), asyncpg.UndefinedColumnError("42703")])
def test_missing_tables_and_columns_say_what_to_do(error: Exception) -> None:
    """It occurs before the first `holdfast migrate`, and when a new version starts before its own."""
    assert "holdfast migrate" in str(classify_error(error))
