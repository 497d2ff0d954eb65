"""The stack that clients in other languages are tried on: one for all, each of which makes sales of its own names."""

from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import pytest

from tests.inventory_server import open_shards, running_server_process
from tests.stacks import running_stack
from tests.tls_folder import OPERATOR, TlsFolder
from tests.tokens import SECRET, claims, secret_token, write


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that serves, with the processes and servers behind it."""
    with running_stack(tmp_path_factory.mktemp("clients")) as stack:
        yield stack.addresses.listen


@pytest.fixture
async def secured(valkey: str, database: str, tmp_path: Path) -> AsyncIterator[Mapping[str, str]]:
    """Servers with TLS, one that asks for tokens and one that asks for certificates: what callers' variables are."""
    folder = TlsFolder(tmp_path)
    client = folder.issue(folder.client_authority, OPERATOR)
    scopes = "inventory.read inventory.reserve inventory.admin"
    tokens = {
        "HOLDFAST_TOKEN_FILE": secret_token(claims(scope=scopes)),
        "HOLDFAST_EXPIRED_TOKEN_FILE": secret_token(claims(0, scope=scopes)),
    }
    mutual = folder.variables()
    tls = {name: mutual[name] for name in ("HOLDFAST_TLS_CERT_FILE", "HOLDFAST_TLS_KEY_FILE")}
    tls["HOLDFAST_AUTH_SECRET_FILE"] = str(write(tmp_path / "secret", SECRET))
    await open_shards(valkey)
    async with (
        running_server_process(valkey, database, **tls) as for_tokens,
        running_server_process(valkey, database, **mutual) as for_certificates,
    ):
        yield {
            "HOLDFAST_TLS_ADDRESS": for_tokens.address,
            "HOLDFAST_MUTUAL_TLS_ADDRESS": for_certificates.address,
            "HOLDFAST_CA_FILE": str(folder.authority.file),
            "HOLDFAST_CLIENT_CERT_FILE": str(client.certificate),
            "HOLDFAST_CLIENT_KEY_FILE": str(client.key),
            **{name: str(write(tmp_path / name, token.encode())) for name, token in tokens.items()},
        }
