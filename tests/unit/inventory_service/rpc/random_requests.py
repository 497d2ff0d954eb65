"""Random requests to reserve: usual ones, ones of any kind, and bytes that are almost those of a message."""

from random import Random

from google.protobuf.message import Message
from holdfast.inventory.v1.inventory_service_pb2 import ReserveRequest
from holdfast.inventory.v1.reservation_pb2 import Line

LONGEST = "x" * 64
IDS = ["r", "lamp-sale", "a.b_c:d-9", "-", "1" * 45, LONGEST]
TEXTS = [*IDS, "", LONGEST + "x", "a b", "ü", "a\n", '"', "\x12"]
USUAL_QUANTITIES = [1, 127, 128, 129, 1000]
QUANTITIES = [*USUAL_QUANTITIES, -1, 0, 1001, 1023, 1024, 2**40]


def usual(random: Random) -> ReserveRequest:
    """A valid request of one line, with neither hold_ttl nor reference."""
    line = Line(sku=random.choice(IDS), quantity=random.choice(USUAL_QUANTITIES))
    sale, reservation, buyer = random.choices(IDS, k=3)
    return ReserveRequest(sale_id=sale, reservation_id=reservation, buyer_id=buyer, lines=[line])


def of_any_kind(random: Random) -> ReserveRequest:
    """A request that need not be valid."""
    skus = random.choices(TEXTS, k=random.randint(0, 2))
    sale, reservation, buyer = random.choices(TEXTS, k=3)
    return ReserveRequest(
        sale_id=sale,
        reservation_id=reservation,
        buyer_id=buyer,
        lines=[Line(sku=sku, quantity=random.choice(QUANTITIES)) for sku in skus],
        hold_ttl=random.choice([None, {"seconds": 5}]),
        reference=random.choice(["", "cart-7"]),
    )


def usual_or_not(random: Random) -> ReserveRequest:
    return random.choice([usual, of_any_kind])(random)


def altered(random: Random) -> bytes:
    """The bytes of a usual request with one of them changed, removed or added, or with something behind them."""
    raw = usual(random).SerializeToString()
    at = place_in(random, raw)
    behind = random.choice([b"", b"\xf8\x07\x01", raw, b"\x08\x01", b"\x32\x00"])
    before, after = random.choice([(raw[:at], raw[at + 1 :]), (raw[:at], raw[at:]), (raw, b"")])
    return before + any_bytes(random, at_most=1) + after + behind


def with_other_bytes(random: Random, message: Message) -> bytes:
    """A message's bytes, with up to two of them replaced by up to two others."""
    raw = message.SerializeToString()
    at = place_in(random, raw)
    return raw[:at] + any_bytes(random, at_most=2) + raw[at + random.randint(0, 2) :]


def place_in(random: Random, raw: bytes) -> int:
    """Any, and often one of the first or the last bytes, which are lengths and quantities."""
    return random.choice([random.randint(0, len(raw)), random.randint(0, min(3, len(raw))), max(0, len(raw) - 1)])


def any_bytes(random: Random, at_most: int) -> bytes:
    """Often those at which the encoding of a number changes."""
    return bytes(
        random.choice([0, 1, 0x7F, 0x80, 0xFF, random.randint(0, 255)]) for _ in range(random.randint(0, at_most))
    )
