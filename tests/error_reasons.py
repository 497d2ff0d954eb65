"""The statuses that the protos promise: what the comment of each error reason says."""

import re
from pathlib import Path
from typing import NamedTuple

import grpc

PROTO = Path(__file__).parents[1] / "protos/holdfast/inventory/v1/error_reason.proto"
_VALUE = re.compile(r"((?:^  // .*\n)+)^  ERROR_REASON_(\w+) = ", re.MULTILINE)


class Documented(NamedTuple):
    """The code of a reason, and whether its status has RetryInfo."""

    code: grpc.StatusCode
    retries: bool


def documented() -> dict[str, Documented]:
    """By reason, without its prefix."""
    found = {}
    for lines, reason in _VALUE.findall(PROTO.read_text()):
        comment = " ".join(line.strip(" /") for line in lines.splitlines())
        code = re.match(r"([A-Z_]+)[:,]", comment)
        if code is not None:
            found[reason] = Documented(grpc.StatusCode[code[1]], "with RetryInfo" in comment)
    return found
