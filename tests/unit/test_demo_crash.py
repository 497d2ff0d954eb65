"""The demo's accident happens in every run, also on a machine that is too busy to look on while the sale goes on."""

from typing import Any, cast

from holdfast.inventory.v1.sale_pb2 import Item
from holdfast_embedded.demo.sale import Crash, DemoSale, Scale

UNITS = 100


class Supervised:
    """A stack whose persister comes back as soon as somebody asks."""

    killed = 0

    def kill(self, name: str) -> None:
        self.killed += 1

    def restarts(self, name: str) -> int:
        return self.killed


class SoldOut:
    """A sale that is over, and a ledger that has it all."""

    item = Item(sku="lamp", sold=UNITS)

    async def look(self) -> bool:
        return True


class Silent:
    """A screen."""

    def show(self) -> None: ...

    def tell(self, what: str) -> None: ...


async def test_a_sale_at_which_nobody_could_look_still_has_its_accident() -> None:
    """The persister is killed once, and the demo waits until it runs again before it judges."""
    stack, screen = Supervised(), Silent()
    crash = Crash(cast(Any, stack), cast(Any, screen), UNITS)
    nothing = cast(Any, None)
    sale = DemoSale(
        nothing, nothing, cast(Any, SoldOut()), cast(Any, screen), nothing, Scale(UNITS, 1, 0, 1), crash, "sale"
    )

    await sale._drain()

    assert (stack.killed, crash.killed, crash.mended) == (1, True, True)
