"""The commands on tokens: make keys and the tokens that they sign, and revoke tokens."""

import json
import re
import time
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from uuid import uuid4

import typer

from holdfast.cli import token_keys
from holdfast.cli.parsing import duration
from holdfast.cli.render import show
from holdfast.cli.revoke import revoke
from holdfast.cli.terminal import messages, printable
from holdfast.cli.token_keys import Algorithm, SigningKey

app = typer.Typer(
    help="Revoke tokens; make keys and tokens, for tests and for the first steps without an identity provider.",
    no_args_is_help=True,
)
app.command()(revoke)

LONGEST = timedelta(hours=24)  # the server takes no token that is valid for longer
LONGEST_SUBJECT = 255
TENANT = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
TENANT_CLAIM = "tenant"
OTHER_CLAIMS = {"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "scope"}


class Scope(StrEnum):
    """What a token may allow."""

    READ = "inventory.read"
    RESERVE = "inventory.reserve"
    AUDIT = "inventory.audit"
    ADMIN = "inventory.admin"


def _subject(text: str) -> str:
    if not (1 <= len(text) <= LONGEST_SUBJECT):
        raise typer.BadParameter(f"has {len(text)} characters, and must have 1 to {LONGEST_SUBJECT}")
    return text


def _tenant(text: str) -> str:
    if not TENANT.fullmatch(text):
        raise typer.BadParameter(f"{text!r} is no tenant: 1 to 63 of a-z, 0-9 and -, with no - at either end")
    return text


def _tenant_claim(text: str) -> str:
    if not text or text in OTHER_CLAIMS:
        raise typer.BadParameter(f"{text!r} is no name for the claim of the tenant")
    return text


def _valid_for(text: str) -> timedelta:
    length = duration(text)
    if not timedelta(seconds=1) <= length <= LONGEST:
        raise typer.BadParameter(f"{text!r} is not from 1s to 24h, which is as long as a server lets a token live")
    return length


KeyOut = Annotated[Path, typer.Argument(metavar="FILE", help="Where the private key, or the secret of HS256, goes.")]
KeyAlgorithm = Annotated[
    Algorithm, typer.Option(case_sensitive=False, help="HS256 makes a secret, which the server has too.")
]
JwksOut = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="The JWKS for the server, to which the public key is added; jwks.json beside FILE if not given.",
        show_default=False,
    ),
]
Kid = Annotated[str, typer.Option(help="The key's id; the key's own thumbprint (RFC 7638) if not given.")]
Force = Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result, or the failure, as JSON.")]

Subject = Annotated[str, typer.Option(callback=_subject, help="Who calls, by which the books name who acted.")]
Tenant = Annotated[
    str,
    typer.Option(
        callback=_tenant,
        help="Whose sales are meant. A server refuses `default` unless HOLDFAST_AUTH_ALLOW_DEFAULT_TENANT is set.",
    ),
]
Scopes = Annotated[
    list[Scope],
    typer.Option(metavar="SCOPE", help=f"What the token allows: {', '.join(Scope)}; repeat for more."),
]
ValidFor = Annotated[
    timedelta, typer.Option("--for", metavar="DURATION", parser=_valid_for, help="How long it is valid, at most 24h.")
]
KeyFile = Annotated[
    Path | None, typer.Option("--key", metavar="FILE", help="The private key in PEM; if not given, --secret-file is.")
]
SecretFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The secret of at least 32 bytes, for HS256; if not given, --key is."),
]
SigningKid = Annotated[
    str, typer.Option(help="The key's id; if not given, that of a private key by default, and none of a secret.")
]
Issuer = Annotated[str, typer.Option(envvar="HOLDFAST_AUTH_ISSUER", help="The claim `iss`; none if not given.")]
Audience = Annotated[str, typer.Option(envvar="HOLDFAST_AUTH_AUDIENCE", help="The claim `aud`; none if not given.")]
TenantClaim = Annotated[
    str,
    typer.Option(envvar="HOLDFAST_AUTH_TENANT_CLAIM", callback=_tenant_claim, help="The claim that has the tenant."),
]


class Issued(NamedTuple):
    """A token, and what is in it; the moments are in seconds since 1970."""

    token: str
    kid: str
    algorithm: str
    claims: dict[str, Any]


@app.command()
def key(
    file: KeyOut,
    algorithm: KeyAlgorithm = Algorithm.ES256,
    jwks_file: JwksOut = None,
    kid: Kid = "",
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Make a key that signs tokens, and tell the server's side of it: a JWKS, or for HS256 the same secret.

    A further key with the same JWKS is for a rotation: the server takes the tokens of both. Take the old one out of the
    JWKS once its last token has run out.
    """
    token_keys.need_libraries("token key")
    made: dict[str, str] = {"algorithm": algorithm.value, "file": str(file)}
    if algorithm is Algorithm.HS256:
        if kid or jwks_file:
            raise typer.BadParameter("a secret for HS256 is in no JWKS and has no id")
        token_keys.make_secret(file, force=force)
        made["setting"] = f"HOLDFAST_AUTH_SECRET_FILE={file}"
    else:
        jwks = jwks_file or file.parent / "jwks.json"
        made["kid"] = token_keys.make_key(file, jwks, algorithm, kid, force=force)
        made |= {"jwks_file": str(jwks), "setting": f"HOLDFAST_AUTH_JWKS_FILE={jwks}"}
    print(json.dumps(made, indent=2)) if as_json else _show_key(made)


@app.command()
def issue(
    subject: Subject,
    tenant: Tenant,
    scope: Scopes,
    valid_for: ValidFor = "1h",  # type: ignore[assignment]  # typer parses it
    key: KeyFile = None,
    secret_file: SecretFile = None,
    kid: SigningKid = "",
    issuer: Issuer = "",
    audience: Audience = "",
    tenant_claim: TenantClaim = TENANT_CLAIM,
    as_json: Json = False,
) -> None:
    """Print a token. Its id, by which it can be revoked, goes to standard error."""
    if (key is None) == (secret_file is None):
        raise typer.BadParameter("give either --key or --secret-file")
    token_keys.need_libraries("token issue")
    signing = token_keys.read_key(key, kid) if key else token_keys.read_secret(secret_file or Path(), kid)
    claims = {"sub": subject, tenant_claim: tenant, "scope": " ".join(dict.fromkeys(scope))}
    claims |= {name: value for name, value in (("iss", issuer), ("aud", audience)) if value}
    issued = issue_token(claims, valid_for, signing)
    if as_json:
        print(json.dumps(issued._asdict(), indent=2))
        return
    until = datetime.fromtimestamp(issued.claims["exp"], UTC).isoformat()
    messages.print(printable(f"token id {issued.claims['jti']}, valid until {until}"), style="dim")
    print(issued.token)


def issue_token(claims: dict[str, Any], valid_for: timedelta, key: SigningKey) -> Issued:
    """Sign these claims, a new id, and the moments between which the token is valid."""
    now = int(time.time())
    every = {**claims, "jti": str(uuid4()), "iat": now, "exp": now + int(valid_for.total_seconds())}
    return Issued(token_keys.sign(every, key), key.kid, key.algorithm.value, every)


def _show_key(made: dict[str, str]) -> None:
    kid = f", id {made['kid']}" if "kid" in made else ""
    show(f"made  {made['file']}  {made['algorithm']}{kid}")
    show(f"  for the server: {made['setting']}", "dim")
