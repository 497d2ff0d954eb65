"""The command that revokes tokens."""

from typing import Annotated

import typer

from holdfast.cli.ask import Options, call_and_print, calls_server
from holdfast.cli.ask_first import Yes, ask_first
from holdfast.cli.parsing import Moment, moment
from holdfast.cli.render import show
from holdfast.inventory.v1.inventory_admin_service_pb2 import RevokeTokensResponse

Jti = Annotated[
    str | None, typer.Argument(help="The `jti` of one token; none if not given, and then --subject is.", metavar="JTI")
]
Subject = Annotated[str | None, typer.Option(help="All tokens of this `sub`; none if not given.")]
IssuedBefore = Annotated[
    Moment | None,
    typer.Option(
        help="Those of the subject that were issued before it, as 2026-11-27T10:00; now if not given.",
        metavar="MOMENT",
        parser=moment,
    ),
]
Reason = Annotated[str, typer.Option(help="Why, for the record.")]


@calls_server
def revoke(
    options: Options,
    reason: Reason,
    jti: Jti = None,
    subject: Subject = None,
    issued_before: IssuedBefore = None,
    yes: Yes = False,
) -> None:
    """Make one token, or all that a subject got, invalid within a second; calls and streams with them end."""
    if (jti is None) == (subject is None):
        raise typer.BadParameter("give either JTI or --subject")
    if subject is None and issued_before is not None:
        raise typer.BadParameter("--issued-before goes with --subject")
    tokens = f"token {jti}" if subject is None else f"tokens of {subject}"
    before = issued_before and issued_before.time

    def revoked(response: RevokeTokensResponse) -> None:
        show(f"revoked  {tokens}")
        if response.replayed:
            show("  a repeat: this was revoked before", "dim")
        if not response.recorded:
            show("  not in the ledger yet, which is away: servers refuse it all the same, and record it later")

    which = f" that were issued before {before:%Y-%m-%d %H:%M:%S %Z}" if before else ""
    ask_first(f"Revoke {tokens}{which} for good?", yes)
    call_and_print(
        options,
        lambda client: client.revoke_tokens(reason, jti=jti, subject=subject, issued_before=before),
        revoked,
        jti=jti or "",
        subject=subject or "",
    )
