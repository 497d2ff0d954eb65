"""The asyncio client: the generated stubs with several connections, deadlines, safe repeats and typed errors.

Each method is one call and returns that call's response message. A call that fails raises one of `holdfast.errors`;
sold out is no failure and comes back in the response.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Self

from grpc import aio

from holdfast.access import Access, Tls, Token, from_environment
from holdfast.bulk.coalescing import Coalescing
from holdfast.calls.audit import AuditCalls
from holdfast.calls.bulk import BulkCalls
from holdfast.calls.lists import ListCalls
from holdfast.calls.reservations import ReservationCalls
from holdfast.calls.sales import SaleCalls
from holdfast.calls.tokens import TokenCalls
from holdfast.calls.watches import WatchCalls
from holdfast.retry import RetryPolicy


class Client(ReservationCalls, BulkCalls, WatchCalls, ListCalls, SaleCalls, AuditCalls, TokenCalls):
    """Calls one server over several connections, which open when they are first used, or several servers.

    `address` is host:port; several have commas between them and share the connections, of which each server has at
    least one. Calls go over the connections in turn and so do repeats, so a server that is down costs a call one
    attempt. With `use_proxy` the connections go through the proxy that the environment names (`http_proxy`,
    `https_proxy`, `no_proxy`), and with `tls` they are encrypted. `token` is sent with each attempt; one that is a
    function is called for it, on the event loop. With `coalesce`, calls of `reserve` that are made at the same time are
    sent together, up to a hundred in one BatchReserve.

    A client may be made anywhere, outside an event loop too, and used by one event loop after another. It is not
    carried over a fork once it has connected: there its calls raise `Closed`.
    """

    def __init__(
        self,
        address: str,
        *,
        channels: int = 8,
        retry: RetryPolicy | None = None,
        use_proxy: bool = False,
        tls: Tls | None = None,
        token: Token | None = None,
        user_agent: str = "",
        interceptors: Sequence[aio.ClientInterceptor] = (),
        coalesce: bool = False,
    ) -> None:
        super().__init__(Access(address, channels, use_proxy, tls, user_agent, interceptors), retry, token)
        self._coalescing = Coalescing() if coalesce else None

    @classmethod
    def from_env(cls, **arguments: Any) -> Self:
        """A client of the server that HOLDFAST_ADDRESS names; `arguments` go before what the environment says.

        HOLDFAST_TOKEN or HOLDFAST_TOKEN_FILE is the token, and HOLDFAST_TLS=1 encrypts, as do HOLDFAST_CA_FILE,
        HOLDFAST_CLIENT_CERT_FILE and HOLDFAST_CLIENT_KEY_FILE. HOLDFAST_USE_PROXY=1 connects through a proxy.
        """
        return cls(**{**from_environment(), **arguments})

    async def reach(self, within_s: float) -> bool:
        """Whether a server accepts connections at the address, or at one of them; sends no call."""
        connections = self._pool.connections()
        try:
            async with asyncio.timeout(within_s) as limit:
                with connections.under_way(limit):
                    await connections.ready()
        except TimeoutError:
            self._pool.connections()  # raises `Closed` if it was `close` that ended the wait
            return False
        return True
