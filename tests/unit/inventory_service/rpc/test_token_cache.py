"""A token is verified once; what is remembered ends with its time, its keys, or a revocation."""

import pytest

from inventory_service.domain.caller import Caller
from inventory_service.domain.revocations import Revocation
from inventory_service.domain.tokens import Problem, TokenRejected
from inventory_service.rpc import token_cache
from tests.unit.inventory_service.rpc.authenticated import ANN, NOW_S, Authenticated

EXPIRED = "TOKEN_INVALID problem=expired"


def test_a_token_is_verified_once() -> None:
    """A signature costs more than the whole rest of a call."""
    served = Authenticated(ann=ANN, bob=ANN._replace(subject="bob"))

    callers = [served.call(f"Bearer {name}").subject for name in ("ann", "bob", "ann", "ann", "bob")]

    assert callers == ["ann", "bob", "ann", "ann", "bob"]
    assert served.verifier.asked == ["ann", "bob"]


def test_a_token_that_is_remembered_still_ends() -> None:
    """At the moment that the verifier gave, its leeway included."""
    served = Authenticated(ann=ANN)
    served.call("Bearer ann")

    served.now_s = ANN.expires_at - 0.001
    assert served.call("Bearer ann") == ANN
    served.now_s = ANN.expires_at
    assert served.failure("Bearer ann") == EXPIRED
    assert served.verifier.asked == ["ann"]


def test_a_token_that_is_remembered_can_be_revoked() -> None:
    """The next call is refused, and so are all after it."""
    served = Authenticated(ann=ANN, bob=ANN._replace(subject="bob", jti="t-2"))
    served.call("Bearer ann")
    served.call("Bearer bob")

    served.revocations.add([Revocation("acme", "t-1", None, "stolen", "eve", 0)])

    assert [served.failure("Bearer ann") for _ in range(2)] == ["TOKEN_REVOKED"] * 2
    assert served.call("Bearer bob").subject == "bob"
    served.revocations.add([Revocation("acme", "bob", int(NOW_S), "left", "eve", 0)])
    assert served.failure("Bearer bob") == "TOKEN_REVOKED"
    assert served.verifier.asked == ["ann", "bob"]


def test_a_token_that_was_revoked_before_it_came_is_refused() -> None:
    """The server may have been started since."""
    served = Authenticated(ann=ANN)
    served.revocations.add([Revocation("acme", "t-1", None, "stolen", "eve", 0)])

    assert served.failure("Bearer ann") == "TOKEN_REVOKED"


def test_revocations_are_looked_at_again_only_when_there_is_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a call costs the same however many there are."""
    served, asked = Authenticated(ann=ANN), list[str]()

    def revoked(caller: Caller) -> bool:
        asked.append(caller.subject)
        return False

    monkeypatch.setattr(served.revocations, "revoked", revoked)

    for _ in range(3):
        served.call("Bearer ann")
    served.revocations.generation += 1
    for _ in range(3):
        served.call("Bearer ann")

    assert asked == ["ann", "ann"]


def test_other_keys_have_every_token_verified_again() -> None:
    """One whose key was taken out is valid no longer."""
    served = Authenticated(ann=ANN)
    served.call("Bearer ann")

    del served.verifier.tokens["ann"]
    served.verifier.keys.current = object()

    assert served.failure("Bearer ann") == "TOKEN_INVALID problem=bad_signature"


def test_a_token_that_was_verified_while_the_keys_changed_is_verified_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread reads the files: it may have been verified by a key that was taken out."""
    served = Authenticated(ann=ANN)
    verify = served.verifier.verify

    def verify_meanwhile(token: str) -> Caller:
        caller = verify(token)
        served.verifier.keys.current = object()
        return caller

    with monkeypatch.context() as patched:
        patched.setattr(served.verifier, "verify", verify_meanwhile)
        served.call("Bearer ann")
    del served.verifier.tokens["ann"]

    assert served.failure("Bearer ann") == "TOKEN_INVALID problem=bad_signature"


def test_a_failure_is_remembered_for_a_second() -> None:
    """A caller that repeats a bad token costs little, and one that got a key at last waits no longer than that."""
    served = Authenticated()
    for now_s in (0.0, 0.5, 0.999):
        served.now_s = NOW_S + now_s
        assert served.failure("Bearer ann") == "TOKEN_INVALID problem=bad_signature"
    assert served.verifier.asked == ["ann"]

    served.verifier.tokens["ann"] = ANN
    served.now_s = NOW_S + 1.0

    assert served.call("Bearer ann") == ANN


def test_a_failure_ends_with_the_keys() -> None:
    """The new ones may have the one that was unknown."""
    served = Authenticated(ann=TokenRejected(Problem.UNKNOWN_KEY))
    served.failure("Bearer ann")

    served.verifier.tokens["ann"] = ANN
    served.verifier.keys.current = object()

    assert served.call("Bearer ann") == ANN


def test_so_many_are_remembered_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest leaves first; memory stays bounded, whatever callers send."""
    assert (token_cache.VERIFIED, token_cache.FAILED) == (10_000, 1_000)
    monkeypatch.setattr(token_cache, "VERIFIED", 2)
    monkeypatch.setattr(token_cache, "FAILED", 2)
    served = Authenticated(a=ANN, b=ANN, c=ANN)

    for name in ("a", "b", "a", "c", "a", "b"):
        served.call(f"Bearer {name}")
    for name in ("x", "y", "x", "z", "x", "y"):
        served.failure(f"Bearer {name}")

    assert served.verifier.asked == ["a", "b", "c", "a", "b", "x", "y", "z", "x", "y"]


def test_failures_take_no_room_from_tokens_that_are_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forged tokens of one caller make no other caller's dear."""
    monkeypatch.setattr(token_cache, "VERIFIED", 2)
    served = Authenticated(a=ANN, b=ANN)
    served.call("Bearer a")
    served.call("Bearer b")

    for number in range(10):
        served.failure(f"Bearer forged-{number}")
    served.verifier.asked.clear()
    served.call("Bearer a")
    served.call("Bearer b")

    assert served.verifier.asked == []


def test_what_is_too_long_is_not_remembered() -> None:
    """It would fill the memory."""
    served = Authenticated()

    for _ in range(2):
        assert served.failure("Bearer " + "a" * 100_000) == "TOKEN_INVALID problem=too_long"

    assert served.authenticator._tokens is not None
    assert not served.authenticator._tokens._failed
