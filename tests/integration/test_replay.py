"""ReplayDeadLetter on real servers: an order is reserved anew once, however callers race and servers are killed."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from time import perf_counter

import grpc
import pytest
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.reservation_pb2 import Line, RejectionReason, ReservationState
from redis.asyncio import Redis

from inventory_service.domain.moves import Move, MoveKind
from inventory_service.domain.results import Granted, ReservationRead
from inventory_service.service.bulkhead import LIMIT_S
from tests.halting_proxy import HaltingProxy
from tests.integration.refused_orders import SALE, RefusedOrders, refused_orders, replay
from tests.inventory_server import ServerProcess, call_error, calling, error_of, running_server, running_server_process
from tests.waiting import eventually

HELD, CONFIRMED = ReservationState.RESERVATION_STATE_HELD, ReservationState.RESERVATION_STATE_CONFIRMED
SETTLED, REPLAYED = admin.DEAD_LETTER_STATE_SETTLED, admin.DEAD_LETTER_STATE_REPLAYED
SOLD_OUT, ENDED = RejectionReason.REJECTION_REASON_SOLD_OUT, RejectionReason.REJECTION_REASON_RESERVATION_ENDED
ITEMS = [{"sku": "lamp", "total": 200}, {"sku": "shade", "total": 200}]
ROUNDS, CALLERS = 40, 6
HALT_MS = 30_000  # of Redis, at most


@pytest.fixture
async def orders(valkey: str, database: str) -> AsyncIterator[RefusedOrders]:
    async with refused_orders(valkey, database) as orders:
        yield orders


async def letters_of(orders: RefusedOrders, count: int, **sale: object) -> list[str]:
    """The ids of so many dead letters of two lamps each, of which every second one had been sold."""
    await orders.caller.create_sale(**{"items": ITEMS, **sale})  # type: ignore[arg-type]
    async with orders.refusing("mallory"):
        for number in range(count):
            await orders.make(f"refused-{number:02}", "mallory", buy=number % 2 == 1, lamp=2)
    return list(await orders.letters())


async def test_refused_orders_are_held_and_sold_anew_and_recorded(orders: RefusedOrders) -> None:
    """With buyer, lines and reference; the letters say as what. Once recorded, ledger and Redis agree in every unit."""
    await orders.caller.create_sale(items=ITEMS)
    async with orders.refusing("mallory"):
        await orders.make("held", "mallory", "cart-7", lamp=2, shade=1)
        await orders.make("sold", "mallory", "cart-8", buy=True, lamp=3)
    held, sold = await orders.letters()

    again = await replay(orders.callers[0], held, "r-held")
    anew = await replay(orders.callers[1], sold, "r-sold")

    reservation = again.outcome.reservation
    assert (reservation.state, reservation.buyer_id, reservation.reference) == (HELD, "mallory", "cart-7")
    assert [(line.sku, line.quantity) for line in reservation.lines] == [("lamp", 2), ("shade", 1)]
    assert (again.dead_letter.dead_letter_id, again.dead_letter.reservation_id) == (held, "held")
    assert (again.dead_letter.state, again.dead_letter.replayed_as) == (REPLAYED, "r-held")
    assert (anew.outcome.reservation.state, anew.outcome.reservation.reference) == (CONFIRMED, "cart-8")
    assert list(anew.dead_letter.sold) == [Line(sku="lamp", quantity=3)]
    assert await orders.differences() == []
    assert await orders.in_ledger("r-held") == ("HELD", "RECORDED", "mallory", "cart-7")
    assert await orders.in_ledger("r-sold") == ("CONFIRMED", "RECORDED", "mallory", "cart-8")
    repeat = await replay(orders.callers[1], sold, "r-sold")
    assert (repeat.outcome.replayed, repeat.outcome.reservation.position) == (True, anew.outcome.reservation.position)
    returned = await orders.stock.move(Move(SALE, "r-sold", MoveKind.RETURN, "broken"))
    assert isinstance(returned, Granted)
    assert await orders.differences() == []


async def test_failures_name_the_letter_and_what_has_become_of_it(orders: RefusedOrders) -> None:
    """An id that is spelled otherwise is no other failure than one that is not there."""
    [letter, other] = await letters_of(orders, 2)
    await replay(orders.caller, letter, "r-2")

    missing = [await error_of(replay(orders.caller, name, "r-3")) for name in (f"{letter}0", "seven", "ü" * 9000)]
    bad = await error_of(replay(orders.caller, "seven", "no id"))
    unset = [await error_of(replay(orders.caller, "", name)) for name in ("r-3", "")]
    taken = await error_of(replay(orders.caller, letter, "r-3"))
    await orders.db.execute("delete from reservation where reservation_id = 'refused-01'")  # as of one it cannot record
    reused = [await error_of(replay(orders.caller, other, name)) for name in ("r-2", "refused-00", "refused-01")]

    assert {(error.code, error.reason) for error in missing} == {(grpc.StatusCode.NOT_FOUND, "DEAD_LETTER_NOT_FOUND")}
    assert [error.metadata["dead_letter_id"] for error in missing[:2]] == [f"{letter}0", "seven"]
    assert (bad.reason, bad.fields) == ("FIELD_OUT_OF_BOUNDS", ["reservation_id"])
    assert [error.reason for error in unset] == ["FIELD_OUT_OF_BOUNDS"] * 2
    assert [error.fields for error in unset] == [["dead_letter_id"], ["dead_letter_id", "reservation_id"]]
    assert (taken.code, taken.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "WRONG_DEAD_LETTER_STATE")
    assert taken.metadata == {
        "dead_letter_id": letter,
        "reservation_id": "r-3",
        "state": "DEAD_LETTER_STATE_REPLAYED",
        "reservation_state": "RESERVATION_STATE_COMPENSATED",
        "replayed_as": "r-2",
    }
    assert {(error.code, error.reason) for error in reused} == {
        (grpc.StatusCode.ALREADY_EXISTS, "RESERVATION_ID_REUSED")
    }
    assert (await orders.letters())[other] == ("SETTLED", "")


async def test_a_ledger_that_falls_silent_is_told_while_the_caller_waits(orders: RefusedOrders) -> None:
    """By the first question that it does not answer: of two calls, one has a connection and one is connecting."""
    proxy = HaltingProxy(orders.dsn)
    async with proxy.listening() as dsn, running_server(orders.url, dsn) as address, calling(address) as caller:
        known = await error_of(replay(caller, "0-1-1-0", "r-2"))
        proxy.halt()
        began = perf_counter()
        silent = await asyncio.gather(*(error_of(replay(caller, "0-1-1-0", "r-2", timeout=15)) for _ in range(2)))
        took_s = perf_counter() - began

    assert known.reason == "DEAD_LETTER_NOT_FOUND"
    assert [error.reason for error in silent] == ["LEDGER_UNREACHABLE"] * 2
    assert all(error.retries for error in silent)
    assert took_s < 2 * LIMIT_S  # each waits for so long at most, and neither for the other


async def test_one_reservation_comes_of_each_letter_however_its_callers_race(orders: RefusedOrders) -> None:
    """Over two servers, with equal and other ids, one of them for all letters, and with calls that are given up.

    There are lamps for half of the letters only.
    """
    letters = await letters_of(orders, ROUNDS)
    await orders.make("other", "ann", lamp=200 - ROUNDS)
    random, told = Random(7), set[tuple[str, str]]()

    async def call(letter: str, name: str) -> None:
        timeout = random.choice([None, None, 0.02, 0.05])
        try:
            answer = await replay(random.choice(orders.callers), letter, name, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            told.add((letter, str(error.code()) if not error.trailing_metadata() else call_error(error).reason))
            return
        state = admin.DeadLetterState.Name(answer.dead_letter.state)
        told.add((letter, f"{answer.outcome.WhichOneof('outcome')} {state}"))

    for first in range(0, ROUNDS, 5):
        names = [
            (letter, random.choice([f"a-{letter}", f"b-{letter}", "same"])) for letter in letters[first : first + 5]
        ]
        names += [(letter, f"a-{letter}") for letter, _ in names for _ in range(CALLERS - 2)]
        await asyncio.gather(*(call(*each) for each in names + names[:5]))
        if random.random() < 0.5:
            await orders.record()
    for letter, (state, name) in (await orders.letters()).items():
        if state == "REPLAYED":  # whatever its caller heard: the same id finishes it
            await replay(orders.caller, letter, name)

    assert await orders.differences() == []
    live = await orders.db.fetch("select reservation_id from reservation where state in ('HELD', 'CONFIRMED')")
    replayed = [name for state, name in (await orders.letters()).values() if state == "REPLAYED"]
    assert sorted([*replayed, "other"]) == sorted(row[0] for row in live)
    assert len(set(replayed)) == len(replayed) == ROUNDS // 2
    assert {outcome for _, outcome in told} >= {
        "reservation DEAD_LETTER_STATE_REPLAYED",
        "rejection DEAD_LETTER_STATE_SETTLED",
        "WRONG_DEAD_LETTER_STATE",
    }


async def test_a_rejected_letter_is_settled_and_its_id_spent(orders: RefusedOrders) -> None:
    """Also once the ledger has the spent id; another id gets the units when there are some."""
    [letter] = await letters_of(orders, 1)
    await orders.make("other", "ann", lamp=200)

    rejected = await replay(orders.caller, letter, "r-2")
    again = await replay(orders.callers[1], letter, "r-2")
    await orders.record()
    later = await replay(orders.caller, letter, "r-2")

    assert (rejected.outcome.rejection.reason, rejected.dead_letter.state) == (SOLD_OUT, SETTLED)
    assert not rejected.outcome.rejection.HasField("retry_after")
    for answer in (again, later):
        assert (answer.outcome.rejection.reason, answer.dead_letter.state) == (ENDED, SETTLED)
        assert (answer.outcome.replayed, answer.outcome.rejection.ended.buyer_id) == (False, "")
    assert (await orders.letters())[letter] == ("SETTLED", "")
    await orders.stock.move(Move(SALE, "other", MoveKind.RELEASE))
    assert (await replay(orders.caller, letter, "r-3")).outcome.reservation.state == HELD
    assert await orders.differences() == []
    assert await orders.in_ledger("r-2") == ("RELEASED", "RECORDED", "", "")


async def test_a_replay_that_the_ledger_refuses_is_a_dead_letter_of_its_own(orders: RefusedOrders) -> None:
    """Of the new id; the first letter stays with it, and the new one can be replayed."""
    [letter] = await letters_of(orders, 1)
    async with orders.refusing("mallory"):
        assert (await replay(orders.caller, letter, "r-2")).outcome.reservation.state == HELD

    letters = await orders.letters()
    [new] = letters.keys() - {letter}
    assert (letters[letter], letters[new]) == (("REPLAYED", "r-2"), ("SETTLED", ""))
    repeat = await replay(orders.caller, letter, "r-2")
    assert (repeat.outcome.rejection.reason, repeat.dead_letter.replayed_as) == (ENDED, "r-2")
    assert (await replay(orders.caller, new, "r-3")).outcome.reservation.state == HELD
    assert await orders.differences() == []


async def test_the_same_id_finishes_what_a_killed_server_has_begun(orders: RefusedOrders) -> None:
    """SIGKILL after the ledger noted the id, and after the id of a rejected replay was spent."""
    [granted, rejected] = await letters_of(orders, 2)
    await killed_once_noted(orders, granted, "r-1")
    taken = await error_of(replay(orders.caller, granted, "r-2"))
    answer = await replay(orders.caller, granted, "r-1")
    await orders.make("other", "ann", lamp=198)
    await killed_once_spent(orders, rejected, "r-3")
    ended = await replay(orders.caller, rejected, "r-3")

    assert taken.metadata["replayed_as"] == "r-1"
    assert (answer.outcome.reservation.state, answer.dead_letter.replayed_as) == (HELD, "r-1")
    assert (ended.outcome.rejection.reason, ended.dead_letter.state) == (ENDED, SETTLED)
    await orders.stock.move(Move(SALE, "other", MoveKind.RELEASE))
    assert (await replay(orders.caller, rejected, "r-4")).outcome.reservation.state == CONFIRMED
    assert await orders.differences() == []


@asynccontextmanager
async def noted(orders: RefusedOrders, letter: str, name: str) -> AsyncIterator[tuple[ServerProcess, Redis]]:
    """A replay on a server of its own, which the ledger has noted; Redis makes no write yet. The server is killed."""

    async def is_noted() -> bool:
        """The ledger has noted the id."""
        return (await orders.letters())[letter] == ("REPLAYED", name)

    async with running_server_process(orders.url, orders.dsn) as server, calling(server.address) as caller:
        async with Redis.from_url(orders.url) as redis:
            await redis.client_pause(HALT_MS, all=False)
            call = asyncio.ensure_future(replay(caller, letter, name))
            try:
                await eventually(is_noted)
                yield server, redis
            finally:
                await redis.client_unpause()
        with pytest.raises(grpc.aio.AioRpcError):
            await call


async def killed_once_noted(orders: RefusedOrders, letter: str, name: str) -> None:
    """A server is killed while it waits for Redis."""
    async with noted(orders, letter, name) as (server, _):
        server.process.send_signal(signal.SIGKILL)
        await server.ended()


async def killed_once_spent(orders: RefusedOrders, letter: str, name: str) -> None:
    """A server is killed while it waits for the ledger, where another transaction has locked the letter by then."""
    created = [int(number) for number in letter.split("-")]

    async def is_spent() -> bool:
        """Redis has ended the id."""
        return isinstance(await orders.stock.find_reservation(SALE, name), ReservationRead)

    async with noted(orders, letter, name) as (server, redis), orders.db.transaction():
        where = "(shard, created_epoch, created_seq, created_index) = ($1, $2, $3, $4)"
        await orders.db.fetch(f"select from dead_letter where {where} for update", *created)
        await redis.client_unpause()
        await eventually(is_spent)
        server.process.send_signal(signal.SIGKILL)
        await server.ended()


async def test_a_change_that_was_sold_in_part_is_replayed_in_part(orders: RefusedOrders) -> None:
    """The ledger took the hold and refused its sale, of which one lamp of two had come back by then."""
    await orders.caller.create_sale(items=ITEMS)
    await orders.make("bought", "mallory", lamp=3)
    await orders.record()
    async with orders.refusing("mallory"):
        name = {"sale_id": "lamp-sale", "reservation_id": "bought"}
        two, one = ([Line(sku="lamp", quantity=count)] for count in (2, 1))
        await orders.caller.stock.ConfirmReservation(calls.ConfirmReservationRequest(**name, partial={"lines": two}))  # type: ignore[arg-type]
        await orders.caller.stock.ReturnReservation(calls.ReturnReservationRequest(**name, lines=one, reason="broken"))  # type: ignore[arg-type]
    [letter] = await orders.letters()

    answer = await replay(orders.caller, letter, "r-2")

    assert [(line.sku, line.quantity) for line in answer.outcome.reservation.lines] == [("lamp", 1)]
    assert answer.outcome.reservation.state == CONFIRMED
    assert await orders.differences() == []
