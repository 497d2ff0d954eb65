"""Tokens on a server process: which are valid, what each may do, and keys that change under load."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from tests.integration.server_health import SERVING, health, is_on_page, page_of, serving
from tests.inventory_server import (
    SLOW,
    UNREACHABLE_DSN,
    Caller,
    ServerProcess,
    call_error,
    calling,
    first_answer_to,
    run_process,
    running_server_process,
    until_judged,
)
from tests.methods import METHODS
from tests.token_caller import TokenCaller
from tests.tokens import SECRET, Key, claims, ec_key, ed_key, jwks, write
from tests.waiting import eventually

SCOPES = ("inventory.read", "inventory.reserve", "inventory.audit", "inventory.admin")
READERS, BUYERS, AUDITORS, OPERATORS = (
    {"inventory.read", "inventory.reserve", "inventory.admin"},
    {"inventory.reserve"},
    {"inventory.audit", "inventory.admin"},
    {"inventory.admin"},
)
# As docs/operations.md has them.
MAY_CALL = {
    **dict.fromkeys(("GetSale", "GetReservation", "ListReservations", "WatchSale", "WatchReservation"), READERS),
    **dict.fromkeys(("Reserve", "BatchReserve", "StreamReserve"), BUYERS),
    **dict.fromkeys((f"{move}Reservation" for move in ("Confirm", "Release", "Extend", "Change", "Return")), BUYERS),
    **dict.fromkeys(("ListSales", "ListAdjustments", "ListDeadLetters", "ListBlockedBuyers", "AuditSale"), AUDITORS),
    **dict.fromkeys(("CreateSale", "UpdateSale", "PauseSale", "ResumeSale", "CloseSale", "AdjustStock"), OPERATORS),
    **dict.fromkeys(("ReplayDeadLetter", "BlockBuyer", "UnblockBuyer", "RevokeTokens"), OPERATORS),
}
REFUSED = 'holdfast_tokens_refused_total{problem="%s"}'


class Secured(NamedTuple):
    """A server that asks for tokens, and what signs them."""

    server: ServerProcess
    caller: Caller
    key: Key
    jwks_file: Path

    def with_token(self, **changed: Any) -> TokenCaller:
        return TokenCaller(self.caller.channel, self.key.token(claims(**changed)))


@pytest.fixture
async def secured(valkey: str, database: str, tmp_path: Path) -> AsyncIterator[Secured]:
    async with serving_with_keys(valkey, database, tmp_path / "jwks.json") as secured:
        yield secured


@asynccontextmanager
async def serving_with_keys(valkey: str, database: str, jwks_file: Path) -> AsyncIterator[Secured]:
    key = ec_key("first")
    write(jwks_file, jwks(key))
    async with (
        serving(valkey, database, HOLDFAST_AUTH_JWKS_FILE=str(jwks_file)) as server,
        calling(server.address) as caller,
    ):
        yield Secured(server, caller, key, jwks_file)


async def test_each_scope_opens_its_methods_and_no_other(secured: Secured) -> None:
    """And a token without one opens none; the error names the weakest that would do."""
    assert MAY_CALL.keys() == METHODS.keys()
    allowed: dict[str, set[str]] = {name: set() for name in METHODS}
    for scope in SCOPES:
        with_scope = secured.with_token(scope=scope)
        for name in METHODS:
            if await with_scope.reason(name) != "SCOPE_MISSING":
                allowed[name].add(scope)

    assert allowed == MAY_CALL
    without, with_all = secured.with_token(scope=None), secured.with_token(scope=list(SCOPES))
    for name in METHODS:
        error = await without.error(name)
        assert (error.code, error.reason) == (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")
        assert error.metadata == {"scope": next(scope for scope in SCOPES if scope in MAY_CALL[name])}
        assert await with_all.reason(name) != "SCOPE_MISSING"


async def test_a_call_says_why_its_token_is_not_valid(secured: Secured) -> None:
    """Each method does, and the page counts them; health asks for no token, and reflection for any."""
    for name in METHODS:
        error = await TokenCaller(secured.caller.channel).error(name)
        assert (error.code, error.reason) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")
        assert error.metadata == {"problem": "no_token"}
    good, too_long = secured.key.token(claims()), secured.key.token(claims(pad="x" * 5950))
    assert len(f"Bearer {secured.key.token(claims(pad='x' * 5800))}") <= 8192 < len(f"Bearer {too_long}")
    problems = {
        (good, good): {"problem": "two_tokens"},
        (ec_key("first").token(claims()),): {"problem": "bad_signature"},
        (ec_key("other").token(claims()),): {"problem": "unknown_key"},
        (secured.key.token(claims(time.time() - 1000)),): {"problem": "expired"},
        (secured.key.token(claims(exp="soon")),): {"problem": "bad_claim", "claim": "exp"},
        (too_long,): {"problem": "too_long"},
    }
    for tokens, metadata in problems.items():
        error = await TokenCaller(secured.caller.channel, *tokens).error("GetSale")
        assert (error.reason, error.metadata) == ("TOKEN_INVALID", metadata)

    # By default gRPC ends some of the calls with so many headers, at random.
    longest = secured.with_token(pad="x" * 5800)
    assert {await reason_if_judged(longest) for _ in range(50)} == {"SALE_NOT_FOUND"}
    error = await secured.with_token(tenant="default").error("GetSale")
    assert (error.reason, error.metadata) == ("SCOPE_MISSING", {"problem": "default_tenant", "claim": "tenant"})
    page = await page_of(secured.server)
    [without_token] = [line for line in page.splitlines() if line.startswith(REFUSED % "no_token")]
    assert float(without_token.split()[-1]) >= len(METHODS), "more, where the status of a stream was lost"
    assert f"{REFUSED % 'expired'} 1.0" in page
    assert good not in page
    assert await health(secured.caller) == SERVING
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await services(secured.caller.channel)
    assert call_error(refused.value).metadata == {"problem": "no_token"}
    without_scope = secured.key.token(claims(scope=None))
    assert await services(secured.caller.channel, ("authorization", f"Bearer {without_scope}"))


async def reason_if_judged(caller: TokenCaller) -> str:
    """Why a sale that is not there cannot be read."""

    async def is_judged() -> str | None:
        """Redis and the ledger have answered in time."""
        reason = await caller.reason("GetSale", sale_id="none")
        return None if reason in (*SLOW, "LEDGER_UNREACHABLE") else reason

    return await eventually(is_judged)


async def services(channel: grpc.aio.Channel, *headers: tuple[str, str]) -> Any:
    """What reflection names."""
    stub: Any = ServerReflectionStub
    stream = partial(stub(channel).ServerReflectionInfo, metadata=headers)
    answer = await first_answer_to(stream, ServerReflectionRequest(list_services=""))
    return answer.list_services_response.service


async def test_keys_change_under_load_without_a_lost_call(secured: Secured) -> None:
    """The new key beside the old one, then alone: from then on tokens of the old one are refused, verified or not."""
    operator = secured.with_token(scope=list(SCOPES))
    sale = {"sale_id": "lamp-sale", "items": [{"sku": "lamp", "total": 100_000}]}
    await until_judged(lambda: operator.answer("CreateSale", sale=sale))
    first, second, is_over = secured.key, ed_key("second"), asyncio.Event()
    signing, answered = [first], dict.fromkeys(("first", "second"), 0)

    async def buy(buyer: int) -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            key = signing[0]
            buyer_with_token = TokenCaller(secured.caller.channel, key.token(claims(jti=f"{buyer}-{number}")))
            asked = {"sale_id": "lamp-sale", "reservation_id": f"r-{buyer}-{number}", "buyer_id": "ann"}
            lines = [{"sku": "lamp", "quantity": 1}]
            await until_judged(partial(buyer_with_token.answer, "Reserve", **asked, lines=lines))
            answered[key.kid] += 1

    buying = [asyncio.create_task(buy(buyer)) for buyer in range(4)]
    await eventually(lambda: answered["first"] > 20 or any(task.done() for task in buying))
    write(secured.jwks_file, jwks(first, second))
    signing[0] = second
    await eventually(lambda: answered["second"] > 20 or any(task.done() for task in buying))
    write(secured.jwks_file, jwks(second))
    await eventually(lambda: operator_is_refused(operator))
    is_over.set()
    await asyncio.gather(*buying)

    reader = TokenCaller(secured.caller.channel, second.token(claims()))
    found = await until_judged(lambda: reader.answer("GetSale", sale_id="lamp-sale"))
    assert found.sale.items[0].held == sum(answered.values())


async def operator_is_refused(operator: TokenCaller) -> bool:
    """The only key of the file has no name that is the token's."""
    return await operator.reason("GetSale", sale_id="lamp-sale") == "TOKEN_INVALID"


