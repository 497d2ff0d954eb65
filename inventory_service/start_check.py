"""Ask every server that a process works with before it begins: what is set wrong ends it at once, in one line."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from inventory_service.access import kafka_access
from inventory_service.adapters.kafka.knock import knock_at_kafka
from inventory_service.adapters.ledger.knock import knock_at_postgres
from inventory_service.adapters.redis.knock import knock_at_redis
from inventory_service.adapters.turned_away import Part, TurnedAway
from inventory_service.domain.shards import ServerUnavailable
from inventory_service.entrypoints.patience import GrowingDelay
from inventory_service.settings import BadSettings, Settings

ONE_KNOCK_S = 2.0  # for a server that may be away: it is asked once, and not for long


class Door(NamedTuple):
    """One server. `setting` names the variable to look at, whatever is wrong, but for what `settings` names apart."""

    server: str
    knock: Callable[[], Awaitable[None]]
    setting: str
    settings: Mapping[Part, str]

    def setting_for(self, part: Part) -> str:
        return self.settings.get(part, self.setting)


def redis_door(settings: Settings) -> Door:
    url = settings.redis_url
    return Door(f"Redis at {_where(url)}", lambda: knock_at_redis(url), "HOLDFAST_REDIS_URL", {})


def postgres_door(settings: Settings) -> Door:
    dsn = settings.postgres_dsn
    return Door(f"PostgreSQL at {_where(dsn)}", lambda: knock_at_postgres(dsn), "HOLDFAST_POSTGRES_DSN", {})


def kafka_door(settings: Settings) -> Door:
    named = {
        Part.TRUST: "HOLDFAST_KAFKA_CA_FILE",
        Part.CERTIFICATE: "HOLDFAST_KAFKA_CERT_FILE",
        Part.USER: "HOLDFAST_KAFKA_PASSWORD",
        Part.PROTOCOL: "HOLDFAST_KAFKA_SECURITY",
        Part.MECHANISM: "HOLDFAST_KAFKA_SASL_MECHANISM",
    }
    access = kafka_access(settings)
    return Door(f"Kafka at {access.brokers}", lambda: knock_at_kafka(access), "HOLDFAST_KAFKA_BROKERS", named)


DOORS: Mapping[str, Sequence[Callable[[Settings], Door]]] = {
    "serve": (redis_door, postgres_door),
    "relay": (redis_door, postgres_door, kafka_door),
    "compensate": (redis_door, kafka_door),
    "init": (redis_door, postgres_door, kafka_door),
    "topics": (kafka_door,),
    "audit": (redis_door, postgres_door),
}


async def check_servers(process: str, settings: Settings) -> None:
    """Return when every server of this process has let us in; BadSettings, one sentence, if one never will.

    A server that is away is waited for as long as the settings say, and then the process ends likewise: it was
    started with a wrong address, as far as anybody can tell. Where they say 0 an outage keeps no process from starting.
    """
    doors = [door(settings) for door in DOORS.get(process, ())]
    passing = [asyncio.create_task(pass_door(door, settings.start_wait_s)) for door in doors]
    try:
        await asyncio.gather(*passing)
    finally:
        for task in passing:
            task.cancel()
        await asyncio.gather(*passing, return_exceptions=True)


async def pass_door(door: Door, wait_s: float) -> None:
    """Knock until it is opened; BadSettings if it never is, or not within `wait_s` (0: knock once, and go on)."""
    delay, why = GrowingDelay(longest_s=1.0), "no answer"
    try:
        async with asyncio.timeout(wait_s or ONE_KNOCK_S):
            while True:
                try:
                    return await door.knock()
                except ServerUnavailable as error:
                    why = str(error)
                if not wait_s:
                    return
                await delay.wait()
    except TurnedAway as no:
        if no.part is Part.NAME and not wait_s:
            return
        raise BadSettings(_line(f"{door.setting_for(no.part)}: {door.server} cannot be used: {no}")) from None
    except TimeoutError:
        if wait_s:
            waited = f"HOLDFAST_START_WAIT_S is {wait_s:g}"
            raise BadSettings(_line(f"{door.setting}: {door.server} does not answer: {why} ({waited})")) from None


def _where(url: str) -> str:
    """The address in a URL, without the user and the password."""
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2] or parts.path


def _line(text: str) -> str:
    return " ".join(text.split())
