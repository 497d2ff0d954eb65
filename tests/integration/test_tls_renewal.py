"""Certificates that are renewed while a server process sells: no call fails, and new connections get the new one."""

import asyncio
import operator
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import grpc
from cryptography.x509 import load_der_x509_certificate, load_pem_x509_certificates
from holdfast.inventory.v1 import inventory_service_pb2 as calls

from tests.certificates import HOST, Authority, Files
from tests.integration.server_health import is_on_page
from tests.inventory_server import (
    Caller,
    ServerProcess,
    calling,
    open_shards,
    running_server_process,
    until_judged,
)
from tests.tls_folder import BUYER, OPERATOR, TlsFolder
from tests.waiting import eventually

MANY = 10**6
OLD, NEW = 3, 2  # buyers by connection: one that stays, or another for each call
OK, UNUSABLE = 'holdfast_files_ok{files="certificate"} 1.0', 'holdfast_files_ok{files="certificate"} 0.0'


class Crowd:
    """Buyers of one sale: some over connections that stay, some over a new one each time."""

    def __init__(self, address: str, folder: TlsFolder) -> None:
        self._address = address
        self._folder = folder
        self._numbers = count()
        self.certificate = folder.issue(folder.client_authority, BUYER)  # of the connections that are made from now on
        self.answered = [0] * (OLD + NEW)  # calls, by buyer

    @asynccontextmanager
    async def buying(self) -> AsyncIterator[None]:
        """They buy meanwhile; the first call that fails ends the test."""
        async with asyncio.TaskGroup() as buyers:
            tasks = [
                buyers.create_task(self._buy_over_one(buyer) if buyer < OLD else self._buy_over_many(buyer))
                for buyer in range(OLD + NEW)
            ]
            yield
            for task in tasks:
                task.cancel()

    async def more(self) -> None:
        """Return once each buyer has made a connection, if it makes any, and calls, all of them from now on."""
        enough = [answered + 3 for answered in self.answered]
        await eventually(lambda: all(map(operator.ge, self.answered, enough)))

    async def _buy_over_one(self, buyer: int) -> None:
        async with calling(self._address, credentials=self._folder.credentials(self.certificate)) as caller:
            while True:
                await self._reserve(caller, buyer)

    async def _buy_over_many(self, buyer: int) -> None:
        while True:
            async with calling(self._address, credentials=self._folder.credentials(self.certificate)) as caller:
                await self._reserve(caller, buyer)

    async def _reserve(self, caller: Caller, buyer: int) -> None:
        name = f"r-{next(self._numbers)}"
        await until_judged(lambda: caller.reserve(name))
        self.answered[buyer] += 1


async def test_no_call_fails_while_certificates_are_renewed(valkey: str, database: str, tmp_path: Path) -> None:
    """Not even while the key is not yet that of the certificate, or while callers come from two authorities."""
    folder = TlsFolder(tmp_path)
    await open_shards(valkey)
    async with (
        running_server_process(valkey, database, **folder.variables()) as server,
        calling(server.address, credentials=folder.caller(OPERATOR)) as admin,
    ):
        await admin.create_sale(units=MANY)
        crowd = Crowd(server.address, folder)
        async with crowd.buying():
            await crowd.more()
            await renew_server(server, folder, crowd)
            await renew_client_authority(server, folder, crowd)


async def renew_server(server: ServerProcess, folder: TlsFolder, crowd: Crowd) -> None:
    """The certificate first, and its key once the server has seen that they differ."""
    before, renewed = folder.server, folder.issue(folder.authority, HOST)
    folder.put(folder.certificate, renewed.certificate)
    await eventually(lambda: is_on_page(server, UNUSABLE))
    await crowd.more()
    assert await served_serial(server, crowd.certificate) == serial_of(before)

    folder.put(folder.key, renewed.key)
    await eventually(lambda: is_on_page(server, OK))
    await crowd.more()
    assert await served_serial(server, crowd.certificate) == serial_of(renewed)


async def renew_client_authority(server: ServerProcess, folder: TlsFolder, crowd: Crowd) -> None:
    """Both at first, then the new one alone: connections that the old one's certificate has opened go on."""
    other = Authority(folder.client_ca.parent / "other-authority")
    old, new = crowd.certificate, folder.issue(other, BUYER)
    folder.put(folder.client_ca, folder.client_authority.file, other.file)
    await eventually(lambda: is_accepted(server, folder, new))
    crowd.certificate = new
    await crowd.more()

    folder.put(folder.client_ca, other.file)
    await eventually(lambda: is_refused(server, folder, old))
    await crowd.more()


async def is_accepted(server: ServerProcess, folder: TlsFolder, client: Files) -> bool:
    """A new connection with this certificate is made."""
    async with calling(server.address, credentials=folder.credentials(client)) as caller:
        try:
            await caller.stock.GetSale(calls.GetSaleRequest(sale_id="lamp-sale"))
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017
            return "grpc-status-details-bin" in dict(error.trailing_metadata() or ())  # Redis was slow
        return True


async def is_refused(server: ServerProcess, folder: TlsFolder, client: Files) -> bool:
    """No new connection with this certificate is made."""
    return not await is_accepted(server, folder, client)


def serial_of(files: Files) -> int:
    return load_pem_x509_certificates(files.certificate.read_bytes())[0].serial_number


async def served_serial(server: ServerProcess, client: Files) -> int:
    """The serial number of the certificate that a new connection gets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(client.certificate, client.key)
    context.set_alpn_protocols(["h2"])
    host, _, port = server.address.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    der: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return load_der_x509_certificate(der).serial_number
