"""Builds what finds out who calls, and has a server without it listen on loopback only."""

from ipaddress import ip_address

from holdfast_runtime.settings import BadSettings
from inventory_service.adapters.tokens.key_files import BadKeyFile, TokenKeys
from inventory_service.adapters.tokens.verifier import JwtVerifier
from inventory_service.domain.revocations import Revocations
from inventory_service.domain.token_claims import TokenRules
from inventory_service.metrics import TokenMetrics
from inventory_service.rpc.auth import Authenticator
from inventory_service.settings import Settings


def check_authentication(settings: Settings, *, insecure: bool = False) -> None:
    """`BadSettings` if a key file cannot be used, or if everyone who reaches the server could make every call."""
    if insecure and settings.has_token_keys:
        raise BadSettings("--insecure: has no use where token keys are set: each call needs a token then")
    if settings.has_token_keys:
        token_keys(settings)
    elif not (insecure or settings.insecure == "true" or is_loopback(settings.listen)):
        raise BadSettings(
            f"HOLDFAST_LISTEN: {settings.listen} is not on loopback, and whoever reaches it could make every call: set"
            " HOLDFAST_AUTH_JWKS_FILE or HOLDFAST_AUTH_SECRET_FILE, so that calls need a token, or else say --insecure"
            " (HOLDFAST_INSECURE=true)"
        )


def token_keys(settings: Settings, metrics: TokenMetrics | None = None) -> TokenKeys:
    """The keys of the key files; `BadSettings` if one of them cannot be used."""
    failed = metrics.count_key_file_failure if metrics else lambda: None
    keys = TokenKeys(settings.auth_secret_file, settings.auth_jwks_file, failed)
    try:
        keys.load()
    except BadKeyFile as error:
        raise BadSettings(str(error)) from None
    return keys


def authenticator(
    settings: Settings, keys: TokenKeys, revocations: Revocations, metrics: TokenMetrics
) -> Authenticator | None:
    """Finds out who calls; None if each caller may make every call."""
    if not settings.has_token_keys:
        return None
    rules = TokenRules(
        settings.auth_tenant_claim, settings.auth_leeway_s, settings.auth_allow_default_tenant == "true"
    )
    verifier = JwtVerifier(keys, rules, issuer=settings.auth_issuer, audience=settings.auth_audience)
    return Authenticator(verifier, revocations, count_refused=metrics.count_refused)


def is_loopback(listen: str) -> bool:
    """Whether an address, host:port, is one that this machine alone can reach."""
    host = listen.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:  # another name
        return False
