"""Which tokens are revoked, and for how long that must be known."""

from inventory_service.domain.caller import ADMIN, Caller
from inventory_service.domain.revocations import KEPT_S, Revocation, Revocations
from inventory_service.domain.token_claims import MAX_LIFETIME_S

ISSUED_S = 1_000_000.7  # its `iat` in whole seconds is 1,000,000
NOW_MS = 1_000_100_000
ADA = Caller("acme", "ada", frozenset({ADMIN}), "t-1", ISSUED_S, ISSUED_S + 3600)


def of_token(jti: str, tenant: str = "acme") -> Revocation:
    return Revocation(tenant, jti, None, "stolen", "eve", NOW_MS)


def of_subject(issued_before_s: int, subject: str = "ada", tenant: str = "acme") -> Revocation:
    return Revocation(tenant, subject, issued_before_s, "left", "eve", NOW_MS)


def revocations(*made: Revocation) -> Revocations:
    known = Revocations()
    known.add(made)
    return known


def test_a_token_is_revoked_by_its_jti() -> None:
    """And no other token of its subject, nor one without a `jti`."""
    known = revocations(of_token("t-1"))

    assert known.revoked(ADA)
    assert not known.revoked(ADA._replace(jti="t-2"))
    assert not known.revoked(ADA._replace(jti=""))


def test_a_revocation_is_of_its_tenant_alone() -> None:
    """Another tenant's issuer may have given the same `jti` and the same `sub`."""
    known = revocations(of_token("t-1", "zenith"), of_subject(2_000_000, tenant="zenith"))

    assert not known.revoked(ADA)
    assert known.revoked(ADA._replace(tenant="zenith"))


def test_tokens_of_a_subject_are_revoked_that_were_issued_before_the_moment() -> None:
    """`iat` counts in whole seconds: one of the moment's own second is valid."""
    assert revocations(of_subject(1_000_001)).revoked(ADA)
    assert not revocations(of_subject(1_000_000)).revoked(ADA)
    assert not revocations(of_subject(2_000_000, "bob")).revoked(ADA)


def test_a_jti_and_a_subject_of_one_name_are_two() -> None:
    """A token may be named as a subject is."""
    assert not revocations(of_token("ada")).revoked(ADA)
    assert not revocations(of_subject(2_000_000, "t-1")).revoked(ADA)


def test_a_caller_without_a_token_is_never_revoked() -> None:
    """The subject of a certificate is its identity, and it was issued at no moment."""
    certificate = Caller("acme", "ada", frozenset({ADMIN}))

    assert not revocations(of_subject(2_000_000)).revoked(certificate)


def test_the_generation_rises_when_more_tokens_become_invalid() -> None:
    """By it a caller of `revoked` knows that an earlier answer may be wrong; a repeat leaves it as it is."""
    known = revocations(of_token("t-1"))
    before = known.generation

    known.add([of_token("t-1"), of_subject(5)])
    later = known.generation
    known.add([of_subject(4), of_subject(5)])

    assert later > before
    assert known.generation == later
    assert known.covers(of_subject(4))
    assert not known.covers(of_subject(6))


def test_an_entry_goes_once_no_token_that_it_names_can_live() -> None:
    """Not one millisecond earlier; what a token lives at most is in it with the leeway at both of its ends."""
    known = revocations(of_token("t-1"), of_subject(1_000_001))
    ends_ms = NOW_MS + KEPT_S * 1000

    known.drop_expired(ends_ms - 1)
    assert len(known) == 2

    known.drop_expired(ends_ms)
    assert len(known) == 0
    assert not known.revoked(ADA)
    assert KEPT_S >= MAX_LIFETIME_S + 2 * 300
