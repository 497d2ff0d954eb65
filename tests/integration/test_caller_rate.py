"""The rate of callers on a server: what a noisy one hears, what it costs others, a batch and a stream."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from holdfast.inventory.v1 import inventory_service_pb2 as calls

from tests.inventory_server import Caller, call_error, calling, error_of, reserve_request, running_server
from tests.tokens import SECRET, claims, secret_token, write

BURST, PER_S = 20, 1  # a busy machine takes some seconds for the calls of a test, and few tokens come meanwhile


@pytest.fixture
async def limited(valkey: str, database: str, caller: Caller) -> AsyncIterator[Caller]:
    """A caller of a server with a limit; its sale was made by another one, without."""
    await caller.create_sale(units=1000)
    limits = {"rate_per_s": PER_S, "rate_burst": BURST}
    async with running_server(valkey, database, **limits) as address, calling(address) as limited:
        yield limited


async def test_a_caller_that_obeys_retry_info_succeeds(limited: Caller) -> None:
    """THROTTLED says when the next token is there, and costs none itself."""
    answers = await asyncio.gather(
        *(limited.reserve(f"r-{number}") for number in range(3 * BURST)), return_exceptions=True
    )
    throttled = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert {call_error(error).reason for error in throttled} == {"THROTTLED"}
    assert {error.code() for error in throttled} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert len(throttled) >= BURST

    await asyncio.sleep(max(map(retry_s, throttled)))

    assert (await limited.reserve("later")).HasField("reservation")


def retry_s(error: grpc.aio.AioRpcError) -> float:
    """When a call may be repeated: within the time of one token."""
    raw: Any = dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
    for detail in status_pb2.Status.FromString(raw).details:
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(retry):
            seconds = float(retry.retry_delay.ToTimedelta().total_seconds())
            assert 0 < seconds <= 1 / PER_S + 0.001
            return seconds
    raise AssertionError(f"no RetryInfo: {error}")


async def test_a_batch_is_charged_by_its_requests(limited: Caller) -> None:
    """One that is throttled is not judged."""
    batch = calls.BatchReserveRequest(requests=[reserve_request(f"b-{number}") for number in range(BURST)])

    first = await limited.stock.BatchReserve(batch)
    error = await error_of(limited.stock.BatchReserve(batch))

    assert len(first.results) == BURST
    assert (error.code, error.reason, error.retries) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "THROTTLED", True)


async def test_a_stream_waits_and_every_message_is_answered(limited: Caller) -> None:
    """It takes as long as its tokens take to come."""
    sent = BURST + 2 * PER_S
    requests = [
        calls.StreamReserveRequest(correlation_id=number, request=reserve_request(f"s-{number}"))
        for number in range(sent)
    ]
    began = asyncio.get_running_loop().time()

    answers = [answer async for answer in limited.stock.StreamReserve(iter(requests))]

    assert {answer.correlation_id for answer in answers} == set(range(sent))
    assert all(answer.result.response.HasField("reservation") for answer in answers)
    assert asyncio.get_running_loop().time() - began > (sent - BURST) / PER_S - 0.1


async def test_a_noisy_caller_costs_another_nothing(valkey: str, database: str, caller: Caller, tmp_path: Path) -> None:
    """Each subject has a bucket of its own, though both call from one address and for one tenant."""
    secret = write(tmp_path / "secret", SECRET)
    await caller.create_sale(units=1000)
    limits: dict[str, Any] = {"rate_per_s": 1, "rate_burst": BURST, "auth_secret_file": str(secret)}
    limits["auth_allow_default_tenant"] = "true"  # that of the sale
    async with running_server(valkey, database, **limits) as address, calling(address) as client:

        async def reserve(subject: str, name: str) -> str:
            token = secret_token(claims(sub=subject, tenant="default"))
            try:
                await client.stock.Reserve(reserve_request(name), metadata=(("authorization", f"Bearer {token}"),))
            except grpc.aio.AioRpcError as error:
                return call_error(error).reason
            return "OK"

        noisy = [reserve("noisy", f"n-{number}") for number in range(10 * BURST)]
        quiet = [reserve("quiet", f"q-{number}") for number in range(BURST)]
        heard = await asyncio.gather(*noisy, *quiet)

    assert heard[len(noisy) :] == ["OK"] * BURST
    assert set(heard[: len(noisy)]) == {"OK", "THROTTLED"}
    assert heard.count("THROTTLED") >= len(noisy) - 2 * BURST
