"""Random requests of every method to the server for tests: each ends with a reason, and its books agree afterwards.

They follow from a seed, which is printed; HOLDFAST_TEST_SEED sets another one.
"""

import os
from contextlib import suppress
from datetime import timedelta
from random import Random

import grpc
import pytest
from google.protobuf.message import DecodeError
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from structlog.testing import capture_logs

from tests.conformance.servers import Double, ask
from tests.fuzzed_requests import IDS, FuzzedRequests
from tests.inventory_server import call_error
from tests.methods import METHODS

SEED = int(os.environ.get("HOLDFAST_TEST_SEED", "1"))
REQUESTS = 1000


@pytest.mark.timeout(60)
async def test_random_requests_end_with_a_reason_and_the_books_agree(double: Double) -> None:
    """Time passes in between, so that holds run out and sales leave the stock."""
    print(f"HOLDFAST_TEST_SEED={SEED}")
    random, requests = Random(SEED), FuzzedRequests(SEED)
    for number in range(IDS["sale_id"]):
        items = [{"sku": f"sku-{n}", "total": 500} for n in range(IDS["sku"])]
        await double.caller.create_sale(f"sale_id-{number}", items=items)
    reserve_more = [8 if name == "Reserve" else 1 for name in METHODS]

    with capture_logs() as logged:
        for name in random.choices(list(METHODS), reserve_more, k=REQUESTS):
            await double.pass_time(timedelta(minutes=random.choice((0, 0, 0, 1, 60))))
            reason = await reason_of(double, name, waiting_for_nothing(name, requests.next(METHODS[name])))
            assert reason != "OUTCOME_UNKNOWN", name

    assert [line for line in logged if line["log_level"] in ("error", "critical")] == []
    for number in range(IDS["sale_id"]):
        audit = admin.AuditSaleRequest(sale_id=f"sale_id-{number}")
        assert (await double.caller.admin.AuditSale(audit)).consistent


def waiting_for_nothing(method: str, request: bytes) -> bytes:
    """A list would wait for half a minute for a commit that never comes."""
    if method != "ListReservations":
        return request
    with suppress(DecodeError):
        listed = calls.ListReservationsRequest.FromString(request)
        listed.ClearField("at_least")
        return listed.SerializeToString()
    return request


async def reason_of(double: Double, method: str, request: bytes) -> str:
    """How a call ends, '' for OK; an AssertionError if its status has no reason."""
    try:
        await ask(double, method, request)
    except grpc.aio.AioRpcError as error:
        return call_error(error).reason
    return ""
