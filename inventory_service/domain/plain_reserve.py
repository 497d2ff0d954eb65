"""A Reserve of the usual shape, one line and nothing that is optional, with the bytes that the store takes of it.

It is judged as every Reserve is. `Reserve` is the general form, which all but the fastest path uses.
"""

from typing import NamedTuple, TypeAlias

from inventory_service.domain.fingerprints import terms_of
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.reserve import Reserve, ReserveResult


class PlainReserve(NamedTuple):
    """Hold units of one item for the sale's own time, without a reference."""

    sale: SaleKey
    reservation_id: str
    fingerprint: bytes
    claim: bytes  # a Claim, serialized

    def general(self) -> Reserve:
        """The same request in the form that every Reserve has."""
        terms = terms_of(self.fingerprint.decode())
        return Reserve(self.sale, self.reservation_id, terms.buyer_id, terms.lines, None)


class CallMoment(NamedTuple):
    """What all holds of one script call share: the commit that they are in, and the shard's time."""

    shard: int
    epoch: int
    seq: int
    now_ms: int


class PlainHold(NamedTuple):
    """The units of a PlainReserve are held, by this call for the first time: all else is as it was asked for."""

    moment: CallMoment
    index: int  # type: ignore[assignment]  # in its commit; hides tuple.index, which is not used here
    expire_ms: int


PlainResult: TypeAlias = PlainHold | ReserveResult


def general(request: Reserve | PlainReserve) -> Reserve:
    """A request in its general form."""
    return request if isinstance(request, Reserve) else request.general()
