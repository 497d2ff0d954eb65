"""The asyncio client: the generated stubs with several connections, deadlines, safe repeats and typed errors.

Each method is one call and returns that call's response message. A call that fails raises one of `holdfast.errors`;
sold out is no failure and comes back in the response.
"""

from holdfast.reservation_calls import ReservationCalls
from holdfast.retry import RetryPolicy
from holdfast.sale_calls import SaleCalls


class Client(ReservationCalls, SaleCalls):
    """Calls one server over several connections, which open when they are first used, or several servers.

    `address` is host:port; several have commas between them and share the connections, of which each server has at
    least one. Calls go over the connections in turn and so do repeats, so a server that is down costs a call one
    attempt. With `use_proxy` the connections go through the proxy that the environment names (`http_proxy`,
    `https_proxy`, `no_proxy`).

    A client may be made anywhere, outside an event loop too, and used by one event loop after another. It is not
    carried over a fork once it has connected: there its calls raise `Closed`.
    """

    def __init__(
        self, address: str, *, channels: int = 8, retry: RetryPolicy | None = None, use_proxy: bool = False
    ) -> None:
        super().__init__(address, channels, retry, use_proxy)

    async def reach(self, within_s: float) -> bool:
        """Whether a server accepts connections at the address, or at one of them; sends no call."""
        return await self._connect().reach(within_s)
