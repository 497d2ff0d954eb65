"""Builds what finds out who calls, and has a server without it listen on loopback only."""

from collections.abc import Callable
from ipaddress import ip_address

from prometheus_client import CollectorRegistry

from holdfast_runtime.settings import BadSettings
from inventory_service.adapters.reloaded_files import UnusableFile
from inventory_service.adapters.tokens.key_files import KeyFiles
from inventory_service.adapters.tokens.verifier import JwtVerifier
from inventory_service.domain.revocations import Revocations
from inventory_service.domain.token_claims import TokenRules
from inventory_service.metrics import TokenMetrics
from inventory_service.rpc.auth import Authenticate, Authenticator, Identify
from inventory_service.settings import Settings
from inventory_service.wiring.settings_files import settings_file


def check_may_listen(settings: Settings, *, insecure: bool = False) -> None:
    """`BadSettings` if every process that reaches this server could make every call, and it was not told so."""
    if insecure and settings.authenticates:
        raise BadSettings("--insecure: has no use where tokens or client certificates say who calls")
    if not (settings.authenticates or insecure or settings.insecure == "true" or is_loopback(settings.listen)):
        raise BadSettings(
            f"HOLDFAST_LISTEN: {settings.listen} is not on loopback, and without authentication everyone who reaches it"
            " may make every call: set HOLDFAST_AUTH_JWKS_FILE, HOLDFAST_AUTH_SECRET_FILE or"
            " HOLDFAST_TLS_CLIENT_CA_FILE, or say --insecure (HOLDFAST_INSECURE=true)"
        )


def token_keys(settings: Settings, show_ok: Callable[[str, bool], None]) -> KeyFiles | None:
    """The keys of the key files, if tokens say who calls; `BadSettings` if a file cannot be used."""
    if not settings.has_token_keys:
        return None
    try:
        return KeyFiles(settings_file(settings, "auth_secret_file"), settings_file(settings, "auth_jwks_file"), show_ok)
    except UnusableFile as error:
        raise BadSettings(str(error)) from None


def authenticator(
    settings: Settings,
    certificates: Identify | None,
    keys: KeyFiles | None,
    revocations: Revocations,
    registry: CollectorRegistry,
) -> Authenticate | None:
    """Finds out who calls; None if every caller may make every call."""
    if certificates is None and keys is None:
        return None
    count_refused = TokenMetrics(registry).count_refused
    return Authenticator(_verifier(settings, keys), revocations, certificates, count_refused=count_refused).caller_of


def who_may_call(*, tokens: bool, certificates: bool) -> str:
    """For the log, because a setting whose name has a typing error lets everyone in."""
    asked_for = [kind for kind, counts in (("tokens", tokens), ("certificates", certificates)) if counts]
    return " or ".join(asked_for) or "everyone"


def is_loopback(listen: str) -> bool:
    """Whether this machine alone can reach an address, host:port."""
    host = listen.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:  # another name
        return False


def _verifier(settings: Settings, keys: KeyFiles | None) -> JwtVerifier | None:
    if keys is None:
        return None
    allows_default = settings.auth_allow_default_tenant == "true"
    rules = TokenRules(settings.auth_tenant_claim, settings.auth_leeway_s, allows_default)
    return JwtVerifier(keys, rules, issuer=settings.auth_issuer, audience=settings.auth_audience)
