"""Who calls: by the token in the one `authorization` header, or by the client certificate of a caller without one."""

import pytest
from holdfast.inventory.v1 import error_reason_pb2 as reasons
from structlog.testing import capture_logs

from inventory_service.domain.caller import Caller
from inventory_service.domain.revocations import Revocation, Revocations
from inventory_service.domain.tokens import Problem, TenantRejected, TokenRejected
from inventory_service.rpc import token_failures
from inventory_service.rpc.auth import Authenticator
from inventory_service.rpc.status import CallFailed
from inventory_service.rpc.token_cache import MAX_HEADER
from tests.debug_log import log_everything
from tests.unit.inventory_service.rpc.authenticated import ANN, Authenticated, context_with, failure_text

CERTIFIED = Caller("acme", "till-4", frozenset())


@pytest.mark.parametrize("header", ["Bearer ann", "bearer ann", "BEARER  ann "])
def test_a_token_says_who_calls(header: str) -> None:
    """The word before it may be in any case, as for every scheme of that header."""
    assert Authenticated(ann=ANN).call(header, more=[("x-request-id", "4"), ("trace-bin", b"\xff")]) == ANN


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        ([], "no_token"),
        (["Bearer ann", "Bearer ann"], "two_tokens"),
        (["Basic YW5uOmFubg=="], "not_bearer"),
        (["ann"], "not_bearer"),
        (["Bearer" + "ann"], "not_bearer"),
        ([""], "not_bearer"),
        (["Bearer " + "a" * (MAX_HEADER - 6)], "too_long"),
        (["Bearer bob"], "bad_signature"),
    ],
)
def test_a_call_without_one_good_token_says_why(headers: list[str], problem: str) -> None:
    """Two headers are refused whatever they hold: a proxy may look at the one, and this server at the other."""
    assert Authenticated(ann=ANN).failure(*headers) == f"TOKEN_INVALID problem={problem}"


def test_the_longest_header_is_taken() -> None:
    """It has 8 KiB with the word before the token."""
    token = "a" * (MAX_HEADER - len("Bearer "))

    assert MAX_HEADER == 8192
    served = Authenticated()
    served.verifier.tokens[token] = ANN
    assert served.call(f"Bearer {token}") == ANN


def test_a_claim_that_is_at_fault_is_named() -> None:
    """By the name that it has in the token; a tenant that may not be used is a matter of rights."""
    served = Authenticated(
        ann=TokenRejected(Problem.BAD_CLAIM, "exp"), bob=TenantRejected(Problem.MISSING_CLAIM, "shop")
    )

    assert served.failure("Bearer ann") == "TOKEN_INVALID problem=bad_claim claim=exp"
    assert served.failure("Bearer bob") == "SCOPE_MISSING problem=missing_claim claim=shop"


def test_a_certificate_says_who_calls_without_a_token() -> None:
    """One that no identity is known for counts as none."""
    assert Authenticated(certificates=lambda _: CERTIFIED).call() == CERTIFIED
    assert Authenticated(certificates=lambda _: None).failure() == "TOKEN_INVALID problem=no_token"


def test_beside_a_certificate_the_token_decides() -> None:
    """Also if no identity is known for the certificate, or if the token is bad."""
    served = Authenticated(ann=ANN, certificates=lambda _: CERTIFIED)

    assert served.call("Bearer ann") == ANN
    assert served.failure("Bearer bob") == "TOKEN_INVALID problem=bad_signature"
    assert Authenticated(ann=ANN, certificates=lambda _: None).call("Bearer ann") == ANN


def test_a_token_of_another_tenant_than_the_certificate_is_refused() -> None:
    """A token that was stolen is of no use over the connections of another tenant."""
    served = Authenticated(ann=ANN, certificates=lambda _: CERTIFIED._replace(tenant="other"))

    assert served.failure("Bearer ann") == "SCOPE_MISSING problem=other_tenant"


def test_where_no_keys_are_set_a_token_is_not_looked_at() -> None:
    """It may be meant for a proxy before the server."""
    authenticate = Authenticator(None, Revocations(), lambda _: CERTIFIED).caller_of

    assert authenticate(context_with("Bearer ann")) == CERTIFIED
    with pytest.raises(CallFailed) as failed:
        Authenticator(None, Revocations(), lambda _: None).caller_of(context_with("Bearer ann"))
    assert failure_text(failed.value) == "TOKEN_INVALID problem=unknown_certificate"
    assert failed.value.failure.reason == reasons.ERROR_REASON_TOKEN_INVALID


def test_the_log_of_what_is_refused_names_whose_token_was_genuine_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anyone can write any other name into a token, and no token is logged."""
    log_everything(monkeypatch, token_failures)
    served = Authenticated(ann=ANN)
    with capture_logs() as logged:
        served.failure("Bearer bob")
        served.failure("Bearer bob")
        served.failure()
        served.revocations.add([Revocation("acme", "t-1", None, "stolen", "eve", 0)])
        served.failure("Bearer ann")
        served.now_s += 60
        served.failure("Bearer ann")

    who = {"tenant": "acme", "subject": "ann", "jti": "t-1"}
    assert logged == [
        {"event": "caller_refused", "log_level": "debug", **about}
        for about in (
            {"problem": "bad_signature"},
            {"problem": "bad_signature"},
            {"problem": "no_token"},
            {"problem": "revoked", **who},
            {"problem": "expired", **who},
        )
    ]
