"""TLS on the server's port: what it refuses, and who a client certificate is, by calls of the API."""

import asyncio
import os
import shutil
import socket
import ssl
import sys
import warnings
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.x509 import DNSName
from holdfast.access import Tls, from_environment
from holdfast.client import Client
from holdfast.errors import ScopeMissing
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.sale_pb2 import Item, Sale

from inventory_service.adapters import reloaded_files
from inventory_service.domain.caller import ALL_SCOPES
from tests.certificates import HOST
from tests.grpcurl import NoGrpcurl, find_grpcurl
from tests.inventory_server import START_S, UNREACHABLE_DSN, Caller, calling, error_of, open_shards, running_server
from tests.tls_folder import BUYER, OPERATOR, OTHER, READER, SCOPES, TlsFolder
from tests.tokens import SECRET, claims, secret_token, write
from tests.waiting import eventually


@pytest.fixture
def folder(tmp_path: Path) -> TlsFolder:
    return TlsFolder(tmp_path)


@pytest.fixture
async def address(valkey: str, database: str, folder: TlsFolder, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """A server that asks for certificates, and looks at its files more often than usual."""
    monkeypatch.setattr(reloaded_files, "INTERVAL_S", 0.02)
    await open_shards(valkey)
    async with running_server(valkey, database, **folder.settings()) as address:
        yield address


def get_sale() -> calls.GetSaleRequest:
    return calls.GetSaleRequest(sale_id="lamp-sale")


async def test_a_caller_has_the_tenant_and_the_scopes_of_its_certificate(address: str, folder: TlsFolder) -> None:
    """And no others: another tenant has a sale of the same name, and a reader cannot reserve."""
    async with (
        calling(address, credentials=folder.caller(OPERATOR)) as operator,
        calling(address, credentials=folder.caller("else.example", BUYER)) as buyer,
        calling(address, credentials=folder.caller(READER)) as reader,
        calling(address, credentials=folder.caller(OTHER)) as other,
    ):
        await operator.create_sale(units=10)
        await other.create_sale(units=20)
        await buyer.reserve("r-1")

        beyond = [await error_of(call) for call in (reader.reserve("r-2"), buyer.create_sale("lamp-sale-2"))]
        found = [(await each.stock.GetSale(get_sale())).sale.items[0].available for each in (reader, other)]

    assert found == [9, 20]
    assert [(error.code, error.reason) for error in beyond] == [
        (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")
    ] * 2
    assert [error.metadata["scope"] for error in beyond] == ["inventory.reserve", "inventory.admin"]


async def test_a_certificate_that_stands_for_no_caller_opens_nothing(address: str, folder: TlsFolder) -> None:
    """A common name as in the table is not enough, and one of several callers is none of them."""
    clients = {
        "no name of the table": folder.caller("else.example"),
        "its common name": folder.credentials(
            folder.issue(folder.client_authority, "else.example", common_name=READER)
        ),
        "names of two callers": folder.caller(READER, OTHER),
        "its name before a NUL byte": folder.caller(DNSName(f"{READER}\0.evil.example")),
    }
    for credentials in clients.values():
        async with calling(address, credentials=credentials) as caller:
            error = await error_of(caller.stock.GetSale(get_sale()))
            assert (error.code, error.reason) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")


async def test_with_a_token_too_the_token_decides_within_the_certificates_tenant(
    valkey: str, database: str, folder: TlsFolder
) -> None:
    """Also for a certificate that the table does not have: it has opened the connection."""
    await open_shards(valkey)
    secret = write(folder.certificate.with_name("secret"), SECRET)
    said: dict[str, Any] = {"scope": " ".join(ALL_SCOPES), "sub": "ann"}
    shop, elsewhere = (secret_token(claims(tenant=tenant, **said)) for tenant in ("shop", "elsewhere"))
    async with running_server(valkey, database, **folder.settings(), auth_secret_file=str(secret)) as address:
        async with calling(address, credentials=folder.caller(READER)) as reader:
            assert (await error_of(reader.reserve("r-1"))).reason == "SCOPE_MISSING"
            await create_sale(reader, shop)
            other_tenant = await error_of(create_sale(reader, elsewhere))
            bad_token = await error_of(create_sale(reader, f"{shop}x"))
        async with calling(address, credentials=folder.caller("else.example")) as unknown:
            assert (await error_of(unknown.stock.GetSale(get_sale()))).metadata["problem"] == "no_token"
            await create_sale(unknown, elsewhere)

    assert (other_tenant.reason, other_tenant.metadata["problem"]) == ("SCOPE_MISSING", "other_tenant")
    assert bad_token.reason == "TOKEN_INVALID"


async def create_sale(caller: Caller, token: str) -> None:
    """Make the sale with a token."""
    sale = Sale(sale_id="lamp-sale", items=[Item(sku="lamp", total=1)])
    await caller.admin.CreateSale(admin.CreateSaleRequest(sale=sale), metadata=[("authorization", f"Bearer {token}")])


async def test_what_does_not_speak_tls_or_has_no_certificate_is_refused(address: str, folder: TlsFolder) -> None:
    """A connection in plaintext, one without a certificate, one of another authority; the server goes on."""
    foreign = folder.credentials(folder.issue(folder.authority, READER))
    for credentials in (None, folder.credentials(), foreign):
        async with calling(address, credentials=credentials) as caller:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await caller.stock.GetSale(get_sale())
            assert raised.value.code() is grpc.StatusCode.UNAVAILABLE

    async with calling(address, credentials=folder.caller(READER)) as caller:
        assert (await error_of(caller.stock.GetSale(get_sale()))).reason == "SALE_NOT_FOUND"


async def test_tls_is_1_2_or_later(valkey: str, folder: TlsFolder) -> None:
    """What came before is broken."""
    async with running_server(valkey, UNREACHABLE_DSN, **folder.settings(mutual=False)) as address:
        spoken = {
            version: await asyncio.to_thread(speaks, address, version) for version in ssl.TLSVersion if version > 0
        }

    assert {version.name for version, accepted in spoken.items() if accepted} == {"TLSv1_2", "TLSv1_3"}


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
async def test_openssl_takes_the_servers_side_of_a_handshake(address: str, folder: TlsFolder) -> None:
    """Another program verifies chain and name, HTTP/2 is chosen of what it offers, and its certificate is taken."""
    client = folder.issue(folder.client_authority, READER)
    process = await asyncio.create_subprocess_exec(
        *("openssl", "s_client", "-connect", address, "-alpn", "http/1.1,h2"),
        *("-CAfile", str(folder.authority.file), "-verify_ip", HOST, "-verify_return_error"),
        *("-cert", str(client.certificate), "-key", str(client.key)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await asyncio.wait_for(process.communicate(), START_S))[0].decode(errors="replace")

    assert process.returncode == 0, output
    for fact in ("ALPN protocol: h2", "Verification: OK", "New, TLSv1.3"):
        assert fact in output, output


def speaks(address: str, version: ssl.TLSVersion) -> bool:
    """Whether a server takes this version of the protocol, from a client that would take any cipher."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2"])
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=10) as plain, context.wrap_socket(plain) as connection:
            return connection.version() is not None
    except (ssl.SSLError, ConnectionError):
        return False


async def test_identities_count_at_once_over_connections_that_are_open(address: str, folder: TlsFolder) -> None:
    """So a caller is shut out by its next call, and out of its streams. A broken file shuts out none."""
    async with (
        calling(address, credentials=folder.caller(READER)) as reader,
        calling(address, credentials=folder.caller(OPERATOR)) as operator,
    ):
        await operator.create_sale()
        watch: Any = reader.stock.WatchSale(calls.WatchSaleRequest(sale_id="lamp-sale"))
        await watch.read()

        folder.write_identities([OPERATOR])
        assert (await error_of(read_to_the_end(watch))).reason == "TOKEN_INVALID"
        assert (await error_of(reader.stock.GetSale(get_sale()))).reason == "TOKEN_INVALID"
        folder.identities.write_text("[[identity]]\nsan = 3")
        assert (await operator.stock.GetSale(get_sale())).sale.items
        folder.write_identities(SCOPES)
        await eventually(lambda: may_read(reader))


async def read_to_the_end(watch: Any) -> None:
    while await watch.read() is not grpc.aio.EOF:
        pass


async def may_read(caller: Caller) -> bool:
    """The caller is let in."""
    try:
        await caller.stock.GetSale(get_sale())
    except grpc.aio.AioRpcError:
        return False
    return True


async def test_the_clients_files_fit_the_servers(address: str, folder: TlsFolder) -> None:
    """By argument, or by the variables that the command reads too."""
    operator = folder.issue(folder.client_authority, OPERATOR)
    tls = Tls(folder.authority.file, operator.certificate, operator.key)
    async with (
        Client(address, tls=tls) as shop,
        Client(**from_environment(reader_variables(address, folder))) as reports,
    ):
        await shop.create_sale("lamp-sale", {"lamp": 5})

        assert (await reports.get_sale("lamp-sale")).sale.items[0].available == 5
        with pytest.raises(ScopeMissing):
            await reports.reserve("lamp-sale", "r-1", "ann", {"lamp": 1})


def reader_variables(address: str, folder: TlsFolder) -> dict[str, str]:
    """The environment of a caller that may read."""
    reader = folder.issue(folder.client_authority, READER)
    return {
        "HOLDFAST_ADDRESS": address,
        "HOLDFAST_CA_FILE": str(folder.authority.file),
        "HOLDFAST_CLIENT_CERT_FILE": str(reader.certificate),
        "HOLDFAST_CLIENT_KEY_FILE": str(reader.key),
    }


async def test_the_command_and_grpcurl_call_by_the_same_files(address: str, folder: TlsFolder) -> None:
    """An operator's tools."""
    async with calling(address, credentials=folder.caller(OPERATOR)) as operator:
        await operator.create_sale(units=5)
    variables = reader_variables(address, folder)
    authority, certificate, key = (variables[f"HOLDFAST_{name}_FILE"] for name in ("CA", "CLIENT_CERT", "CLIENT_KEY"))
    files = ("-cacert", authority, "-cert", certificate, "-key", key)
    call = ("-d", '{"sale_id": "lamp-sale"}', address, "holdfast.inventory.v1.InventoryService/GetSale")

    shown = await output_of(sys.executable, "-m", "holdfast.cli", "sale", "show", "lamp-sale", "--json", **variables)

    assert '"lamp"' in shown
    try:
        grpcurl = find_grpcurl()
    except NoGrpcurl as reason:
        pytest.skip(f"the command has passed; {reason}")
    assert '"lamp"' in await output_of(str(grpcurl), *files, *call)


async def output_of(*command: str, **variables: str) -> str:
    """What a command prints that succeeds."""
    process = await asyncio.create_subprocess_exec(*command, env={**os.environ, **variables}, stdout=PIPE, stderr=PIPE)
    output, errors = await asyncio.wait_for(process.communicate(), START_S)
    assert process.returncode == 0, errors.decode()
    return output.decode()