async def test_a_key_file_that_breaks_leaves_the_keys_of_before(secured: Secured) -> None:
    """The page says so, until the file is in order."""
    buyer = secured.with_token()
    write(secured.jwks_file, b"{")
    await eventually(lambda: is_on_page(secured.server, 'holdfast_files_ok{files="token_keys"} 0.0'))

    assert await reason_if_judged(buyer) == "SALE_NOT_FOUND"
    assert await reason_if_judged(secured.with_token(sub="bob")) == "SALE_NOT_FOUND"
    write(secured.jwks_file, jwks(secured.key))
    await eventually(lambda: is_on_page(secured.server, 'holdfast_files_ok{files="token_keys"} 1.0'))


async def test_a_server_that_everyone_may_call_starts_beyond_loopback_only_if_it_is_told_to(
    valkey: str, tmp_path: Path
) -> None:
    """Else one line says what is missing, and likewise for keys that cannot be used."""
    write(tmp_path / "short", SECRET[1:])
    write(tmp_path / "secret", SECRET)
    beyond = {"HOLDFAST_REDIS_URL": valkey, "HOLDFAST_LISTEN": "0.0.0.0:0"}
    for options, changed, line in (
        ((), beyond, "HOLDFAST_LISTEN: 0.0.0.0:0 is not on loopback"),
        ((), {"HOLDFAST_AUTH_SECRET_FILE": str(tmp_path / "short")}, "HOLDFAST_AUTH_SECRET_FILE: "),
        (("--insecure",), {"HOLDFAST_AUTH_SECRET_FILE": str(tmp_path / "secret")}, "--insecure: has no use"),
    ):
        code, output = await run_process("serve", *options, **{"HOLDFAST_REDIS_URL": valkey, **changed})

        assert (code, output[-1][: len(line)]) == (2, line)
        assert not any("Traceback" in printed for printed in output)
    told = {"HOLDFAST_LISTEN": "0.0.0.0:0", "HOLDFAST_INSECURE": "true"}
    async with running_server_process(valkey, UNREACHABLE_DSN, **told) as server:
        reached = f"127.0.0.1:{server.address.rpartition(':')[2]}"
        async with calling(reached) as caller:
            assert await health(caller, "liveness") == SERVING
