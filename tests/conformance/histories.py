"""Draws histories of some sales: calls of every method, most of them sound, each of which may meet what others did.

A step makes its request from what its own server told before, such as an etag or the id of a dead letter.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.reservation_pb2 import Line, ReservationState
from holdfast.inventory.v1.sale_pb2 import Item

from tests.conformance.answers import Answers
from tests.conformance.sale_steps import SaleSteps, Step, as_it_is

BUYERS = ("ann", "bob", "cid")
REFUSED_BUYER = "rob"  # whose orders the ledger refuses
BLOCKED_BUYER = "dot"  # who is blocked after the first round
SHORT_S = 500  # less than a sale's default, and far more than a history takes: no hold ends by itself meanwhile
WHOLE_LIST = 1000  # other tests may have blocked buyers of the same tenant, so that a short page would end elsewhere


class Claim(NamedTuple):
    """A Reserve that was asked for."""

    sale_id: str
    reservation_id: str
    request: calls.ReserveRequest


class History(SaleSteps):
    """The same steps for the same seed, in rounds.

    What the ledger may refuse, it refuses a moment later. So that happens in a sale of its own, with one call for each
    reservation in a round, and only what reads the ledger at the end of a round looks at that sale.
    """

    def __init__(self, seed: int, prefix: str, now: datetime) -> None:
        super().__init__(seed, prefix, now)
        self._claims: list[Claim] = []
        self._refusable: list[Claim] = []
        self._replays = 0
        self.refused = self._sale("refused", items=[Item(sku="lamp", total=1000)])
        self._draws: list[tuple[int, Callable[[], Step]]] = [
            *((10, self._reserve), (3, self._repeat), (4, self._confirm), (3, self._partial_confirm)),
            *((3, self._release), (2, self._extend), (4, self._change), (4, self._return), (2, self._get)),
            *((2, self._get_sale), (1, self._batch), (1, self._stream), (1, self._create_again), (2, self._update)),
            *((1, self._pause), (4, self._resume), (1, self._close), (2, self._adjust), (1, self._list_blocked)),
            (1, self._revoke),
            *((1, self._watch_sale), (1, self._watch_reservation)),
        ]

    def beginning(self) -> list[Step]:
        """The sales are made."""
        made = [admin.CreateSaleRequest(sale=sale) for sale in (*self.sales, self.refused)]
        return [Step("CreateSale", as_it_is(request)) for request in made]

    def changes(self, count: int) -> Iterator[Step]:
        """So many calls that the ledger has no part in: each kind once, and then by chance."""
        kinds = [draw for _, draw in self._draws]
        first = self._random.sample(kinds, len(kinds))
        weights = [weight for weight, _ in self._draws]
        for draw in [*first, *self._random.choices(kinds, weights, k=count - len(first))]:
            yield draw()

    def refusals(self) -> Iterator[tuple[Claim, Step]]:
        """Orders that the ledger refuses, and moves of those of earlier rounds, each with its reservation."""
        for claim in self._random.sample(self._refusable, min(3, len(self._refusable))):
            yield claim, self._random.choice((self._confirm, self._release, self._extend))(claim)
        for buyer in (REFUSED_BUYER, BLOCKED_BUYER, BLOCKED_BUYER):
            claim = self._new_claim(buyer, self.refused.sale_id)
            del claim.request.lines[:]
            claim.request.lines.add(sku="lamp", quantity=self._random.choice((1, 2)))
            self._refusable.append(claim)
            yield claim, Step("Reserve", as_it_is(claim.request))

    def reads(self) -> Iterator[Step]:
        """What is read of the ledger, and of what it has refused."""
        sale: Any = {"sale_id": self.refused.sale_id}
        yield from (self._list_reservations() for _ in range(4))
        yield Step("ListSales", as_it_is(admin.ListSalesRequest(page_size=4)))
        yield from (self._list_adjustments() for _ in range(2))
        yield from (
            Step("AuditSale", as_it_is(admin.AuditSaleRequest(sale_id=each.sale_id))) for each in self.sales[:2]
        )
        yield Step("AuditSale", as_it_is(admin.AuditSaleRequest(**sale)))
        yield Step("GetSale", as_it_is(calls.GetSaleRequest(**sale)))
        for claim in self._refusable:
            yield self._get(claim)
            yield self._watch_reservation(claim)
        yield Step("ListDeadLetters", as_it_is(admin.ListDeadLettersRequest(**sale)))

    def replays(self) -> Iterator[tuple[Claim, Step]]:
        """Some dead letters are replayed, one of them twice, and others that there are not."""
        for number in self._random.choices(range(4), k=4):
            self._replays += 1
            claim = Claim(self.refused.sale_id, f"again-{self._replays}", calls.ReserveRequest())
            yield claim, self._replay(number, claim.reservation_id)

    def between(self) -> Iterator[Step]:
        """The buyer is blocked, so that in the next round the ledger refuses the confirm of what was held before."""
        for reason in ("bot", "again"):
            request = admin.BlockBuyerRequest(buyer_id=self._prefix + BLOCKED_BUYER, reason=reason)
            yield Step("BlockBuyer", as_it_is(request))

    def end(self) -> Iterator[Step]:
        """The buyer is unblocked."""
        for _ in range(2):
            yield Step("UnblockBuyer", as_it_is(admin.UnblockBuyerRequest(buyer_id=self._prefix + BLOCKED_BUYER)))
        yield self._list_blocked()

    @property
    def refused_buyer(self) -> str:
        return self._prefix + REFUSED_BUYER

    # ---------------------------------------------------------------------------------- reservations

    def _reserve(self) -> Step:
        claim = self._new_claim(self._random.choice(BUYERS), self._sale_id())
        self._claims.append(claim)
        return Step("Reserve", as_it_is(claim.request))

    def _new_claim(self, buyer: str, sale_id: str) -> Claim:
        claim = calls.ReserveRequest(
            sale_id=sale_id,
            reservation_id=f"r-{len(self._claims) + len(self._refusable):03}",
            buyer_id=self._prefix + buyer,
            lines=self._some_lines(),
            reference=self._random.choice(("", "", "order-1")),
        )
        if self._random.random() < 0.2:
            claim.hold_ttl.seconds = self._random.choice((SHORT_S, 7200))
        return Claim(claim.sale_id, claim.reservation_id, claim)

    def _lines(self) -> dict[str, int]:
        skus = self._random.choices((["lamp"], ["bulb"], ["lamp", "bulb"], ["sofa"]), (8, 3, 4, 1))[0]
        return {sku: self._random.choice((1, 1, 2, 3)) for sku in skus}

    def _known(self) -> Claim:
        """One of the last claims, so that several steps meet one reservation, or one that was never made."""
        unknown = self._new_claim("ann", self._sale_id())
        return self._random.choice([*self._claims[-8:], unknown])

    def _repeat(self) -> Step:
        """The same request, or another with the same id."""
        claim, request = self._known(), calls.ReserveRequest()
        request.CopyFrom(claim.request)
        if self._random.random() < 0.3:
            request.lines[0].quantity += 1
        return Step("Reserve", as_it_is(request))

    def _move(self, method: str, kind: Any, claim: Claim | None, **fields: Any) -> Step:
        """A move of a reservation, by default of a known one, sometimes with the revision that must be found."""
        sale_id, reservation_id, _ = claim or self._known()
        revision: Any = self._random.choice(({}, {}, {}, {"expected_revision": 1}, {"expected_revision": 2}))
        request = kind(sale_id=sale_id, reservation_id=reservation_id, **revision, **fields)
        return Step(method, as_it_is(request))

    def _confirm(self, claim: Claim | None = None) -> Step:
        return self._move("ConfirmReservation", calls.ConfirmReservationRequest, claim)

    def _partial_confirm(self) -> Step:
        part: Any = {"lines": self._some_lines()}
        return self._move("ConfirmReservation", calls.ConfirmReservationRequest, None, partial=part)

    def _some_lines(self) -> list[Line]:
        return [Line(sku=sku, quantity=quantity) for sku, quantity in self._lines().items()]

    def _release(self, claim: Claim | None = None) -> Step:
        spends = self._random.random() < 0.3
        return self._move("ReleaseReservation", calls.ReleaseReservationRequest, claim, reason="no", spend_id=spends)

    def _extend(self, claim: Claim | None = None) -> Step:
        ttl = Duration(seconds=self._random.choice((SHORT_S, 1200, 7200)))
        return self._move("ExtendReservation", calls.ExtendReservationRequest, claim, hold_ttl=ttl)

    def _change(self) -> Step:
        return self._move("ChangeReservation", calls.ChangeReservationRequest, None, lines=self._some_lines())

    def _return(self) -> Step:
        lines = self._random.choice(([], self._some_lines()))
        more: Any = {"reason": "broken", "lines": lines, "discard": self._random.random() < 0.3}
        return self._move("ReturnReservation", calls.ReturnReservationRequest, None, **more)

    def _get(self, claim: Claim | None = None) -> Step:
        sale_id, reservation_id, _ = claim or self._known()
        request = calls.GetReservationRequest(sale_id=sale_id, reservation_id=reservation_id)
        return Step("GetReservation", as_it_is(request))

    def _watch_reservation(self, claim: Claim | None = None) -> Step:
        sale_id, reservation_id, _ = claim or self._known()
        request = calls.WatchReservationRequest(sale_id=sale_id, reservation_id=reservation_id)
        return Step("WatchReservation", as_it_is(request))

    def _get_sale(self) -> Step:
        return Step("GetSale", as_it_is(calls.GetSaleRequest(sale_id=self._sale_id())))

    def _watch_sale(self) -> Step:
        return Step("WatchSale", as_it_is(calls.WatchSaleRequest(sale_id=self._sale_id())))

    def _batch(self) -> Step:
        """New ones, the first of them again, and with another body, and one that is out of bounds.

        The order of time is then that of the ids, also where one server makes all of them in the same moment.
        """
        new = []
        for buyer in self._random.sample(BUYERS, 2):
            new.append(self._new_claim(buyer, self._sale_id()))
            self._claims.append(new[-1])
        other = calls.ReserveRequest()
        other.CopyFrom(new[0].request)
        other.lines[0].quantity += 1
        wrong = calls.ReserveRequest(sale_id="-", lines=[Line()])
        requests = [*(claim.request for claim in new), new[0].request, other, wrong]
        return Step("BatchReserve", as_it_is(calls.BatchReserveRequest(requests=requests)))

    def _stream(self) -> Step:
        request = self._known().request
        return Step("StreamReserve", as_it_is(calls.StreamReserveRequest(correlation_id=7, request=request)))

    # ------------------------------------------------------------------------------------- operators

    def _revoke(self) -> Step:
        name = f"{self._prefix}{self._random.randrange(2)}"
        subject = {"subject": name, "issued_before": self._now - timedelta(seconds=self._random.randrange(3))}
        tokens: Any = self._random.choice(({"jti": name}, {"subject_tokens": subject}))
        return Step("RevokeTokens", as_it_is(admin.RevokeTokensRequest(reason="lost", **tokens)))

    def _list_reservations(self) -> Step:
        """By sale, so that one page has what one shard has; each second time the page behind the last one."""
        sale_id, goes_on = self.sales[0].sale_id, self._random.random() < 0.5
        states = self._random.choice(([], [ReservationState.RESERVATION_STATE_HELD]))
        if goes_on:
            states = []

        def build(told: Answers) -> Message:
            token = told.page_tokens.get("ListReservations", "") if goes_on else ""
            return calls.ListReservationsRequest(
                sale_id=sale_id,
                states=states,
                page_size=3,
                page_token=token,
                at_least=told.positions.get(sale_id) if not token else None,
            )

        return Step("ListReservations", build)

    def _list_adjustments(self) -> Step:
        return Step("ListAdjustments", as_it_is(admin.ListAdjustmentsRequest(sale_id=self._sale_id(), page_size=3)))

    def _list_blocked(self) -> Step:
        return Step("ListBlockedBuyers", as_it_is(admin.ListBlockedBuyersRequest(page_size=WHOLE_LIST)))

    def _replay(self, number: int, reservation_id: str) -> Step:
        def build(told: Answers) -> Message:
            letter = told.letters[number] if number < len(told.letters) else "0-1-1-0"
            return admin.ReplayDeadLetterRequest(dead_letter_id=letter, reservation_id=reservation_id)

        return Step("ReplayDeadLetter", build)
