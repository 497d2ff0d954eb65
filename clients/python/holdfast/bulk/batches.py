"""One BatchReserve: each of its requests takes its own answer."""

from collections.abc import Callable, Sequence
from itertools import chain, repeat

from google.protobuf.message import Message
from grpc import aio

from holdfast.access import Metadata
from holdfast.bulk.pending import PendingReserve
from holdfast.connections import Stubs
from holdfast.errors import HoldfastError, TokenUnavailable
from holdfast.inventory.v1.inventory_service_pb2 import BatchReserveRequest, ReserveResult
from holdfast.statuses import error_from_rpc


async def judge_batch(
    items: Sequence[PendingReserve], server: Stubs, timeout_s: float, metadata_of: Callable[[Message], Metadata]
) -> HoldfastError | None:
    """Send these requests in one call; returns the error of the call if it failed as a whole, which each item has."""
    request = BatchReserveRequest(requests=[item.request for item in items])
    try:
        response = await server.buyers.BatchReserve(request, timeout=timeout_s, metadata=metadata_of(request))
    except TokenUnavailable as error:
        for item in items:
            item.fail(item.error(TokenUnavailable, error.code, error.message))
        return error
    except aio.AioRpcError as failure:
        for item in items:
            item.fail(error_from_rpc(failure, item.request))
        return error_from_rpc(failure, request)
    no_result = ReserveResult()
    for item, result in zip(items, chain(response.results, repeat(no_result)), strict=False):
        item.take(result)
    return None
