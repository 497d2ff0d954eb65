"""What a token whose signature is good must say, and who calls by it."""

from typing import Any

import pytest

from inventory_service.domain.caller import ALL_SCOPES, AUDIT, READ, Caller
from inventory_service.domain.token_claims import TokenRules, caller_from_claims
from inventory_service.domain.tokens import TenantRejected, TokenRejected

NOW_S = 1_800_000_000
RULES = TokenRules()
DAY_S = 86_400
GOOD = {"sub": "ann", "tenant": "acme", "scope": READ, "iat": NOW_S - 60, "exp": NOW_S + 60}


def caller(rules: TokenRules = RULES, now_s: float = NOW_S, /, **changed: Any) -> Caller:
    """Who calls by a good token, but for what is changed; None leaves a claim out."""
    claims = {name: value for name, value in {**GOOD, **changed}.items() if value is not None}
    return caller_from_claims(claims, rules, now_s)


def problem(rules: TokenRules = RULES, now_s: float = NOW_S, /, **changed: Any) -> str:
    """Why such a token is not valid."""
    with pytest.raises(TokenRejected) as rejected:
        caller(rules, now_s, **changed)
    return str(rejected.value)


def test_a_token_names_its_bearer() -> None:
    """Its leeway is part of the time that it is valid."""
    assert caller(jti="t-1") == Caller("acme", "ann", frozenset({READ}), "t-1", NOW_S - 60, NOW_S + 65)
    assert caller().jti == ""


@pytest.mark.parametrize("name", ["sub", "iat", "exp"])
def test_a_claim_that_is_required_is_missing(name: str) -> None:
    """Without an end a token could be used for ever, and without a subject the books would not say who acted."""
    assert problem(**{name: None}) == f"missing_claim {name}"


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize(
    "value", [str(NOW_S), f"{NOW_S}.0", True, float("nan"), float("inf"), -1, 10**400, [NOW_S], {"a": 1}]
)
def test_a_moment_is_a_number(name: str, value: Any) -> None:
    """Text is none, though a library may take it, and NaN is before and after nothing."""
    assert problem(**{name: value}) == f"bad_claim {name}"


@pytest.mark.parametrize("leeway_s", [0.0, 5.0, 300.0])
def test_a_token_ends_when_its_time_and_the_leeway_are_over(leeway_s: float) -> None:
    """At that moment, and not after it."""
    rules = RULES._replace(leeway_s=leeway_s)

    assert caller(rules, NOW_S + 59.9 + leeway_s).expires_at == NOW_S + 60 + leeway_s
    assert problem(rules, NOW_S + 60 + leeway_s) == "expired"


@pytest.mark.parametrize("name", ["iat", "nbf"])
@pytest.mark.parametrize("leeway_s", [0.0, 5.0, 300.0])
def test_a_token_begins_the_leeway_before_its_time(name: str, leeway_s: float) -> None:
    """The clock of its issuer may be ahead."""
    rules = RULES._replace(leeway_s=leeway_s)

    assert caller(rules, **{name: NOW_S + leeway_s, "exp": NOW_S + 1000})
    assert problem(rules, **{name: NOW_S + leeway_s + 0.1, "exp": NOW_S + 1000}) == f"not_yet_valid {name}"


def test_a_token_lives_a_day_at_most() -> None:
    """One that lives for years is a password that does not change."""
    assert caller(iat=NOW_S, exp=NOW_S + DAY_S)
    assert problem(iat=NOW_S, exp=NOW_S + DAY_S + 1) == "valid_too_long exp"
    assert problem(iat=NOW_S, exp=NOW_S) == "bad_claim exp"


@pytest.mark.parametrize("name", ["sub", "jti"])
@pytest.mark.parametrize("value", ["", "a" * 256, 7, ["ann"], "a\0b", "half a \ud83d pair"])
def test_what_the_books_take_as_text_is_text_that_fits(name: str, value: Any) -> None:
    """PostgreSQL takes no U+0000, and what cannot be named cannot be revoked."""
    assert problem(**{name: value}) == f"bad_claim {name}"


@pytest.mark.parametrize("name", ["sub", "jti"])
def test_ids_have_up_to_255_characters(name: str) -> None:
    """Of any kind: issuers use mail addresses and URLs."""
    assert caller(**{name: "ä" * 255})
    assert caller(**{name: "auth0|5f7c 😀"})


@pytest.mark.parametrize("scope", ["inventory.read inventory.audit", ["inventory.read", "inventory.audit", "other"]])
def test_scopes_are_text_with_blanks_or_a_list(scope: Any) -> None:
    """Issuers do either; those of other services are of no interest."""
    assert caller(scope=scope).scopes == {READ, AUDIT}


@pytest.mark.parametrize("scope", [None, "", " ", [], "openid profile", "inventory.readinventory.audit", ["a b"]])
def test_a_token_may_have_no_scope_of_this_service(scope: Any) -> None:
    """Each call then says which one it needs."""
    assert caller(scope=scope).scopes == frozenset()
    assert caller(scope=" ".join(ALL_SCOPES)).scopes == ALL_SCOPES


@pytest.mark.parametrize("scope", [7, {"inventory.read": True}, ["inventory.read", 7], True])
def test_scopes_of_another_type_are_refused(scope: Any) -> None:
    """They may mean something else."""
    assert problem(scope=scope) == "bad_claim scope"


@pytest.mark.parametrize("tenant", ["a", "7", "acme", "a-1", "a" * 63, "x--y"])
def test_a_tenant_is_a_label(tenant: str) -> None:
    """As a host's name has them."""
    assert caller(tenant=tenant).tenant == tenant


@pytest.mark.parametrize(
    "tenant", ["", "a" * 64, "-a", "a-", "Acme", "a_b", "a/b", "a b", "a.b", "acme\n", "ä", "}:sale:", 7, ["acme"]]
)
def test_another_tenant_is_none(tenant: Any) -> None:
    """Keys in Redis hold it, and are split at what it cannot hold."""
    assert problem(tenant=tenant) == "bad_claim tenant"


def test_a_token_without_a_tenant_is_valid_and_may_do_nothing() -> None:
    """PERMISSION_DENIED: another token would not help a caller whose issuer gives it no tenant."""
    for changed in ({"tenant": None}, {"tenant": "A"}, {"tenant": "default"}):
        with pytest.raises(TenantRejected):
            caller(**changed)
    assert problem(tenant=None) == "missing_claim tenant"


def test_the_tenant_of_calls_without_authentication_is_for_those_alone() -> None:
    """Unless the operator lets callers with tokens go on where others began."""
    assert problem(tenant="default") == "default_tenant tenant"
    assert caller(RULES._replace(allows_default_tenant=True), tenant="default").tenant == "default"


def test_the_claim_of_the_tenant_has_the_name_that_the_settings_give_it() -> None:
    """`tenant` is then a claim like any other."""
    rules = RULES._replace(tenant_claim="https://shop.example/shop")

    assert caller(rules, **{"https://shop.example/shop": "acme", "tenant": "other"}).tenant == "acme"
    assert problem(rules) == "missing_claim https://shop.example/shop"
