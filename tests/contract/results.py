"""Results of calls: asserted to be of one type, or named by one word."""

from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast.inventory.v1.reservation_pb2 import RejectionReason

from inventory_service.domain.reserve import Reserve
from inventory_service.domain.results import Failure, Granted, Rejected
from tests.contract.shards import ShardUnderTest


async def granted(shard: ShardUnderTest, request: Reserve) -> Granted:
    """Reserve; fails unless units are granted."""
    answer = await shard.stock.reserve(request)
    assert isinstance(answer, Granted), answer
    return answer


async def rejected(shard: ShardUnderTest, request: Reserve) -> Rejected:
    """Reserve; fails unless the request is rejected."""
    answer = await shard.stock.reserve(request)
    assert isinstance(answer, Rejected), answer
    return answer


def reason_of(answer: object) -> str:
    """The reason of a result without its prefix, or GRANTED or REPLAYED."""
    match answer:
        case Rejected(reason=reason):
            return RejectionReason.Name(reason).removeprefix("REJECTION_REASON_")
        case Failure(reason=reason):
            return ErrorReason.Name(reason).removeprefix("ERROR_REASON_")
        case Granted(replayed=replayed):
            return "REPLAYED" if replayed else "GRANTED"
    raise AssertionError(f"no reason in {answer}")
