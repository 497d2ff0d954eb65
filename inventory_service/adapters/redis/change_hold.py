"""Builds the arguments of change_hold.lua and parses its result."""

from inventory_service.adapters.redis.call import CallHead, Values
from inventory_service.adapters.redis.connection import Argument
from inventory_service.adapters.redis.moves import MOVE_RESULTS, move_result
from inventory_service.adapters.redis.reserve import refusal_from_values
from inventory_service.domain.call_again import CallAgain
from inventory_service.domain.change_hold import ChangeHold, ChangeResult
from inventory_service.domain.fingerprints import spelled


def change_hold_arguments(request: ChangeHold, max_commits_ahead: int) -> list[Argument]:
    """The arguments of a call on the hold's sale."""
    revision = "" if request.expected_revision is None else request.expected_revision
    return [max_commits_ahead, request.reservation_id, revision, spelled(request.lines)]


def change_hold_result(head: CallHead, request: ChangeHold, result: Values) -> ChangeResult | CallAgain:
    """Parse the result, in the form of a move's or of a Reserve's."""
    return (move_result if result[0] in MOVE_RESULTS else refusal_from_values)(head, request, result)
