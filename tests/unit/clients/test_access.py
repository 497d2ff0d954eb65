"""How a client gets to its servers: TLS, tokens, metadata, the environment, and a patience for some calls alone."""

import inspect
from pathlib import Path
from typing import get_args, get_type_hints

import grpc
import pytest
import trustme
from google.protobuf.message import Message
from holdfast import errors, messages
from holdfast.access import Tls, from_environment, servers_of
from holdfast.blocking import BlockingClient
from holdfast.client import Client
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast.inventory.v1.inventory_service_pb2 import GetSaleResponse, ReserveResponse
from holdfast.messages import Rejection, Reservation, ReservationState, held
from holdfast.retry import RetryPolicy

from tests.unit.clients.fake_inventory import FakeInventory, running_fake, unavailable
from tests.waiting import LONG_S

PATIENT = RetryPolicy(overall_s=LONG_S, attempt_s=LONG_S, first_delay_s=0.001)


async def test_a_token_is_asked_for_with_each_attempt(fake: FakeInventory) -> None:
    """It may have run out since the last one."""
    tokens = iter(["t-1", "t-2"])
    fake.will_answer("GetSale", unavailable(ErrorReason.ERROR_REASON_STORE_UNREACHABLE), GetSaleResponse())

    async with Client(fake.address, retry=PATIENT, token=lambda: next(tokens)) as client:
        await client.get_sale("lamps")

    assert [each["authorization"] for each in fake.metadata] == ["Bearer t-1", "Bearer t-2"]


@pytest.mark.parametrize("failure", [FileNotFoundError(2, "No such file", "token"), TimeoutError("no answer")])
async def test_a_token_that_fails_hides_no_outcome(fake: FakeInventory, failure: Exception) -> None:
    """The attempt before may have done it; and a TimeoutError of the token is none of the client's patience."""
    fake.will_answer("Reserve", unavailable(ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN))
    tokens = iter(["t-1"])

    def token() -> str:
        for text in tokens:
            return text
        raise failure

    async with Client(fake.address, retry=PATIENT, token=token) as client:
        with pytest.raises(errors.TokenUnavailable) as second:
            await client.reserve("lamps", "r-1", "ada", {"lamp": 1})
        with pytest.raises(errors.TokenUnavailable) as first:
            await client.reserve("lamps", "r-1", "ada", {"lamp": 1})

    assert (second.value.outcome_unknown, first.value.outcome_unknown) == (True, False)
    assert second.value.__cause__ is failure
    assert second.value.ids["reservation_id"] == "r-1"


@pytest.mark.parametrize("token", ["a\nb", "é"])
async def test_a_token_that_no_header_can_carry_is_sent_nowhere(fake: FakeInventory, token: str) -> None:
    """gRPC's own error would show the header, and be none of `holdfast.errors`."""
    async with Client(fake.address, token=token) as client:
        with pytest.raises(errors.TokenUnavailable, match="no header can carry") as raised:
            await client.get_sale("lamps")

    assert token not in str(raised.value)
    assert not fake.asked


async def test_some_calls_have_a_patience_and_metadata_of_their_own(fake: FakeInventory) -> None:
    """Over the same connections; the client itself stays as it is."""
    fake.will_answer("Reserve", *[ReserveResponse()] * 2)
    once = ("lamps", "r-1", "ada", {"lamp": 1})

    async with Client(fake.address, retry=PATIENT, token="t-1", user_agent="shop/3") as client:
        await client.with_options(timeout_s=5, metadata=[("x-cart", "7")]).reserve(*once)
        await client.reserve(*once)

    special, usual = fake.metadata
    assert fake.deadlines_s[0] < 6 < fake.deadlines_s[1]
    assert (special["x-cart"], usual.get("x-cart")) == ("7", None)
    assert special["authorization"] == usual["authorization"] == "Bearer t-1"
    assert str(usual["user-agent"]).startswith("shop/3 grpc-python")


def test_a_variant_of_a_blocking_client_is_closed_with_it(fake: FakeInventory) -> None:
    """Both have one thread."""
    fake.will_answer("GetSale", GetSaleResponse())
    client = BlockingClient(fake.address, retry=PATIENT)
    variant = client.with_options(retry=PATIENT)

    variant.get_sale("lamps")
    client.close()

    with pytest.raises(errors.Closed):
        variant.get_sale("lamps")


