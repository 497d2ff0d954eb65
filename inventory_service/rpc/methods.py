"""One table: for every method of both services, who may call it, the slots that it leaves free, and what it may do."""

from collections.abc import Mapping
from typing import NamedTuple

from inventory_service.domain.caller import ADMIN, AUDIT, READ, RESERVE

SLOTS = 4096  # calls that a process has under way at a time, over all of its server objects
STREAMS = 10_000  # streams that it has open at a time
TIME_LIMIT_S = 30.0  # for a call whose caller sets no deadline
AUDIT_TIME_LIMIT_S = 290.0  # gRPC cuts a call that outlasts its connection's age and grace
READERS = frozenset({READ, RESERVE, ADMIN})  # of the scopes of a method a caller needs one
BUYERS = frozenset({RESERVE})  # of services that act for buyers; the scope of operators does not include it
AUDITORS = frozenset({AUDIT, ADMIN})
OPERATORS = frozenset({ADMIN})


class MethodClass(NamedTuple):
    """What the methods of one class have in common."""

    scopes: frozenset[str]
    slots: int  # that may be in use, its own included; beyond, a call is OVERLOADED
    changes: bool  # something: an unknown field fails the call, and a call that is cut may have been carried out
    time_limit_s: float | None = TIME_LIMIT_S  # None: a stream, which ends by itself
    has_requests: bool = False  # each of which is checked for unknown fields by itself
    is_charged: bool = True  # a token of its caller's rate; False: each message on it is charged instead

    @property
    def weakest_scope(self) -> str:
        """The one that allows least beside these methods."""
        return next(scope for scope in (READ, RESERVE, AUDIT, ADMIN) if scope in self.scopes)


# Under load what is begun is finished: a new claim fails before a move of a reservation, and that before an operator.
CLAIM = MethodClass(BUYERS, SLOTS * 85 // 100, changes=True)
LOOKUP = MethodClass(READERS, SLOTS * 85 // 100, changes=False)
MOVE = MethodClass(BUYERS, SLOTS * 95 // 100, changes=True)
OPERATOR_READ = MethodClass(AUDITORS, SLOTS, changes=False)
OPERATOR = MethodClass(OPERATORS, SLOTS, changes=True)
WATCH = MethodClass(READERS, STREAMS, changes=False, time_limit_s=None)

METHODS: Mapping[str, MethodClass] = {
    "Reserve": CLAIM,
    "BatchReserve": CLAIM._replace(has_requests=True),
    "StreamReserve": MethodClass(BUYERS, STREAMS, changes=True, time_limit_s=None, has_requests=True, is_charged=False),
    "ConfirmReservation": MOVE,
    "ReleaseReservation": MOVE,
    "ExtendReservation": MOVE,
    "ChangeReservation": MOVE,
    "ReturnReservation": MOVE,
    "GetReservation": LOOKUP,
    "ListReservations": LOOKUP,
    "WatchReservation": WATCH,
    "GetSale": LOOKUP,
    "WatchSale": WATCH,
    "CreateSale": OPERATOR,
    "UpdateSale": OPERATOR,
    "ListSales": OPERATOR_READ,
    "PauseSale": OPERATOR,
    "ResumeSale": OPERATOR,
    "CloseSale": OPERATOR,
    "AdjustStock": OPERATOR,
    "ListAdjustments": OPERATOR_READ,
    "AuditSale": OPERATOR_READ._replace(time_limit_s=AUDIT_TIME_LIMIT_S),
    "ListDeadLetters": OPERATOR_READ,
    "ReplayDeadLetter": OPERATOR,
    "BlockBuyer": OPERATOR,
    "UnblockBuyer": OPERATOR,
    "ListBlockedBuyers": OPERATOR_READ,
    "RevokeTokens": OPERATOR,
}
