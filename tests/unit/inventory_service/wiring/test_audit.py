"""The options of `holdfast audit`: which sale it compares."""

from typing import Any

import pytest

from inventory_service.__main__ import main
from inventory_service.domain.keys import SaleKey
from inventory_service.service import audit


class FakeAudit:
    """Takes the audit's place and keeps its arguments."""

    only: SaleKey | None = None

    async def run(self, parts: audit.Dependencies, _shards: int, only: SaleKey | None, *_: Any) -> int:
        self.only = only
        for number in range(3):
            parts.page_read(f"page {number}")
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
    """A tenant alone names none."""
    fake.only = SaleKey("default", "never-asked")

    assert main(["audit", "--tenant", "acme"]) == 0
    assert fake.only is None


def test_a_sale_is_named_without_an_option(fake: FakeAudit) -> None:
    """Its tenant is then the default one."""
    assert main(["audit", "lamp-sale"]) == 0
    assert fake.only == SaleKey("default", "lamp-sale")


def test_a_sale_of_another_tenant_is_named_with_it(fake: FakeAudit) -> None:
    """Two tenants may have sales of one name."""
    assert main(["audit", "lamp-sale", "--tenant", "acme"]) == 0
    assert fake.only == SaleKey("acme", "lamp-sale")


def test_how_far_it_is_is_told_once_a_second(fake: FakeAudit, capsys: pytest.CaptureFixture[str]) -> None:
    """A sale of many reservations has many pages."""
    assert main(["audit"]) == 0
    assert capsys.readouterr().err == "page 0\n"
