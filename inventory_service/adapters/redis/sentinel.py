"""Finds the primary by asking Sentinels, at each connect: which Redis it is may change at any moment."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote

from redis.exceptions import RedisError, ResponseError

from inventory_service.adapters.redis.breaker import NO_BREAKER, NoBreaker
from inventory_service.adapters.redis.connecting import check_url, connect, unconnected
from inventory_service.adapters.redis.connection import RedisConnection
from inventory_service.domain.shards import RedisUnavailable

ASK_S = 0.5  # a Sentinel does nothing else: one that takes longer is away, and the next one is asked
DEFAULT_PORT = 26379
_URL = re.compile(r"(rediss?)\+sentinel://(?:([^@/?#]*)@)?([^@/?#]*)(?:/([^?#]*))?(?:\?([^#]*))?")
_ADDRESS = re.compile(r"((?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]))(?::(\d{1,5}))?")


class UnknownPrimary(RedisUnavailable):
    """A Sentinel answers that it watches no primary of this name."""


class NoPrimary(RedisUnavailable):
    """No Sentinel led to the primary; `problems` are those of each, in the order in which they were asked."""

    def __init__(self, problems: Mapping[str, RedisUnavailable]) -> None:
        super().__init__("; ".join(f"{where}: {problem}" for where, problem in problems.items()))
        self.problems = list(problems.values())


class SentinelUrl(NamedTuple):
    """What a redis+sentinel:// URL says; `sentinels` has a plain URL for each address."""

    name: str
    sentinels: Mapping[str, str]
    scheme: str
    user: str  # and password, as they stand in the URL, with an @; '' without
    options: str

    def of_primary(self, host: str, port: str) -> str:
        """The plain URL of a Redis that a Sentinel has named."""
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return f"{self.scheme}://{self.user}{address}?{self.options}"


def is_sentinel_url(url: str) -> bool:
    """Whether it names Sentinels, and not a Redis."""
    return url.partition(":")[0].endswith("+sentinel")


def sentinel_url(url: str) -> SentinelUrl:
    """Parse it; ValueError, in one sentence without a password, if that cannot be."""
    parts = _URL.fullmatch(url)
    assert parts is not None, "its beginning and its user are checked with the settings"
    scheme, user, hosts, name, query = (part or "" for part in parts.groups())
    if not name or "/" in name:
        raise ValueError("must end in /NAME, the primary's name as the Sentinels have it, and in options such as ?db=1")
    options = [option for option in query.split("&") if option]
    own = [option for option in options if not option.startswith("sentinel_")]
    of_sentinels = "&".join(option for option in own if option.startswith("ssl_"))
    sentinel_user = _sentinel_user([option for option in options if option not in own])
    sentinels = {each: f"{scheme}://{sentinel_user}{each}?{of_sentinels}" for each in map(_address, hosts.split(","))}
    return SentinelUrl(name, sentinels, scheme, f"{user}@" if user else "", "&".join(own))


def check_sentinel_url(url: str) -> None:
    """ValueError, in one sentence without a password, if a part of it is missing, wrong or ignored."""
    parsed = sentinel_url(url)
    check_url(parsed.of_primary("localhost", "6379"))
    for each in parsed.sentinels.values():
        check_url(each)


def _address(text: str) -> str:
    match = _ADDRESS.fullmatch(text)
    port = int(match[2] or DEFAULT_PORT) if match else 0
    if match is None or not 0 < port < 65536:
        raise ValueError("must name at least one Sentinel, as HOST or HOST:PORT with commas between them")
    return f"{match[1]}:{port}"


def _sentinel_user(options: Sequence[str]) -> str:
    given = {name: values[-1] for name, values in parse_qs("&".join(options)).items()}
    user, password = given.pop("sentinel_user", ""), given.pop("sentinel_password", "")
    if given:
        raise ValueError(f"has an option that cannot be set here: {min(given)}")
    if user and not password:
        raise ValueError("has a sentinel_user without a sentinel_password")
    return f"{quote(user, safe='')}:{quote(password, safe='')}@" if password else ""


class SentinelConnector:
    """Connects to the primary; the next Sentinel is asked where one does not answer or does not lead to it.

    One that does not is asked last from then on, so that it costs its time once.
    """

    def __init__(self, url: str, *, may_be_replica: bool = False) -> None:
        self._url = sentinel_url(url)
        self._sentinels = list(self._url.sentinels)
        self._may_be_replica = may_be_replica

    async def __call__(self, breaker: NoBreaker = NO_BREAKER) -> RedisConnection:
        """NoPrimary if no Sentinel leads to a Redis that takes writes."""
        problems: dict[str, RedisUnavailable] = {}
        for sentinel in list(self._sentinels):
            where = sentinel
            try:
                host, port = await self._primary(sentinel)
                where = f"{host}:{port}"
                if where not in problems:
                    return await connect(
                        self._url.of_primary(host, port), may_be_replica=self._may_be_replica, breaker=breaker
                    )
            except RedisUnavailable as error:
                problems[where] = error
            self._ask_last(sentinel)
        raise NoPrimary(problems)

    async def _primary(self, sentinel: str) -> tuple[str, str]:
        reply = await _ask(self._url.sentinels[sentinel], "GET-MASTER-ADDR-BY-NAME", self._url.name)
        if reply is None:
            raise UnknownPrimary(f"it is a Sentinel and knows no primary {self._url.name}")
        host, port = reply
        return host.decode(), port.decode()

    def _ask_last(self, sentinel: str) -> None:
        self._sentinels.remove(sentinel)
        self._sentinels.append(sentinel)


async def ask_all(url: str) -> Mapping[str, Mapping[str, str] | RedisUnavailable]:
    """What each Sentinel of a redis+sentinel:// URL reports of the primary, by the Sentinel's address."""
    parsed = sentinel_url(url)
    answers = await asyncio.gather(*(_report(each, parsed.name) for each in parsed.sentinels.values()))
    return dict(zip(parsed.sentinels, answers, strict=True))


async def _report(sentinel: str, name: str) -> Mapping[str, str] | RedisUnavailable:
    try:
        reply = await _ask(sentinel, "MASTER", name)
    except RedisUnavailable as error:
        return error
    texts = [part.decode() for part in reply]
    return dict(zip(texts[::2], texts[1::2], strict=True))


async def _ask(sentinel: str, *command: str) -> Any:
    connection = unconnected(sentinel)
    try:
        async with asyncio.timeout(ASK_S):
            await connection.connect()  # type: ignore[no-untyped-call]
            await connection.send_command("SENTINEL", *command)
            return await connection.read_response()
    except ResponseError as error:
        is_other = "unknown command" in str(error)
        raise RedisUnavailable(f"it is no Sentinel: {error}" if is_other else str(error)) from error
    except (RedisError, OSError, TimeoutError) as error:
        raise RedisUnavailable(str(error) or "no answer in time") from error
    finally:
        await connection.disconnect(nowait=True)
