"""Who a client certificate stands for: a table from the names in it to callers, and the file that has the table.

Names are the entries of the certificate's subject alternative name. They match as a whole and as they are written; the
common name never counts.
"""

import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from inventory_service.domain.caller import ALL_SCOPES, TENANT, Caller

Identities = Mapping[bytes, Caller]  # by name, as it stands in the certificate
KEYS = frozenset({"san", "tenant", "scopes"})
_SAN = re.compile(r"[!-~]{1,255}")  # a subject in the books has at most 255 characters


class BadIdentities(ValueError):
    """The message says in one line what is wrong with the text."""


class AmbiguousCertificate(Exception):
    """The certificate has the names of callers of different tenants or scopes."""


def identities_from_toml(text: str) -> Identities:
    """The table of a file with one `[[identity]]` a name: its `san`, `tenant` and `scopes`. Raises BadIdentities."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadIdentities(f"is no TOML: {error}") from None
    entries = tables.pop("identity", [])
    if tables:
        raise BadIdentities(f"has the unknown key {_first(tables)}; each entry begins with [[identity]]")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise BadIdentities("each entry must begin with [[identity]]")
    identities: dict[bytes, Caller] = {}
    for number, entry in enumerate(entries, start=1):
        if problem := next(_problems(entry), None):
            raise BadIdentities(f"entry {number}: {problem}")
        name = entry["san"].encode()
        if name in identities:
            raise BadIdentities(f"entry {number}: names {entry['san']} once more")
        identities[name] = Caller(entry["tenant"], entry["san"], frozenset(entry["scopes"]))
    if not identities:
        raise BadIdentities("has no [[identity]], so no certificate would be accepted")
    return identities


def caller_of_names(names: Iterable[bytes], identities: Identities) -> Caller | None:
    """The caller of a certificate with these names, the first that the table has; None if it has none.

    Raises AmbiguousCertificate if further ones are of another tenant or have other scopes.
    """
    found: Caller | None = None
    for name in names:
        caller = identities.get(name)
        if caller is None:
            continue
        if found is not None and (caller.tenant, caller.scopes) != (found.tenant, found.scopes):
            raise AmbiguousCertificate(f"{found.subject} and {caller.subject}")
        found = found or caller
    return found


def is_listed(caller: Caller, identities: Identities) -> bool:
    """Whether the table still has the caller that it had, with the same tenant and scopes."""
    return identities.get(caller.subject.encode()) == caller


def _problems(entry: dict[str, Any]) -> Iterator[str]:
    """What is wrong with one entry."""
    if unknown := entry.keys() - KEYS:
        yield f"has the unknown key {_first(unknown)}"
    if missing := KEYS - entry.keys():
        yield f"lacks the key {_first(missing)}"
    if not _matches(_SAN, entry["san"]):
        yield "san must be 1 to 255 printable ASCII characters without blanks"
    if not _matches(TENANT, entry["tenant"]):
        yield "tenant must be 1 to 63 of a-z 0-9 -, with no - at either end"
    scopes = entry["scopes"]
    if not isinstance(scopes, list) or not scopes or not all(isinstance(scope, str) for scope in scopes):
        yield "scopes must be a list of at least one scope"
    elif unknown := set(scopes) - ALL_SCOPES:
        yield f"has the unknown scope {_first(unknown)}; there are {', '.join(sorted(ALL_SCOPES))}"


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _first(names: Collection[str]) -> str:
    return min(names)
