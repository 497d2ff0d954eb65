"""Who makes a call, as a token or a client certificate says it."""

import re
from math import inf
from typing import NamedTuple

DEFAULT_TENANT = "default"
TENANT = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
READ, RESERVE, AUDIT, ADMIN = "inventory.read", "inventory.reserve", "inventory.audit", "inventory.admin"
ALL_SCOPES = frozenset({READ, RESERVE, AUDIT, ADMIN})


class Caller(NamedTuple):
    """One caller; moments are in seconds since 1970."""

    tenant: str
    subject: str  # who acts, in the books; empty while authentication is off
    scopes: frozenset[str]
    jti: str = ""  # of its token; empty: it has none
    issued_at: float = 0.0
    expires_at: float = inf  # of its token, the leeway included: from this moment on it is not valid

    @property
    def has_token(self) -> bool:
        """Whether a token says who calls; a caller by its certificate, or without authentication, has none."""
        return self.expires_at < inf

    @property
    def named(self) -> dict[str, str]:
        """The caller as a log may name it, never by its token; empty while authentication is off."""
        named = {"tenant": self.tenant, "subject": self.subject, "jti": self.jti}
        return {field: value for field, value in named.items() if value} if self.subject else {}


ANYONE = Caller(DEFAULT_TENANT, "", ALL_SCOPES)  # while authentication is off
