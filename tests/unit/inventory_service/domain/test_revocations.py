"""A token is revoked by its `jti`, or with all that its subject got before a moment, within its tenant."""

import pytest

from inventory_service.domain.caller import ANYONE, Caller
from inventory_service.domain.revocations import Revocations

ANN = Caller("acme", "ann", frozenset(), jti="t-1", issued_at=1000.0)


@pytest.mark.parametrize(
    ("caller", "is_revoked"),
    [(ANN, True), (ANN._replace(jti="t-2"), False), (ANN._replace(jti=""), False), (ANN._replace(tenant="b"), False)],
)
def test_a_jti_revokes_one_token_of_one_tenant(caller: Caller, is_revoked: bool) -> None:
    """Another tenant may have given the same `jti` to a token of its own."""
    revocations = Revocations()

    revocations.revoke_token("acme", "t-1")

    assert revocations.revoked(caller) is is_revoked


@pytest.mark.parametrize(
    ("caller", "is_revoked"),
    [
        (ANN, True),
        (ANN._replace(issued_at=1500.0), False),
        (ANN._replace(subject="bob"), False),
        (ANN._replace(tenant="b"), False),
    ],
)
def test_a_subject_loses_all_tokens_that_were_issued_before(caller: Caller, is_revoked: bool) -> None:
    """A token of that very moment may be the one that it got afterwards; an earlier moment takes nothing back."""
    revocations = Revocations()

    revocations.revoke_subject("acme", "ann", 1500.0)
    revocations.revoke_subject("acme", "ann", 900.0)

    assert revocations.revoked(caller) is is_revoked


def test_the_generation_rises_with_each_entry() -> None:
    """A cached caller is judged again when it has moved."""
    revocations = Revocations()
    seen = [revocations.generation]

    revocations.revoke_token("acme", "t-1")
    seen.append(revocations.generation)
    revocations.revoke_subject("acme", "ann", 1500.0)
    seen.append(revocations.generation)

    assert seen == sorted(set(seen))
    assert not Revocations().revoked(ANYONE)