async def test_an_interceptor_sees_each_attempt(fake: FakeInventory) -> None:
    """A caller traces its calls so."""
    seen = []

    class Tracer(grpc.aio.UnaryUnaryClientInterceptor):
        async def intercept_unary_unary(self, continuation, client_call_details, request):  # type: ignore[no-untyped-def]
            seen.append(client_call_details.method)
            return await continuation(client_call_details, request)

    fake.will_answer("GetSale", unavailable(ErrorReason.ERROR_REASON_STORE_UNREACHABLE), GetSaleResponse())
    async with Client(fake.address, retry=PATIENT, interceptors=[Tracer()]) as client:
        await client.get_sale("lamps")

    assert [str(method).rpartition("/")[2].strip("'") for method in seen] == ["GetSale", "GetSale"]


async def test_a_timeout_of_an_interceptor_is_its_own(fake: FakeInventory) -> None:
    """It says nothing about the patience of the client, which has not run out."""

    class Impatient(grpc.aio.UnaryUnaryClientInterceptor):
        async def intercept_unary_unary(self, continuation, client_call_details, request):  # type: ignore[no-untyped-def]
            raise TimeoutError("the tracer does not answer")

    async with Client(fake.address, retry=PATIENT, interceptors=[Impatient()]) as client:
        with pytest.raises(TimeoutError, match="the tracer"):
            await client.get_sale("lamps")


@pytest.mark.parametrize(
    "files",
    [
        {"cert_file": "full"},
        {"key_file": "full"},
        {"cert_file": "full", "key_file": "empty"},
        {"cert_file": "empty", "key_file": "full"},
        {"ca_file": "empty"},
    ],
    ids=lambda files: " ".join(f"{name}={content}" for name, content in files.items()),
)
def test_files_of_which_one_is_missing_or_empty_are_no_credentials(tmp_path: Path, files: dict[str, str]) -> None:
    """gRPC would end the process, or trust authorities that were not named."""
    for name, content in (("full", "a certificate or a key"), ("empty", "")):
        (tmp_path / name).write_text(content)

    with pytest.raises(ValueError, match=r"needs both|is empty"):
        Tls(**{name: tmp_path / file for name, file in files.items()}).credentials()


async def test_a_client_with_a_certificate_is_served_by_tls(tmp_path: Path) -> None:
    """The files are read when the client connects; without them its certificate is rejected."""
    authority = trustme.CA()
    server, caller = authority.issue_cert("127.0.0.1"), authority.issue_cert("shop")
    ca_pem, server_pem = authority.cert_pem.bytes(), b"".join(blob.bytes() for blob in server.cert_chain_pems)
    credentials = grpc.ssl_server_credentials(
        [(server.private_key_pem.bytes(), server_pem)], root_certificates=ca_pem, require_client_auth=True
    )
    tls = Tls(ca_file=tmp_path / "ca", cert_file=str(tmp_path / "cert"), key_file=tmp_path / "key")
    with running_fake(credentials) as fake:
        fake.will_answer("GetSale", GetSaleResponse())
        trusting = Client(fake.address, channels=1, retry=PATIENT, tls=tls)
        (tmp_path / "ca").write_bytes(ca_pem)
        caller.private_key_pem.write_to_path(tmp_path / "key")
        caller.cert_chain_pems[0].write_to_path(tmp_path / "cert")

        async with trusting, Client(fake.address, channels=1, tls=Tls()) as distrusting:
            assert await trusting.get_sale("lamps") == GetSaleResponse()
            with pytest.raises(errors.NoAnswer):
                await distrusting.with_options(timeout_s=0.1).get_sale("lamps")


