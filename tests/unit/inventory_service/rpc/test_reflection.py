"""Reflection: for everyone where everyone may call, else for callers that the server knows."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.caller import Caller
from inventory_service.domain.results import Failure
from inventory_service.rpc.auth import Authenticate
from inventory_service.rpc.reflection import ReflectionServicer
from inventory_service.rpc.status import CallFailed
from tests.unit.inventory_service.rpc.wrapped_calls import Aborted, FakeContext


async def names(authenticate: Authenticate | None, context: FakeContext) -> list[str]:
    """The services that are named."""

    async def ask() -> AsyncIterator[Any]:
        yield ServerReflectionRequest(list_services="")

    any_context: Any = context
    answers = ReflectionServicer(["one", "other"], authenticate).ServerReflectionInfo(ask(), any_context)
    return [each.name async for answer in answers for each in answer.list_services_response.service]


async def test_a_caller_that_the_server_knows_may_ask_whatever_its_scopes() -> None:
    """And everyone where there is nothing to know callers by."""
    ann = Caller("acme", "ann", frozenset())

    assert await names(lambda _context: ann, FakeContext(None)) == ["one", "other"]
    assert await names(None, FakeContext(None)) == ["one", "other"]


async def test_another_is_told_nothing_but_why() -> None:
    """As in every call."""

    def refuse(_context: Any) -> Caller:
        raise CallFailed(Failure(reasons.ERROR_REASON_TOKEN_INVALID, {"problem": "no_token"}))

    context = FakeContext(None)
    with pytest.raises(Aborted):
        await names(refuse, context)

    assert context.reason == "TOKEN_INVALID"
