"""A response as JSON for scripts: the proto's own field names, numbers as numbers, enum values by name."""

import json
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

WIDE = (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)


def print_json(message: Message) -> None:
    """Print one response; fields at their default are printed too, so that a script finds every key."""
    print(json.dumps(as_dict(message), indent=2, ensure_ascii=False))


def as_dict(message: Message) -> dict[str, Any]:
    """The proto's own JSON form, but for 64-bit integers, which it would put in quotes; ours stay far below 2^53."""
    facts = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    _unquote(message, facts)
    return facts


def _unquote(message: Message, facts: dict[str, Any]) -> None:
    for field in message.DESCRIPTOR.fields:
        value = facts.get(field.name)
        if value is None:
            continue
        if field.cpp_type in WIDE:
            facts[field.name] = int(value)
        elif isinstance(value, dict):
            _unquote(getattr(message, field.name), value)
        elif field.message_type is not None and isinstance(value, list):
            for part, part_facts in zip(getattr(message, field.name), value, strict=True):
                _unquote(part, part_facts)