def test_the_environment_names_server_token_and_certificates(tmp_path: Path) -> None:
    """A token in a file is read anew with each attempt; nothing named means a server on this machine, without TLS."""
    token_file = tmp_path / "token"
    environment = {
        "HOLDFAST_ADDRESS": "a:1,b:1",
        "HOLDFAST_TOKEN_FILE": str(token_file),
        "HOLDFAST_CA_FILE": "ca.pem",
        "HOLDFAST_USE_PROXY": "1",
    }

    arguments = from_environment(environment)
    token = arguments.pop("token")
    tokens = []
    for text in ("t-1\n", "t-2\n"):
        token_file.write_text(text)
        tokens.append(token())

    assert arguments == {"address": "a:1,b:1", "use_proxy": True, "tls": Tls("ca.pem")}
    assert tokens == ["t-1", "t-2"]
    assert from_environment({}) == {"address": "127.0.0.1:50051", "use_proxy": False, "token": None, "tls": None}
    by_tls = from_environment({"HOLDFAST_TLS": "1", "HOLDFAST_TOKEN": "t\n"})
    assert (by_tls["tls"], by_tls["token"]) == (Tls(), "t")


@pytest.mark.parametrize("name", ["HOLDFAST_TLS", "HOLDFAST_USE_PROXY"])
def test_a_switch_that_is_neither_on_nor_off_is_an_error(name: str) -> None:
    """Taken for off, it would send the token in plaintext."""
    with pytest.raises(ValueError, match=f"{name}: must be 1 or 0, and is 'ture'"):
        from_environment({name: "ture", "HOLDFAST_CA_FILE": "ca.pem"})


def test_two_tokens_are_an_error() -> None:
    """One that is left in a shell must not hide the other one."""
    with pytest.raises(ValueError, match="HOLDFAST_TOKEN and HOLDFAST_TOKEN_FILE are both set"):
        from_environment({"HOLDFAST_TOKEN": "t-1", "HOLDFAST_TOKEN_FILE": "token"})


@pytest.mark.parametrize("address", ["", "here", "a:1,", "a:1,here", "127.0.0.1\udcff:1"])
def test_an_address_names_host_and_port_of_each_server(address: str) -> None:
    """gRPC would take what it finds, and half of all attempts would go nowhere."""
    with pytest.raises(ValueError, match="must be host:port"):
        Client(address)

    assert servers_of("a:1, b:1 ") == ["a:1", "b:1"]


async def test_a_server_has_at_least_one_channel(fake: FakeInventory) -> None:
    """Also if none was asked for."""
    fake.will_answer("GetSale", GetSaleResponse())

    async with Client(fake.address, channels=0, retry=PATIENT) as client:
        assert await client.get_sale("lamps") == GetSaleResponse()


async def test_a_client_of_the_environment_calls_the_server_it_names(
    fake: FakeInventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An argument goes before a variable."""
    fake.will_answer("GetSale", *[GetSaleResponse()] * 2)
    monkeypatch.setenv("HOLDFAST_ADDRESS", fake.address)
    monkeypatch.setenv("HOLDFAST_TOKEN", "t-1")

    async with Client.from_env(retry=PATIENT) as client:
        await client.get_sale("lamps")
    with BlockingClient.from_env(token="t-2") as blocking:
        blocking.get_sale("lamps")

    assert [each["authorization"] for each in fake.metadata] == ["Bearer t-1", "Bearer t-2"]


def test_the_responses_of_all_calls_are_exported() -> None:
    """A caller annotates its own functions with them, and names no generated module for that."""
    calls = [call for name, call in inspect.getmembers(Client, inspect.isfunction) if name[0] != "_"]
    returned = [get_type_hints(call).get("return") for call in calls]

    named = [kind for one in returned for kind in (one, *get_args(one), *map(get_args, get_args(one)))]
    responses = {kind.__name__ for kind in named if inspect.isclass(kind) and issubclass(kind, Message)}

    assert len(responses) == 31
    assert responses | {"SaleSettings"} <= set(messages.__all__)


def test_units_are_held_by_a_reservation_that_stands() -> None:
    """A rejection, nothing at all and a state that this client does not know are no claim."""
    mine = Reservation(state=ReservationState.RESERVATION_STATE_CONFIRMED)
    unknown = Reservation.FromString(bytes([5 << 3, 99]))

    assert held(ReserveResponse(reservation=mine)) == mine
    for none in (ReserveResponse(rejection=Rejection()), ReserveResponse(), ReserveResponse(reservation=unknown)):
        assert held(none) is None
