"""ReplayDeadLetter: from its request to units, or to the reason why there are none."""

from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin

from inventory_service.domain.dead_letters import created_from, dead_letter_not_found
from inventory_service.domain.keys import Position
from inventory_service.domain.results import Failure
from inventory_service.rpc.auth import tenant_of
from inventory_service.rpc.calls.call import Context
from inventory_service.rpc.messages import dead_letter_to_proto, reserve_response
from inventory_service.rpc.status import CallFailed
from inventory_service.rpc.validation import Validator
from inventory_service.service.replay import DeadLetterReplay


class DeadLetterCalls:
    """The call that changes a dead letter; a repeat with the same id finishes what the first one has begun."""

    def __init__(self, replays: DeadLetterReplay) -> None:
        self._replays = replays

    async def ReplayDeadLetter(
        self, request: admin.ReplayDeadLetterRequest, context: Context
    ) -> admin.ReplayDeadLetterResponse:
        """Reserve anew what a refused order had."""
        created, reservation_id = replay_from_proto(request)
        result = await self._replays.replay(tenant_of(context), created, reservation_id)
        if isinstance(result, Failure):
            about = {"dead_letter_id": request.dead_letter_id, "reservation_id": reservation_id}
            raise CallFailed(result._replace(metadata={**about, **result.metadata}))
        return admin.ReplayDeadLetterResponse(
            outcome=reserve_response(result.outcome), dead_letter=dead_letter_to_proto(result.letter)
        )


def replay_from_proto(request: admin.ReplayDeadLetterRequest) -> tuple[Position, str]:
    """Where the refused order was made, and the id of the new reservation. What is no dead letter's id is not found."""
    fields = Validator()
    if not request.dead_letter_id:
        fields.add_violation("dead_letter_id", "must be set")
    fields.ids(request, "reservation_id")
    fields.raise_if_invalid()
    created = created_from(request.dead_letter_id)
    if created is None:
        raise CallFailed(dead_letter_not_found(request.dead_letter_id))
    return created, request.reservation_id
