"""Two tenants of one server: none can see, count, list, watch, block or change what is the other's.

Every method is tried with every id of the other tenant: first where the caller has nothing of its own, then where it
has a sale, reservations and an adjustment of the very same names.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest

from inventory_service.rpc.methods import METHODS
from tests.integration.refused_orders import RefusedOrders
from tests.integration.two_tenants import (
    BUYERS,
    LISTS,
    MOVES,
    RESERVATIONS,
    SALE,
    Tenants,
    Theirs,
    listed,
    make_books,
    reserve,
)
from tests.inventory_server import SHARDS, CallError, calling, open_shards, running_server
from tests.ledgers import open_shards as open_ledger
from tests.servers import connected
from tests.token_caller import TokenCaller
from tests.tokens import SECRET, write


@pytest.fixture
async def tenants(valkey: str, database: str, tmp_path: Path) -> AsyncIterator[Tenants]:
    await open_shards(valkey)
    keys = {"auth_secret_file": str(write(tmp_path / "secret", SECRET))}
    async with (
        connected(database) as db,
        running_server(valkey, database, **keys) as address,
        calling(address) as caller,
    ):
        await open_ledger(db, range(SHARDS), of=SHARDS)
        orders = RefusedOrders(valkey, database, db, [caller])
        yield Tenants(caller.channel, orders)
        await orders.close()


def assert_not_found(error: CallError, *sent: str) -> None:
    """And the error has nothing but what was asked."""
    assert error.code is grpc.StatusCode.NOT_FOUND
    assert set(error.metadata.values()) <= {"lamp-sale", "lamp", *sent}
    assert (error.reservation, error.retries) == (None, False)


async def cannot_move_or_read(caller: TokenCaller, name: str, theirs: Theirs) -> None:
    for reservation in RESERVATIONS:
        for more in MOVES[name]:
            assert_not_found(await caller.error(name, **SALE, reservation_id=reservation, **more), reservation)


async def cannot_list(caller: TokenCaller, name: str, theirs: Theirs) -> None:
    for selection, token in theirs.page_tokens[name]:
        page = await caller.answer(name, **selection)
        assert (listed(page), page.next_page_token) == ([], "")
        error = await caller.error(name, **selection, page_token=token)
        assert (error.reason, error.fields) == ("FIELD_OUT_OF_BOUNDS", ["page_token"])


async def cannot_reserve(caller: TokenCaller, name: str, theirs: Theirs) -> None:
    for reservation in RESERVATIONS:
        asked = reserve(reservation)
        if name == "Reserve":
            assert_not_found(await caller.error(name, **asked), reservation)
        elif name == "BatchReserve":
            [result] = (await caller.answer(name, requests=[asked])).results
            assert result.status.code == grpc.StatusCode.NOT_FOUND.value[0]
        else:
            answer = await caller.answer(name, correlation_id=1, request=asked)
            assert answer.result.status.code == grpc.StatusCode.NOT_FOUND.value[0]


async def cannot_act_on_sale(caller: TokenCaller, name: str, theirs: Theirs) -> None:
    acts: Mapping[str, Sequence[Mapping[str, Any]]] = {
        "UpdateSale": [
            {"sale": {**SALE, "etag": etag, "title": "x"}, "update_mask": {"paths": ["title"]}}
            for etag in ("", theirs.etag)
        ],
        "PauseSale": [{**SALE, "reason": "x", "etag": etag} for etag in ("", theirs.etag)],
        "ResumeSale": [{**SALE, "reason": "x"}],
        "CloseSale": [{**SALE, "reason": "x", "release_holds": True}],
        "AdjustStock": [
            {**SALE, "sku": "lamp", "adjustment_id": adjustment, "delta": 1, "reason": "found"}
            for adjustment in ("a-1", "a-2", "a-3")
        ],
    }
    for fields in acts.get(name, [SALE]):
        assert_not_found(await caller.error(name, **fields), str(fields.get("adjustment_id")))


async def cannot_replay(caller: TokenCaller, name: str, theirs: Theirs) -> None:
    for letter in theirs.letters:
        error = await caller.error(name, dead_letter_id=letter, reservation_id="again")
        assert error.reason == "DEAD_LETTER_NOT_FOUND"
        assert_not_found(error, letter, "again")


async def makes_its_own_sale(caller: TokenCaller, name: str, theirs: Theirs) -> None:
    """Of the same name; the other one is neither repeated nor in the way."""
    made = await caller.answer(name, sale={**SALE, "items": [{"sku": "lamp", "total": 7}]})
    assert (made.replayed, made.sale.items[0].total, made.sale.items[0].held) == (False, 7, 0)
    await caller.answer("CloseSale", **SALE)


async def blocks_its_own_buyers(caller: TokenCaller, name: str, theirs: Theirs) -> None:
    """Whom the other tenant blocks was not blocked, and stays blocked there."""
    for buyer in BUYERS:
        if name == "BlockBuyer":
            assert not (await caller.answer(name, buyer_id=buyer, reason="x")).replayed
        assert (await caller.answer("UnblockBuyer", buyer_id=buyer)).replayed is (name == "UnblockBuyer")


async def revokes_its_own_tokens(caller: TokenCaller, name: str, theirs: Theirs) -> None:
    """Also those that another tenant has revoked are not known."""
    for jti in (theirs.jti, "t-lost"):
        assert not (await caller.answer(name, jti=jti, reason="x")).replayed
    later = {"subject": "bob"}
    assert not (await caller.answer(name, subject_tokens=later, reason="x")).replayed


PROBES = {
    **dict.fromkeys(("Reserve", "BatchReserve", "StreamReserve"), cannot_reserve),
    **dict.fromkeys(MOVES, cannot_move_or_read),
    **dict.fromkeys(LISTS, cannot_list),
    **dict.fromkeys(("GetSale", "WatchSale", "AuditSale", "UpdateSale"), cannot_act_on_sale),
    **dict.fromkeys(("PauseSale", "ResumeSale", "CloseSale", "AdjustStock"), cannot_act_on_sale),
    "ReplayDeadLetter": cannot_replay,
    "UnblockBuyer": blocks_its_own_buyers,
    "BlockBuyer": blocks_its_own_buyers,
    "RevokeTokens": revokes_its_own_tokens,
    "CreateSale": makes_its_own_sale,  # last: until then the stranger has no sale of that name
}


async def test_a_tenant_finds_nothing_of_another_and_changes_nothing(tenants: Tenants) -> None:
    """By no method, with no id, page token, etag or dead letter, though it knows them all."""
    assert PROBES.keys() == METHODS.keys(), "a method that is added is tried here too"
    theirs, before = await make_books(tenants), await tenants.books("acme")
    watches = [await watching(tenants, "WatchSale"), await watching(tenants, "WatchReservation", reservation_id="held")]

    for name, probe in PROBES.items():
        await probe(tenants.zenith, name, theirs)

    assert await tenants.books("acme") == before
    assert set(before) >= {"sale", "reservation", "dead_letter", "adjustment", "blocked_buyer", "revoked_token"}
    assert all(before[table] for table in ("sale", "reservation", "dead_letter", "adjustment", "blocked_buyer"))
    await acme_goes_on(tenants, watches)


async def test_names_that_two_tenants_share_are_two_things(tenants: Tenants) -> None:
    """Sale, reservations, adjustments and buyers of the same names, at the same time."""
    theirs, zenith = await make_books(tenants), tenants.caller("zenith", sub="zoe")
    await zenith.answer("CreateSale", sale={**SALE, "items": [{"sku": "lamp", "total": 100}]})
    before = await tenants.books("acme")
    watches = [await watching(tenants, "WatchSale"), await watching(tenants, "WatchReservation", reservation_id="held")]

    for name in RESERVATIONS:
        error = await zenith.error("GetReservation", **SALE, reservation_id=name)
        assert_not_found(error, name)
        assert not (await zenith.answer("Reserve", **reserve(name, "mallory"))).replayed
    for name, more in MOVES.items():
        if not name.startswith(("Get", "Watch")):
            await outcome_of_own(zenith, name, more[0])
    adjusted = await zenith.answer("AdjustStock", **SALE, sku="lamp", adjustment_id="a-1", delta=5, reason="found")
    await cannot_replay(zenith, "ReplayDeadLetter", theirs)
    await zenith.answer("BlockBuyer", buyer_id="ann", reason="x")
    await zenith.answer("RevokeTokens", subject_tokens={"subject": "ann"}, reason="x")
    await zenith.answer("CloseSale", **SALE, release_holds=True)
    await tenants.orders.record()

    assert (adjusted.replayed, adjusted.adjustment.actor, adjusted.item.total) == (False, "zoe", 105)
    assert await tenants.books("acme") == before
    assert len(listed(await zenith.answer("ListReservations", **SALE))) == len(RESERVATIONS)
    assert len(listed(await zenith.answer("ListSales"))) == 1
    assert len(listed(await zenith.answer("ListAdjustments", **SALE))) == 1
    assert [one.buyer_id for one in listed(await zenith.answer("ListBlockedBuyers"))] == ["ann"]
    await cannot_list(zenith, "ListDeadLetters", theirs)
    for name, found in theirs.page_tokens.items():
        for selection, token in found:
            assert await zenith.reason(name, **selection, page_token=token) == "FIELD_OUT_OF_BOUNDS"
    assert (await zenith.answer("AuditSale", **SALE)).consistent
    await acme_goes_on(tenants, watches)


async def outcome_of_own(caller: TokenCaller, name: str, more: Mapping[str, Any]) -> None:
    """A move of each reservation of its own; some are in a state that has no such move."""
    for reservation in RESERVATIONS:
        assert await caller.reason(name, **SALE, reservation_id=reservation, **more) in ("", "WRONG_RESERVATION_STATE")


async def watching(tenants: Tenants, name: str, **fields: Any) -> Any:
    """A watch of acme's that has had its first message."""
    watch = tenants.acme.begin(name, **SALE, **fields)
    await watch.read()
    return watch


async def acme_goes_on(tenants: Tenants, watches: Sequence[Any]) -> None:
    """Its watches tell of its own changes and of nothing before, and its buyers and tokens are as they were."""
    acme = tenants.acme
    taken = (await acme.answer("GetSale", **SALE)).sale.items[0]
    assert (await acme.answer("Reserve", **reserve("later"))).reservation.buyer_id == "ann"
    assert (await acme.answer("Reserve", **reserve("blocked", "mallory"))).HasField("rejection")
    await acme.answer("ConfirmReservation", **SALE, reservation_id="held")
    of_sale, of_reservation = [await watch.read() for watch in watches]
    assert (of_sale.sale.items[0].available, of_sale.sale.items[0].total) == (taken.available - 2, taken.total)
    assert of_reservation.reservation.revision == 2
    for watch in watches:
        watch.cancel()
    lost = tenants.caller("acme", jti="t-lost")
    assert await lost.reason("GetSale", **SALE) == "TOKEN_REVOKED"
    assert await tenants.caller("zenith", sub="zoe", jti="t-fresh").reason("GetSale", **SALE) in ("", "SALE_NOT_FOUND")
