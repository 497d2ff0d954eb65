"""A server that everyone may call starts on loopback only, or if it is told so; keys that are set are used."""

from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from holdfast_runtime.settings import BadSettings, read_settings
from inventory_service.domain.caller import ALL_SCOPES, Caller
from inventory_service.domain.revocations import Revocations
from inventory_service.settings import Settings
from inventory_service.wiring.authentication import (
    authenticator,
    check_may_listen,
    is_loopback,
    token_keys,
    who_may_call,
)
from tests.tokens import SECRET, claims, secret_token, write
from tests.unit.inventory_service.rpc.authenticated import context_with

FILES = {f"tls_{name}_file": __file__ for name in ("cert", "key", "client_ca", "identities")}


def ignore(_name: str, _ok: bool) -> None:
    """Takes whether files can be used."""


@pytest.mark.parametrize(
    ("listen", "is_local"),
    [
        ("127.0.0.1:50051", True),
        ("127.8.7.6:50051", True),
        ("localhost:50051", True),
        ("[::1]:50051", True),
        ("0.0.0.0:50051", False),
        ("[::]:50051", False),
        ("10.0.0.1:50051", False),
        ("128.0.0.1:50051", False),
        ("localhost.example:50051", False),
        ("inventory:50051", False),
        ("127.0.0.1.example:50051", False),
    ],
)
def test_a_server_without_authentication_listens_on_loopback(listen: str, is_local: bool) -> None:
    """A name that is not `localhost` may lead anywhere."""
    assert is_loopback(listen) is is_local
    settings = Settings(listen=listen)
    if is_local:
        check_may_listen(settings)
        return
    with pytest.raises(BadSettings, match=r"^HOLDFAST_LISTEN: .* --insecure \(HOLDFAST_INSECURE=true\)$"):
        check_may_listen(settings)
    check_may_listen(settings, insecure=True)
    check_may_listen(Settings(listen=listen, insecure="true"))


@pytest.mark.parametrize("keys", [{"auth_secret_file": "/s"}, {"auth_jwks_file": "/j"}, FILES])
def test_where_callers_say_who_they_are_a_server_may_listen_anywhere(keys: Any) -> None:
    """To be told that it is insecure would have no use."""
    settings = Settings(listen="0.0.0.0:50051", **keys)

    check_may_listen(settings)
    with pytest.raises(BadSettings, match=r"^--insecure: has no use"):
        check_may_listen(settings, insecure=True)


def test_tls_alone_says_nothing_of_callers() -> None:
    """It hides what everyone may call."""
    settings = Settings(listen="0.0.0.0:50051", tls_cert_file=__file__, tls_key_file=__file__)

    with pytest.raises(BadSettings, match=r"^HOLDFAST_LISTEN"):
        check_may_listen(settings)


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        ({"AUTH_ISSUER": "a"}, "AUTH_ISSUER: has no use without HOLDFAST_AUTH_SECRET_FILE or HOLDFAST_AUTH_JWKS_FILE"),
        ({"AUTH_AUDIENCE": "a"}, "AUTH_AUDIENCE: has no use without"),
        ({"AUTH_TENANT_CLAIM": "shop"}, "AUTH_TENANT_CLAIM: has no use without"),
        ({"AUTH_LEEWAY_S": "0"}, "AUTH_LEEWAY_S: has no use without"),
        ({"AUTH_ALLOW_DEFAULT_TENANT": "true"}, "AUTH_ALLOW_DEFAULT_TENANT: has no use without"),
        ({"AUTH_LEEWAY_S": "301", "AUTH_SECRET_FILE": "/s"}, "AUTH_LEEWAY_S: "),
        ({"AUTH_TENANT_CLAIM": "", "AUTH_SECRET_FILE": "/s"}, "AUTH_TENANT_CLAIM: "),
        ({"INSECURE": "yes"}, "INSECURE: "),
        ({"INSECURE": "true", "AUTH_SECRET_FILE": "/s"}, "INSECURE: has no use where tokens"),
        ({"INSECURE": "true", **{name.upper(): path for name, path in FILES.items()}}, "INSECURE: has no use where"),
    ],
)
def test_settings_that_contradict_each_other_are_named(
    environment: dict[str, str], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each in a line that begins with the variable."""
    for name, value in environment.items():
        monkeypatch.setenv(f"HOLDFAST_{name}", value)

    with pytest.raises(BadSettings, match=f"^HOLDFAST_{problem}"):
        read_settings(Settings)


def test_the_settings_say_what_a_token_must_say(tmp_path: Path) -> None:
    """Keys, issuer, audience, the tenant's claim and the leeway."""
    settings = Settings(
        auth_secret_file=str(write(tmp_path / "secret", SECRET)),
        auth_issuer="https://a.example",
        auth_audience="holdfast",
        auth_tenant_claim="shop",
        auth_leeway_s=300,
        auth_allow_default_tenant="true",
    )
    said = claims(iss="https://a.example", aud="holdfast", shop="default", tenant=None, scope=" ".join(ALL_SCOPES))
    token, registry = secret_token({**said, "iat": said["iat"] - 1000, "exp": said["iat"] - 200}), CollectorRegistry()

    authenticate = authenticator(settings, None, token_keys(settings, ignore), Revocations(), registry)

    assert authenticate is not None
    assert authenticate(context_with(f"Bearer {token}"))[:3] == ("default", "ann", ALL_SCOPES)
    for wrong in ({"iss": "b"}, {"aud": "b"}, {"shop": None}):
        with pytest.raises(Exception, match=r"TOKEN_INVALID|SCOPE_MISSING"):
            authenticate(context_with(f"Bearer {secret_token({**said, **wrong})}"))
    assert registry.get_sample_value("holdfast_tokens_refused_total", {"problem": "bad_claim"}) == 2
    assert registry.get_sample_value("holdfast_tokens_refused_total", {"problem": "missing_claim"}) == 1


def test_a_key_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """With the setting that names it."""
    for name in ("auth_secret_file", "auth_jwks_file"):
        missing: Any = {name: str(tmp_path / "none")}
        settings = Settings(**missing)
        with pytest.raises(BadSettings, match=f"^HOLDFAST_{name.upper()}: {tmp_path}/none cannot be read: No such"):
            token_keys(settings, ignore)


def test_without_keys_and_certificates_every_caller_may_call() -> None:
    """With either, none may that does not say who it is."""
    caller = Caller("acme", "till-4", ALL_SCOPES)
    settings = Settings()

    assert authenticator(settings, None, token_keys(settings, ignore), Revocations(), CollectorRegistry()) is None
    by_certificate = authenticator(settings, lambda _: caller, None, Revocations(), CollectorRegistry())
    assert by_certificate is not None
    assert by_certificate(context_with()) == caller


def test_the_log_says_who_may_call() -> None:
    """A setting whose name has a typing error is no setting, and the line is where it shows."""
    assert who_may_call(tokens=False, certificates=False) == "everyone"
    assert who_may_call(tokens=True, certificates=False) == "tokens"
    assert who_may_call(tokens=False, certificates=True) == "certificates"
    assert who_may_call(tokens=True, certificates=True) == "tokens or certificates"
