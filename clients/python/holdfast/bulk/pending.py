"""One of the many requests of a BatchReserve or StreamReserve, and what it has come to."""

import grpc

from holdfast.errors import Details, HoldfastError
from holdfast.inventory.v1.inventory_service_pb2 import ReserveRequest, ReserveResponse, ReserveResult
from holdfast.retry import Attempts, Outcome
from holdfast.statuses import error_from_status, ids_of

ReserveAnswer = ReserveResponse | HoldfastError


class PendingReserve:
    """A request with its latest answer, which is an error while it may be repeated."""

    __slots__ = ("_answer", "_outcome", "attempts", "request", "was_sent")

    def __init__(self, request: ReserveRequest) -> None:
        self.request = request
        self.attempts: Attempts | None = None  # from its first failure on, where it is repeated by itself
        self.was_sent = False
        self._answer: ReserveAnswer | None = None
        self._outcome: Outcome | None = None  # from its first failure on

    @property
    def answer(self) -> ReserveAnswer:
        """The latest one."""
        if self._answer is None:
            self._answer = self.error(HoldfastError, grpc.StatusCode.UNKNOWN, "It was not asked.")
        return self._answer

    @property
    def failed(self) -> HoldfastError | None:
        """The error of its latest attempt, if that failed."""
        answer = self.answer
        return answer if isinstance(answer, HoldfastError) else None

    @property
    def may_be_repeated(self) -> bool:
        """Whether its latest attempt failed in a way that a repeat may mend."""
        return self.failed is not None and self.failed.repeatable

    @property
    def is_given_up(self) -> bool:
        """Whether the patience for it is spent."""
        return self.attempts is not None and self.attempts.are_over

    def take(self, result: ReserveResult) -> None:
        """Take the answer of a server."""
        if result.HasField("response"):
            self._answer = result.response
        elif result.HasField("status"):
            self.fail(error_from_status(result.status, self.request))
        else:
            unknown = self.error(HoldfastError, grpc.StatusCode.UNKNOWN, "The answer is none that this client knows.")
            unknown.outcome_unknown = True
            self.fail(unknown)

    def fail(self, error: HoldfastError) -> None:
        """Take the error of an attempt, which is told whether an attempt before it may have done what is asked."""
        self._outcome = self._outcome or Outcome()
        self._outcome.add(error)
        self._answer = error

    def error(self, kind: type[HoldfastError], code: grpc.StatusCode, message: str) -> HoldfastError:
        """An error that this client makes, about this request."""
        return kind(code, message, Details(ids=ids_of(self.request)))
