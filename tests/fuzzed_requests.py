"""Random requests of any method, made from its descriptor: sound ones, and ones that are wrong in one of many ways.

A field that is added to the protos is in them at once. Ids come from small sets, so that requests meet each other's.
"""

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

IDS = {"sale_id": 6, "reservation_id": 60, "buyer_id": 12, "sku": 3}  # so many of a name; of any other, five
USUAL = (
    "_id",
    "sku",
    "quantity",
    "total",
    "lines",
    "items",
    "sale",
    "reason",
    "change",
    "mask",
    "paths",
)  # these fields are mostly set
UNKNOWN = (b"\xf8\x07\x01", b"\xfa\x07\x02ab", b"\xfd\x07abcd", b"\xf9\x07abcdefgh")  # field 127, of each wire type
UPDATABLE = ("title", "buyer_limit", "items")  # for the paths of a mask
PLACEHOLDER = "\x7f\x7f\x7f"
INVALID_UTF8 = (b"\xed\xa0\x80", b"\xff\xfe\xfd", b"\xc3\x28\x80")  # a surrogate, and what is no character
TEXTS = ("", " ", "/", "x" * 65, "a\0b", "}:sale:", "default/x", "ñ", "🛒" * 300, "%s{0}", "x" * 70_000)
NUMBERS = (0, -1, 1001, 2**31 - 1, -(2**31), 2**32, 2**53 + 1, 10**12 + 1, 2**63 - 1, -(2**63))
SECONDS = (-1, 0, 10**13, 315_576_000_001, 253_402_300_800, 2**63 - 1, -(2**63))
NANOS = (-1, 999_999_999, 10**9, 2**31 - 1)
LENGTHS = (0, 21, 1001, 5000)
TIMES = ("google.protobuf.Duration", "google.protobuf.Timestamp")
LIMITS = {  # of the whole numbers that a field can hold
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


class FuzzedRequests:
    """The same requests for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._ways: list[Callable[[MethodDescriptor], bytes]] = [
            *[self._sound] * 8,
            *[self._with_a_wrong_value] * 5,
            self._with_an_unknown_field,
            self._with_invalid_text,
            self._merged,
            self._damaged,
            self._nested,
            self._random_bytes,
        ]

    def next(self, method: MethodDescriptor) -> bytes:
        """The bytes of one request."""
        return self._random.choice(self._ways)(method)

    def _sound(self, method: MethodDescriptor) -> bytes:
        return bytes(self._message(method).SerializeToString())

    def _with_a_wrong_value(self, method: MethodDescriptor) -> bytes:
        """One field, at any depth, has a value at or beyond its bounds."""
        message = self._message(method)
        parent = self._random.choice(list(_messages(message)))
        if parent.DESCRIPTOR.full_name in TIMES:
            parent.seconds, parent.nanos = self._random.choice(SECONDS), self._random.choice(NANOS)
        elif parent.DESCRIPTOR.fields:
            self._set_wrong(parent, self._random.choice(parent.DESCRIPTOR.fields))
        return bytes(message.SerializeToString())

    def _with_an_unknown_field(self, method: MethodDescriptor) -> bytes:
        message = self._message(method)
        self._random.choice(list(_messages(message))).MergeFromString(self._random.choice(UNKNOWN))
        return bytes(message.SerializeToString())

    def _with_invalid_text(self, method: MethodDescriptor) -> bytes:
        """Python's protobuf refuses such texts, so they are put into the bytes."""
        message = self._message(method)
        texts = [
            (parent, field)
            for parent in _messages(message)
            for field in parent.DESCRIPTOR.fields
            if field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated
        ]
        if texts:
            parent, field = self._random.choice(texts)
            setattr(parent, field.name, PLACEHOLDER)
        invalid = self._random.choice(INVALID_UTF8)
        return bytes(message.SerializeToString()).replace(PLACEHOLDER.encode(), invalid)

    def _merged(self, method: MethodDescriptor) -> bytes:
        """Two messages in one: the later fields win, lists are joined, a oneof is set twice."""
        return self._sound(method) + self._sound(method)

    def _damaged(self, method: MethodDescriptor) -> bytes:
        """Some bytes are others, and the end may be missing."""
        damaged = bytearray(self._sound(method))
        for _ in range(self._random.randrange(4) if damaged else 0):
            damaged[self._random.randrange(len(damaged))] = self._random.randrange(256)
        return bytes(damaged[: self._random.choice((len(damaged), self._random.randrange(len(damaged) + 1)))])

    def _nested(self, method: MethodDescriptor) -> bytes:
        """Groups in groups, of a field that may be known, up to far beyond what parsers descend to."""
        number, depth = self._random.choice((1, 2, 127)), self._random.choice((1, 50, 99, 101, 10_000))
        opened, closed = _varint(number << 3 | 3), _varint(number << 3 | 4)
        return self._sound(method) + opened * depth + closed * self._random.choice((depth, depth - 1))

    def _random_bytes(self, _method: MethodDescriptor) -> bytes:
        return self._random.randbytes(self._random.choice((0, 1, 7, 64, 4096)))

    # ------------------------------------------------------------------------------------- values of fields

    def _message(self, method: MethodDescriptor) -> Any:
        message = GetMessageClass(method.input_type)()
        self._fill(message)
        return message

    def _fill(self, message: Any) -> None:
        """Set the usual fields, and a few of the others; of a oneof the last one that is set stays."""
        if message.DESCRIPTOR.full_name in TIMES:
            message.seconds, message.nanos = self._random.choice((1, 60, 600, 1_600_000_000, 4_000_000_000)), 0
            return
        for field in message.DESCRIPTOR.fields:
            is_usual = field.name.endswith(USUAL) and field.cpp_type != FieldDescriptor.CPPTYPE_BOOL
            if self._random.random() < (0.995 if is_usual else 0.15):
                self._set(message, field)

    def _set(self, parent: Any, field: FieldDescriptor) -> None:
        if field.is_repeated:
            for _ in range(self._random.choice((1, 1, 2, 3))):
                self._add(parent, field)
        elif field.message_type is not None:
            getattr(parent, field.name).SetInParent()
            self._fill(getattr(parent, field.name))
        else:
            setattr(parent, field.name, self._value(field))

    def _add(self, parent: Any, field: FieldDescriptor) -> None:
        if field.message_type is not None:
            self._fill(getattr(parent, field.name).add())
        else:
            getattr(parent, field.name).append(self._value(field))

    def _value(self, field: FieldDescriptor) -> Any:
        if field.enum_type is not None:
            return self._random.choice(field.enum_type.values).number
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            if field.name == "paths":
                return self._random.choice(UPDATABLE)
            text = f"{field.name}-{self._random.randrange(IDS.get(field.name, 5))}"
            return text if field.type == FieldDescriptor.TYPE_STRING else text.encode()
        if field.cpp_type in LIMITS:
            return self._random.choice((1, 1, 2, 3))
        return self._random.choice((True, False))  # a bool, or a float

    def _set_wrong(self, parent: Any, field: FieldDescriptor) -> None:
        if field.is_repeated:
            self._set_length(parent, field, self._random.choice(LENGTHS))
        elif field.message_type is not None:
            parent.ClearField(field.name)
            getattr(parent, field.name).SetInParent()
        else:
            setattr(parent, field.name, self._wrong_value(field))

    def _set_length(self, parent: Any, field: FieldDescriptor, length: int) -> None:
        """Many equal elements: to make each its own would take most of the test's time."""
        self._add(parent, field)
        some = getattr(parent, field.name)[-1]
        parent.ClearField(field.name)
        getattr(parent, field.name).extend([some] * length)

    def _wrong_value(self, field: FieldDescriptor) -> Any:
        if field.enum_type is not None:
            return self._random.choice((-1, 0, 99, 2**31 - 1))
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            text = self._random.choice(TEXTS)
            return text if field.type == FieldDescriptor.TYPE_STRING else text.encode()
        if field.cpp_type in LIMITS:
            least, most = LIMITS[field.cpp_type]
            return min(max(self._random.choice(NUMBERS), least), most)
        return self._random.choice((True, False))


def _messages(message: Message) -> Iterator[Any]:
    """A message, and those that are set below it, at any depth."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for below in value if field.is_repeated else [value]:
                yield from _messages(below)


def _varint(value: int) -> bytes:
    """Protobuf's encoding of a tag."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])
