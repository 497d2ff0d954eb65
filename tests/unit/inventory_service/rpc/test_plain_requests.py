"""A request of the usual shape is one and the same to the pattern and to the parser, up to its response."""

from typing import Any

from holdfast.inventory.v1.inventory_service_pb2 import ReserveRequest, ReserveResponse
from holdfast.inventory.v1.reservation_pb2 import Line
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inventory_service.adapters.redis.call import CallHead
from inventory_service.adapters.redis.reserve import reserve_arguments, reserve_results
from inventory_service.domain.plain_reserve import PlainHold
from inventory_service.domain.results import Granted, Rejected
from inventory_service.rpc.calls.reserve import reserve_from_proto
from inventory_service.rpc.messages import reserve_response
from inventory_service.rpc.plain_requests import PlainRequest, message_of, parse_reserve, plain_reserve
from inventory_service.rpc.response_bytes import hold_bytes
from inventory_service.rpc.validation import reject_unknown_fields

LONGEST = "x" * 64
IDS = st.sampled_from(["r", "lamp-sale", "a.b_c:d-9", "-", "1" * 45, LONGEST])
ANY_TEXT = st.one_of(IDS, st.sampled_from(["", LONGEST + "x", "a b", "ü", "a\n", '"', "\x12"]))
QUANTITIES = st.one_of(st.sampled_from([1, 127, 128, 1000]), st.sampled_from([-1, 0, 1001, 1023, 1024, 2**40]))
LINES = st.builds(Line, sku=ANY_TEXT, quantity=QUANTITIES)
PLAIN = st.builds(
    ReserveRequest,
    sale_id=IDS,
    reservation_id=IDS,
    buyer_id=IDS,
    lines=st.builds(Line, sku=IDS, quantity=st.sampled_from([1, 127, 128, 129, 1000])).map(lambda line: [line]),
)
ANY = st.builds(
    ReserveRequest,
    sale_id=ANY_TEXT,
    reservation_id=ANY_TEXT,
    buyer_id=ANY_TEXT,
    lines=st.lists(LINES, max_size=2),
    hold_ttl=st.one_of(st.none(), st.just({"seconds": 5})),
    reference=st.sampled_from(["", "cart-7"]),
)
USUAL = ReserveRequest(sale_id="s", reservation_id="r", buyer_id="b", lines=[Line(sku="lamp", quantity=1)])
HEAD = CallHead(shard=3, now_ms=1_795_000_000_123, epoch=2, seq=70_000, settled=(0, 0))


@st.composite
def altered(draw: st.DrawFn) -> bytes:
    """The bytes of a usual request with one of them changed, removed or added, or with something behind them."""
    raw = draw(PLAIN).SerializeToString()
    at, byte = draw(st.integers(0, len(raw) - 1)), draw(st.binary(min_size=1, max_size=1))
    behind = draw(st.sampled_from([b"", b"\xf8\x07\x01", raw, b"\x08\x01", b"\x32\x00"]))
    before, after = draw(st.sampled_from([(raw[:at], raw[at + 1 :]), (raw[:at], raw[at:]), (raw, b"")]))
    return before + draw(st.sampled_from([b"", byte])) + after + behind


def by_pattern(raw: bytes) -> PlainRequest | None:
    """The request, if the pattern takes it."""
    try:
        parsed = parse_reserve(raw)
    except Exception:  # noqa: BLE001  (as protobuf raises for these bytes)
        return None
    return None if isinstance(parsed, ReserveRequest) else parsed


@given(raw=st.one_of(PLAIN.map(ReserveRequest.SerializeToString), ANY.map(ReserveRequest.SerializeToString), altered()))
@example(USUAL.SerializeToString())
@settings(max_examples=300)
def test_what_the_pattern_takes_is_what_the_parser_and_the_validator_take(raw: bytes) -> None:
    """So the two ways can differ neither in what they judge nor in what they send to Redis."""
    request = by_pattern(raw)
    if request is None:
        return

    plain, message = plain_reserve(request, "acme"), ReserveRequest.FromString(raw)
    reject_unknown_fields(message)  # raises if there are any
    general = reserve_from_proto(message, "acme")

    assert plain.general() == general
    assert message_of(request) == message
    numbers = {general.sale: 1}
    assert in_bytes(reserve_arguments([plain], numbers, 9)) == in_bytes(reserve_arguments([general], numbers, 9))


@given(message=PLAIN)
@settings(max_examples=100)
def test_the_pattern_takes_the_usual_request(message: ReserveRequest) -> None:
    """As clients in every language serialize it; else the fast way would be taken by none."""
    assert by_pattern(message.SerializeToString()) is not None


@given(message=PLAIN, index=st.integers(0, 127), expire_ms=st.sampled_from([0, HEAD.now_ms + 600_000]))
@settings(max_examples=200)
def test_both_ways_answer_with_the_same_response(message: ReserveRequest, index: int, expire_ms: int) -> None:
    """A hold, and the purchase that it is where the sale has no holds."""
    raw = message.SerializeToString()
    request = by_pattern(raw)
    assert request is not None
    plain, general = plain_reserve(request, "acme"), reserve_from_proto(message, "acme")
    held = [b"HELD", index, expire_ms]

    (quick,), (usual,) = reserve_results(HEAD, [plain], [held]), reserve_results(HEAD, [general], [held])

    assert isinstance(usual, Granted)
    if expire_ms:
        assert isinstance(quick, PlainHold)
        assert ReserveResponse.FromString(hold_bytes(raw, quick)) == reserve_response(usual)
    else:
        assert quick == usual


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
