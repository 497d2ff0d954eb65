"""The rate of each caller: who it is, what a call costs, and what one hears that calls too often."""

import math
from collections.abc import Callable, Hashable
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Any
from urllib.parse import unquote

from grpc.aio import ServicerContext
from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.results import Failure
from inventory_service.rpc.auth import current_caller
from inventory_service.rpc.status import CallFailed
from inventory_service.service.rate_limit import RateLimit

Context = ServicerContext[Any, Any]


class CallerRate:
    """Charges calls to their callers; THROTTLED tells in how many milliseconds the tokens are there."""

    def __init__(self, limit: RateLimit, count_throttled: Callable[[], None]) -> None:
        self._limit = limit
        self._count_throttled = count_throttled

    def charge(self, context: Context) -> None:
        """Take the token of a call; CallFailed if there is none."""
        if wait_s := self._limit.take(caller_of(context)):
            raise self._throttled(wait_s)

    def charge_batch(self, context: Context, requests: int) -> None:
        """Take a token for each request of a batch; CallFailed, and the batch costs nothing, if they are not there."""
        if wait_s := self._limit.take_instead(caller_of(context), requests):
            raise self._throttled(wait_s)

    async def wait(self, context: Context) -> None:
        """Wait for the token of a message on a stream, and take it."""
        await self._limit.wait(caller_of(context))

    def _throttled(self, wait_s: float) -> CallFailed:
        self._count_throttled()
        return CallFailed(Failure(reasons.ERROR_REASON_THROTTLED), retry_ms=math.ceil(wait_s * 1000))


def caller_of(context: Context) -> Hashable:
    """Whose bucket a call takes from: tenant and subject, or the peer's address while authentication is off."""
    caller = current_caller.get()
    return (caller.tenant, caller.subject) if caller.subject else address_of(context.peer())


@lru_cache(maxsize=10_000)
def address_of(peer: str) -> str:
    """The address of a peer as gRPC names it, without its port; of IPv6 the first 64 bits, which are one host's."""
    kind, _, rest = peer.partition(":")
    host = unquote(rest).rpartition(":")[0].strip("[]").partition("%")[0]
    if kind != "ipv6":
        return host or peer
    address = IPv6Address(host)
    return str(address.ipv4_mapped or IPv6Address(int(address) >> 64 << 64))
