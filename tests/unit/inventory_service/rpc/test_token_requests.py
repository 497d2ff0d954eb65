"""What a RevokeTokens asks for, and which of its fields are out of bounds."""

from typing import Any, cast

import pytest
from holdfast.inventory.v1.inventory_admin_service_pb2 import RevokeTokensRequest
from structlog.testing import capture_logs

from inventory_service.domain.caller import ADMIN, Caller
from inventory_service.domain.revocations import Revocation
from inventory_service.rpc.auth import current_caller
from inventory_service.rpc.calls.tokens import TokenCalls, revocation_from_proto
from inventory_service.rpc.status import CallFailed
from inventory_service.service.revocations import Revoked
from tests.unit.inventory_service.rpc.wrapped_calls import FakeContext

NOW_S = 1_800_000_000
NOW_MS = NOW_S * 1000 + 250


def asked(now_ms: int = NOW_MS, **fields: Any) -> Revocation:
    return revocation_from_proto(RevokeTokensRequest(**{"reason": "left", **fields}), "acme", "eve", now_ms)


def subject(seconds: int, nanos: int = 0) -> dict[str, Any]:
    return {"subject": "ada", "issued_before": {"seconds": seconds, "nanos": nanos}}


def test_a_token_is_named_by_its_jti() -> None:
    """Any text: issuers choose it."""
    name = "0/ñ 1" * 51

    assert asked(jti=name) == Revocation("acme", name, None, "left", "eve", NOW_MS)


@pytest.mark.parametrize(
    ("now_ms", "subject_tokens", "issued_before_s"),
    [
        (NOW_MS, {"subject": "ada"}, NOW_S + 1),
        (NOW_S * 1000, {"subject": "ada"}, NOW_S),
        (NOW_MS, subject(NOW_S), NOW_S),
        (NOW_MS, subject(NOW_S, 1), NOW_S + 1),
        (NOW_MS, subject(NOW_S, 250_000_000), NOW_S + 1),
        (NOW_MS, subject(0), 0),
    ],
)
def test_a_moment_counts_in_whole_seconds(now_ms: int, subject_tokens: Any, issued_before_s: int) -> None:
    """`iat` is one, so those below the moment are those below the next whole second; without a moment it is now."""
    assert asked(now_ms, subject_tokens=subject_tokens).issued_before_s == issued_before_s


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, ["tokens"]),
        ({"jti": ""}, ["jti"]),
        ({"jti": "x" * 256, "reason": ""}, ["jti", "reason"]),
        ({"jti": "a\0b", "reason": "x" * 257}, ["jti", "reason"]),
        ({"subject_tokens": {}}, ["subject_tokens.subject"]),
        ({"subject_tokens": {"subject": "x" * 256}}, ["subject_tokens.subject"]),
        ({"subject_tokens": subject(NOW_S, 251_000_000)}, ["subject_tokens.issued_before"]),
        ({"subject_tokens": subject(NOW_S + 1)}, ["subject_tokens.issued_before"]),
        ({"subject_tokens": subject(-1)}, ["subject_tokens.issued_before"]),
        ({"subject_tokens": subject(0, 10**9)}, ["subject_tokens.issued_before"]),
        ({"subject_tokens": {"issued_before": subject(2**62)["issued_before"]}, "reason": ""},
         ["subject_tokens.subject", "subject_tokens.issued_before", "reason"]),
    ],
)  # fmt: skip
def test_every_bad_field_is_named(fields: dict[str, Any], named: list[str]) -> None:
    """Once each; a moment may not be in the future, not by a millisecond."""
    with pytest.raises(CallFailed) as failed:
        asked(**fields)

    assert [violation.field for violation in failed.value.violations] == named


def test_the_longest_texts_are_taken() -> None:
    """255 characters of a name, 256 of a reason, whatever they take as bytes."""
    assert asked(jti="🛒" * 255, reason="🛒" * 256).name == "🛒" * 255


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"jti": "t-1"}, {"jti": "t-1"}),
        ({"subject_tokens": {"subject": "ada"}}, {"subject": "ada", "issued_before": NOW_S + 1}),
    ],
)
async def test_the_log_says_who_revoked_what(fields: dict[str, Any], named: dict[str, Any]) -> None:
    """Once it is done, and whether the ledger has it."""
    current_caller.set(Caller("acme", "eve", frozenset({ADMIN}), "t-2"))
    with capture_logs() as logged:
        await TokenCalls(cast(Any, Revoking())).RevokeTokens(
            RevokeTokensRequest(reason="left", **fields), cast(Any, FakeContext(None))
        )

    who = {"tenant": "acme", "actor": "eve", "reason": "left", "replayed": False, "recorded": True}
    assert logged == [{"event": "tokens_revoked", "log_level": "info", **who, **named}]


class Revoking:
    """Takes every revocation."""

    def now_ms(self) -> int:
        return NOW_MS

    async def revoke(self, _revocation: Revocation, _time_left: object) -> Revoked:
        return Revoked(replayed=False, recorded=True)
