"""A request of the usual shape is one and the same to the pattern and to the parser, up to its response."""

from random import Random
from typing import Any

from holdfast.inventory.v1.inventory_service_pb2 import ReserveRequest, ReserveResponse
from holdfast.inventory.v1.reservation_pb2 import Line

from inventory_service.adapters.redis.call import CallHead
from inventory_service.adapters.redis.reserve import reserve_arguments, reserve_results
from inventory_service.domain.plain_reserve import PlainHold
from inventory_service.domain.results import Granted, Rejected
from inventory_service.rpc.calls.reserve import reserve_from_proto
from inventory_service.rpc.messages import reserve_response
from inventory_service.rpc.plain_requests import PlainRequest, message_of, parse_reserve, plain_reserve
from inventory_service.rpc.response_bytes import hold_bytes
from inventory_service.rpc.validation import reject_unknown_fields
from tests.unit.inventory_service.rpc.random_requests import altered, usual, usual_or_not

USUAL = ReserveRequest(sale_id="s", reservation_id="r", buyer_id="b", lines=[Line(sku="lamp", quantity=1)])
HEAD = CallHead(shard=3, now_ms=1_795_000_000_123, epoch=2, seq=70_000, settled=(0, 0))


def by_pattern(raw: bytes) -> PlainRequest | None:
    """The request, if the pattern takes it."""
    try:
        parsed = parse_reserve(raw)
    except Exception:  # noqa: BLE001  (as protobuf raises for these bytes)
        return None
    return None if isinstance(parsed, ReserveRequest) else parsed


def test_what_the_pattern_takes_is_what_the_parser_and_the_validator_take() -> None:
    """So the two ways can differ neither in what they judge nor in what they send to Redis."""
    random = Random(1)
    made = [usual_or_not(random).SerializeToString() for _ in range(5000)] + [altered(random) for _ in range(5000)]
    taken = [request for raw in (USUAL.SerializeToString(), *made) if (request := by_pattern(raw))]

    assert len(made) / 4 < len(taken) < len(made)
    for request in taken:
        assert_is_parsed_alike(request)


def assert_is_parsed_alike(request: PlainRequest) -> None:
    """What the pattern has taken."""
    plain, message = plain_reserve(request, "acme"), ReserveRequest.FromString(request.string)
    reject_unknown_fields(message)  # raises if there are any
    general = reserve_from_proto(message, "acme")

    assert plain.general() == general
    assert message_of(request) == message
    numbers = {general.sale: 1}
    assert in_bytes(reserve_arguments([plain], numbers, 9)) == in_bytes(reserve_arguments([general], numbers, 9))


def test_a_script_call_has_each_sale_and_terms_once() -> None:
    """Whatever comes between two requests that are alike."""
    kinds = [("s", 1), ("s", 2), ("s", 1), ("other", 1), ("s", 1)]
    asked = []
    for sale_id, quantity in kinds:
        message = ReserveRequest(
            sale_id=sale_id, reservation_id="r", buyer_id="b", lines=[Line(sku="lamp", quantity=quantity)]
        )
        request = by_pattern(message.SerializeToString())
        assert request is not None
        asked.append(plain_reserve(request, "acme"))

    _, terms_of, _, *rest = reserve_arguments(asked, {asked[0].sale: 1, asked[3].sale: 2}, 9)

    assert terms_of == bytes([1, 2, 1, 3, 1])
    assert rest[len(asked) :] == [1, b"- lamp=1", 1, b"- lamp=2", 2, b"- lamp=1"]


def test_the_pattern_takes_the_usual_request() -> None:
    """As clients in every language serialize it; else the fast way would be taken by none."""
    requests = [usual(Random(seed)).SerializeToString() for seed in range(2000)]

    assert [raw for raw in requests if by_pattern(raw) is None] == []


def test_both_ways_answer_with_the_same_response() -> None:
    """A hold, and the purchase that it is where the sale has no holds."""
    random = Random(1)
    for _ in range(2000):
        message, index = usual(random), random.randint(0, 127)
        assert_is_answered_alike(message, [b"HELD", index, 0])
        assert_is_answered_alike(message, [b"HELD", index, HEAD.now_ms + 600_000])


def assert_is_answered_alike(message: ReserveRequest, held: list[Any]) -> None:
    """A usual request, for which the script has this result."""
    raw = message.SerializeToString()
    request = by_pattern(raw)
    assert request is not None
    plain, general = plain_reserve(request, "acme"), reserve_from_proto(message, "acme")

    (quick,), (granted,) = reserve_results(HEAD, [plain], [held]), reserve_results(HEAD, [general], [held])

    assert isinstance(granted, Granted)
    if held[2]:
        assert isinstance(quick, PlainHold)
        assert ReserveResponse.FromString(hold_bytes(raw, quick)) == reserve_response(granted)
    else:
        assert quick == granted


def test_equal_rejections_of_a_call_share_one_answer() -> None:
    """The script names the place of the first; a hold between them has its own index."""
    lamp, desk = [b"SOLD_OUT", 9, -1, b"lamp", 1, 0, 0], [b"SOLD_OUT", 9, -1, b"desk", 1, 0, 0]
    request = by_pattern(USUAL.SerializeToString())
    assert request is not None
    plain = plain_reserve(request, "acme")
    requests: list[Any] = [plain, plain.general(), plain, plain, plain]

    answers = reserve_results(HEAD, requests, [lamp, 1, desk, [b"HELD", 0, 5], 256 * 1 + 4])

    written_out = [lamp, lamp, desk, [b"HELD", 0, 5], [b"HELD", 1, 5]]
    assert answers == [reserve_results(HEAD, [plain], [result])[0] for result in written_out]
    assert answers[0] is answers[1]
    assert all(isinstance(answer, Rejected) for answer in answers[:3])


def in_bytes(arguments: list[Any]) -> list[Any]:
    """Arguments as they reach Redis."""
    return [argument.encode() if isinstance(argument, str) else argument for argument in arguments]


def test_a_request_that_the_pattern_does_not_take_is_the_message() -> None:
    """Its errors are then those of every request."""
    two_lines = ReserveRequest(sale_id="s", reservation_id="r", buyer_id="b", lines=[Line(sku="a", quantity=1)] * 2)

    assert parse_reserve(two_lines.SerializeToString()) == two_lines
