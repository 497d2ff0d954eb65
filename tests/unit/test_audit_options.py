"""`holdfast audit`: which sale it compares, and what it takes for lost."""

from typing import Any

import pytest

from inventory_service.__main__ import main
from inventory_service.domain.keys import SaleKey
from inventory_service.service import audit


class Asked:
    """Stands for the audit itself, and keeps what it was asked."""

    only: SaleKey | None = None
    retention_ms = 0

    async def run(self, parts: audit.Dependencies, shards: int, only: SaleKey | None, *_: Any) -> int:
        self.only, self.retention_ms = only, parts.retention_ms
        return 0


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """No server is there, and none is waited for."""
    stand_in = Asked()
    monkeypatch.setattr(audit, "run", stand_in.run)
    monkeypatch.setattr("holdfast_runtime.process.configure_logging", lambda *_: None)
    for name, value in {
        "HOLDFAST_START_WAIT_S": "0",
        "HOLDFAST_REDIS_URL": "redis://127.0.0.1:1/0",
        "HOLDFAST_POSTGRES_DSN": "postgresql://127.0.0.1:1/nowhere",
    }.items():
        monkeypatch.setenv(name, value)
    return stand_in


def test_all_sales_are_compared_if_none_is_named(asked: Asked) -> None:
    """And what Redis keeps by default is what the relays keep by default."""
    assert main(["audit"]) == 0
    assert (asked.only, asked.retention_ms) == (None, 86_400_000)


def test_a_sale_is_named_without_an_option(asked: Asked) -> None:
    """Its tenant is the default one, as everywhere."""
    assert main(["audit", "lamp-sale"]) == 0
    assert asked.only == SaleKey("default", "lamp-sale")


def test_a_sale_of_another_tenant_is_named_with_it(asked: Asked) -> None:
    """Two tenants may have sales of one name."""
    assert main(["audit", "lamp-sale", "--tenant", "acme"]) == 0
    assert asked.only == SaleKey("acme", "lamp-sale")


def test_the_retention_is_an_option(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """The relays' setting need not be set where the audit runs, and is not heeded."""
    monkeypatch.setenv("HOLDFAST_RECORD_RETENTION_S", "7")

    assert main(["audit", "--retention", "3"]) == 0
    assert asked.retention_ms == 3000
