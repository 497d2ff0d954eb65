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


class Answers:
    """The context of a stream, which keeps what is written."""

    def __init__(self) -> None:
        self.names: list[str] = []

    async def write(self, answer: Any) -> None:
        self.names += [each.name for each in answer.list_services_response.service]


async def names(authenticate: Authenticate | None) -> list[str]:
    """The services that are named."""

    async def ask() -> AsyncIterator[Any]:
        yield ServerReflectionRequest(list_services="")

    context: Any = Answers()
    await ReflectionServicer(["one", "other"], authenticate).ServerReflectionInfo(ask(), context)
    return list(context.names)


async def test_a_caller_that_the_server_knows_may_ask_whatever_its_scopes() -> None:
    """And everyone where there is nothing to know callers by."""
    ann = Caller("acme", "ann", frozenset())

    assert await names(lambda _context: ann) == ["one", "other"]
    assert await names(None) == ["one", "other"]


async def test_another_is_told_nothing_but_why() -> None:
    """As in every call."""

    def refuse(_context: Any) -> Caller:
        raise CallFailed(Failure(reasons.ERROR_REASON_TOKEN_INVALID, {"problem": "no_token"}))

    with pytest.raises(CallFailed, match="TOKEN_INVALID"):
        await names(refuse)
