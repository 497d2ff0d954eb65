"""A response as JSON for scripts: the proto's own field names, numbers as numbers, enum values by name."""

import json
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

WIDE = (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)


def print_json(message: Message) -> None:
    """Print one response in ASCII, which every encoding and terminal takes; fields at their default are printed too."""
    print(json.dumps(as_dict(message), indent=2))


def print_json_line(message: Message) -> None:
    """Print one message on a line of its own, at once: the reader may be waiting for it."""
    print(json.dumps(as_dict(message)), flush=True)


def as_dict(message: Message) -> dict[str, Any]:
    """The proto's own JSON form, but for 64-bit integers, which it would quote; Holdfast's stay far below 2^53."""
    fields = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    _unquote(message, fields)
    return fields


def _unquote(message: Message, fields: dict[str, Any]) -> None:
    for field in message.DESCRIPTOR.fields:
        value = fields.get(field.name)
        if value is None:
            continue
        if field.cpp_type in WIDE:
            fields[field.name] = int(value)
        elif isinstance(value, dict):
            _unquote(getattr(message, field.name), value)
        elif field.message_type is not None and isinstance(value, list):
            for part, part_fields in zip(getattr(message, field.name), value, strict=True):
                _unquote(part, part_fields)
