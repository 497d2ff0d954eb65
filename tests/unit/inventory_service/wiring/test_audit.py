"""The options of `holdfast audit`: which sale it compares, and the retention."""

from typing import Any

import pytest

from inventory_service.__main__ import main
from inventory_service.domain.keys import SaleKey
from inventory_service.service import audit


class FakeAudit:
    """Takes the audit's place and keeps its arguments."""

    only: SaleKey | None = None
    retention_ms = 0

    async def run(self, parts: audit.Dependencies, shards: int, only: SaleKey | None, *_: Any) -> int:
        self.only, self.retention_ms = only, parts.retention_ms
        return 0


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeAudit:
    """The audit is replaced, no server runs, and the start check does not wait."""
    stand_in = FakeAudit()
    monkeypatch.setattr(audit, "run", stand_in.run)
    monkeypatch.setattr("holdfast_runtime.process.configure_logging", lambda *_: None)
    for name, value in {
        "HOLDFAST_START_WAIT_S": "0",
        "HOLDFAST_REDIS_URL": "redis://127.0.0.1:1/0",
        "HOLDFAST_POSTGRES_DSN": "postgresql://127.0.0.1:1/nowhere",
    }.items():
        monkeypatch.setenv(name, value)
    return stand_in


def test_all_sales_are_compared_if_none_is_named(fake: FakeAudit) -> None:
    """The default retention is the relays' default."""
    assert main(["audit"]) == 0
    assert (fake.only, fake.retention_ms) == (None, 86_400_000)


def test_a_sale_is_named_without_an_option(fake: FakeAudit) -> None:
    """Its tenant is then the default one."""
    assert main(["audit", "lamp-sale"]) == 0
    assert fake.only == SaleKey("default", "lamp-sale")


def test_a_sale_of_another_tenant_is_named_with_it(fake: FakeAudit) -> None:
    """Two tenants may have sales of one name."""
    assert main(["audit", "lamp-sale", "--tenant", "acme"]) == 0
    assert fake.only == SaleKey("acme", "lamp-sale")


def test_the_retention_is_an_option(fake: FakeAudit, monkeypatch: pytest.MonkeyPatch) -> None:
    """The relays' setting has no effect on the audit."""
    monkeypatch.setenv("HOLDFAST_RECORD_RETENTION_S", "7")

    assert main(["audit", "--retention", "3"]) == 0
    assert fake.retention_ms == 3000
