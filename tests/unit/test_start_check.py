"""The start check: what ends a process before it begins, and in which words; the same in both services."""

import asyncio
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any

import inventory_service.adapters.turned_away as inventory_faults
import order_persister.settings as persister_settings
import order_persister.turned_away as persister_faults
import pytest

import inventory_service.settings as inventory_settings
from holdfast_runtime.retry import TransientError
from inventory_service import start_check as inventory_check
from inventory_service.domain.shards import RedisUnavailable
from order_persister import start_check as persister_check
from tests.waiting import LONG_S

URL = "HOLDFAST_REDIS_URL"
CHECKS = {inventory_check: RedisUnavailable, persister_check: TransientError}


@pytest.fixture(params=[inventory_check, persister_check], ids=["inventory_service", "order_persister"])
def check(request: pytest.FixtureRequest) -> Any:
    """Each service's own; they share the words and no line of code."""
    return request.param


def bad_settings(check: ModuleType) -> type[Exception]:
    return inventory_settings.BadSettings if check is inventory_check else persister_settings.BadSettings


def turned_away(check: ModuleType) -> Any:
    return inventory_faults if check is inventory_check else persister_faults


def door(check: Any, knock: Callable[[], Awaitable[None]], **apart: str) -> Any:
    settings = {turned_away(check).Part[part]: setting for part, setting in apart.items()}
    return check.Door("Redis at somewhere:1", knock, URL, settings)


def away(check: Any, times: int, knocks: list[int]) -> Callable[[], Awaitable[None]]:
    """A server that is away for so many knocks."""

    async def knock() -> None:
        knocks.append(1)
        if len(knocks) <= times:
            raise CHECKS[check]("Connection\nrefused")

    return knock


async def test_a_server_that_comes_in_time_is_waited_for(check: Any) -> None:
    """Processes and servers of one deploy start side by side."""
    knocks: list[int] = []

    await check.pass_door(door(check, away(check, 2, knocks)), LONG_S)

    assert len(knocks) == 3


async def test_a_server_that_does_not_come_is_named_with_its_setting(check: Any) -> None:
    """In one line, whatever a library put into its message."""
    with pytest.raises(bad_settings(check)) as ended:
        await check.pass_door(door(check, away(check, 1000, [])), 0.2)

    why = "Connection refused (HOLDFAST_START_WAIT_S is 0.2)"
    assert str(ended.value) == f"{URL}: Redis at somewhere:1 does not answer: {why}"


async def test_a_server_that_says_nothing_at_all_is_named_too(check: Any) -> None:
    """A firewall that drops everything refuses nothing."""
    with pytest.raises(bad_settings(check), match="does not answer: no answer"):
        await check.pass_door(door(check, lambda: asyncio.sleep(60)), 0.2)


async def test_without_a_wait_a_server_that_is_away_is_asked_once(check: Any) -> None:
    """An outage then keeps no process from starting."""
    knocks: list[int] = []

    await check.pass_door(door(check, away(check, 1000, knocks)), 0)

    assert len(knocks) == 1


@pytest.mark.parametrize("wait_s", [0, LONG_S])
@pytest.mark.parametrize(("part", "setting"), [("USER", "HOLDFAST_KAFKA_PASSWORD"), ("TRUST", URL)])
async def test_a_no_for_good_is_not_waited_for(check: Any, wait_s: float, part: str, setting: str) -> None:
    """However long the wait may be: no password gets right by waiting. The line names what to look at."""
    faults, knocks = turned_away(check), list[int]()

    async def knock() -> None:
        knocks.append(1)
        raise faults.TurnedAway(faults.Part[part], "wrong")

    with pytest.raises(bad_settings(check)) as ended:
        await check.pass_door(door(check, knock, USER="HOLDFAST_KAFKA_PASSWORD"), wait_s)

    assert len(knocks) == 1
    assert str(ended.value) == f"{setting}: Redis at somewhere:1 cannot be used: wrong"


async def test_without_a_wait_a_host_whose_name_is_gone_is_away(check: Any) -> None:
    """Where names are given to what runs, an outage takes the name away too."""
    faults = turned_away(check)

    async def knock() -> None:
        raise faults.TurnedAway(faults.Part.NAME, "nobody knows it")

    await check.pass_door(door(check, knock), 0)
    with pytest.raises(bad_settings(check), match="nobody knows it"):
        await check.pass_door(door(check, knock), LONG_S)


async def test_one_no_is_enough(check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another server might still say is not waited for."""
    faults = turned_away(check)

    async def refuse() -> None:
        raise faults.TurnedAway(faults.Part.USER, "wrong")

    silent, sure = door(check, lambda: asyncio.sleep(2 * LONG_S)), door(check, refuse)
    monkeypatch.setattr(check, "DOORS", {"persist": (lambda _: silent, lambda _: sure)})
    settings = inventory_settings if check is inventory_check else persister_settings

    with pytest.raises(bad_settings(check), match="cannot be used"):
        await asyncio.wait_for(check.check_servers("persist", settings.Settings(start_wait_s=2 * LONG_S)), LONG_S)


async def test_no_password_is_in_the_line(check: Any) -> None:
    """It goes to a log that many read."""
    settings = inventory_settings if check is inventory_check else persister_settings
    said = check.postgres_door(settings.Settings(postgres_dsn="postgresql://ann:secret@here:5432/books")).server

    assert said == "PostgreSQL at here:5432"
