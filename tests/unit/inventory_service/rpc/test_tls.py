"""TLS of gRPC's own: which certificate a new connection gets, and whose call a client certificate makes."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.x509 import DNSName, GeneralName, RFC822Name, UniformResourceIdentifier
from grpc.aio import ServicerContext

from inventory_service.adapters.certificate_names import certificate_names
from inventory_service.adapters.reloaded_files import SettingsFile
from inventory_service.adapters.tls_files import read_certificate
from inventory_service.domain.caller import READ, RESERVE, Caller
from inventory_service.domain.server_certificate import ServerCertificate
from inventory_service.rpc.status import CallFailed
from inventory_service.rpc.tls import certificate_caller, server_credentials
from tests.certificates import HOST, Authority, Files

SHOP = Caller("shop", "spiffe://shop/checkout", frozenset({RESERVE}))
REPORTS = Caller("shop", "reports.example", frozenset({READ}))
ANN = Caller("shop", "ann@shop.example", frozenset({READ}))
IDENTITIES = {caller.subject.encode(): caller for caller in (SHOP, REPORTS, ANN)}
WhoAmI = Callable[[], Awaitable[str]]


class TlsServer:
    """A gRPC server whose one call says who makes it."""

    def __init__(self, certificate: ServerCertificate) -> None:
        self.certificate = certificate
        self.caller_of = certificate_caller(lambda: IDENTITIES, certificate_names)
        self.port = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["TlsServer"]:
        method: Any = grpc.unary_unary_rpc_method_handler(self._answer)
        server = grpc.aio.server()
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test", {"WhoAmI": method})])
        self.port = server.add_secure_port(f"{HOST}:0", server_credentials(lambda: self.certificate))
        await server.start()
        yield self
        await server.stop(None)

    async def _answer(self, _request: bytes, context: ServicerContext[Any, Any]) -> bytes:
        try:
            caller = self.caller_of(context)
        except CallFailed as failed:
            return str(failed).encode()
        return caller.subject.encode() if caller else b"none"

    @asynccontextmanager
    async def connected(
        self, authority: Authority, client: Files | None
    ) -> AsyncIterator[Callable[[], Awaitable[str]]]:
        """A connection with a certificate: what asks the server for whom it takes its bearer."""
        pair = (client.key.read_bytes(), client.certificate.read_bytes()) if client else (None, None)
        credentials = grpc.ssl_channel_credentials(authority.file.read_bytes(), *pair)
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.secure_channel(f"{HOST}:{self.port}", credentials, options=options) as channel:
            call: Any = channel.unary_unary("/test/WhoAmI", response_deserializer=bytes.decode)
            yield lambda: call(b"", timeout=10)

    async def who_am_i(self, authority: Authority, client: Files | None) -> str:
        """The same over a connection for this call alone; AioRpcError if there is none."""
        async with self.connected(authority, client) as who_am_i:
            return await who_am_i()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def certificate_of(files: Files, authority: Authority | None = None) -> ServerCertificate:
    cert, key, *ca = [
        SettingsFile("HOLDFAST_ANY", str(path))
        for path in (files.certificate, files.key, *([authority.file] if authority else []))
    ]
    return read_certificate(cert, key, *ca)


async def test_a_caller_is_who_a_name_of_its_certificate_says(authority: Authority, tmp_path: Path) -> None:
    """Be it a URI or a host; a common name says nothing, and two callers in one certificate are none."""
    server = TlsServer(certificate_of(authority.issue(tmp_path / "server"), authority))
    names = {
        "uri": ("spiffe://shop/checkout",),
        "host": ("other.example", "reports.example"),
        "unknown": ("other.example",),
        "both": ("spiffe://shop/checkout", "reports.example"),
    }
    clients = {kind: authority.issue(tmp_path / kind, *given) for kind, given in names.items()}
    clients["common name"] = authority.issue(tmp_path / "cn", "other.example", common_name="reports.example")
    clients["common name alone"] = authority.issue(tmp_path / "cn alone", common_name="reports.example")

    async with server.running():
        found = {kind: await server.who_am_i(authority, client) for kind, client in clients.items()}

    assert found == {
        "uri": "spiffe://shop/checkout",
        "host": "reports.example",
        "unknown": "none",
        "both": "ERROR_REASON_TOKEN_INVALID",
        "common name": "none",
        "common name alone": "none",
    }


@pytest.mark.parametrize(
    "name",
    [
        DNSName("reports.example\0.evil.example"),
        UniformResourceIdentifier("spiffe://shop/checkout\0/evil"),
        RFC822Name._init_without_validation("ann@shop.example\0.evil.example"),
    ],
    ids=["host", "uri", "email"],
)
async def test_a_name_counts_beyond_a_nul_byte(authority: Authority, tmp_path: Path, name: GeneralName) -> None:
    """gRPC gives what stands before it, so the owner of a certificate with such a name would be another caller."""
    server = TlsServer(certificate_of(authority.issue(tmp_path / "server"), authority))
    alone, beside = (
        authority.issue(tmp_path / str(n), name, *more) for n, more in enumerate(([], ["reports.example"]))
    )

    async with server.running():
        assert await server.who_am_i(authority, alone) == "none"
        assert await server.who_am_i(authority, beside) == "reports.example"


async def test_callers_without_a_certificate_of_the_authority_are_refused(authority: Authority, tmp_path: Path) -> None:
    """In the handshake; the server goes on."""
    server = TlsServer(certificate_of(authority.issue(tmp_path / "server"), authority))
    foreign = Authority(tmp_path / "foreign").issue(tmp_path / "client", "reports.example")

    async with server.running():
        for client in (None, foreign):
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await server.who_am_i(authority, client)
            assert raised.value.code() is grpc.StatusCode.UNAVAILABLE

        assert await server.who_am_i(authority, authority.issue(tmp_path / "reports", "reports.example")) != "none"


async def test_new_authorities_of_callers_count_from_the_next_connection_on(
    authority: Authority, tmp_path: Path
) -> None:
    """The old one no longer does; a connection that is open goes on."""
    other = Authority(tmp_path / "other")
    old, new = (each.issue(tmp_path / str(n), "reports.example") for n, each in enumerate((authority, other)))
    own = authority.issue(tmp_path / "server")
    server = TlsServer(certificate_of(own, authority))
    async with server.running(), server.connected(authority, old) as who_am_i:
        assert await who_am_i() == "reports.example"

        server.certificate = certificate_of(own, other)

        assert await server.who_am_i(authority, new) == "reports.example"
        with pytest.raises(grpc.aio.AioRpcError):
            await server.who_am_i(authority, old)
        assert await who_am_i() == "reports.example"
