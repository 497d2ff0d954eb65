"""TLS on the server's port: what gRPC gets the certificate from, and who the caller of a client certificate is."""

from collections.abc import Callable, Sequence
from typing import Any

import grpc
from grpc.aio import ServicerContext

from inventory_service.domain.caller import Caller
from inventory_service.domain.identities import AmbiguousCertificate, Identities, caller_of_names
from inventory_service.domain.server_certificate import ServerCertificate
from inventory_service.domain.tokens import Problem, TokenRejected
from inventory_service.rpc.auth import Identify
from inventory_service.rpc.token_failures import refused, token_failure

CERTIFICATE = "x509_pem_cert"  # gRPC's name of it
NamesIn = Callable[[bytes], Sequence[bytes]]  # those of a certificate in PEM


def server_credentials(current: Callable[[], ServerCertificate]) -> grpc.ServerCredentials:
    """Credentials that follow `current`: each new connection gets the certificate that it returns by then.

    They are for one server object: each has to be told of a new certificate by itself.
    """
    given = current()

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        """Runs at each handshake, on a thread of gRPC's; None leaves the certificate as it is."""
        nonlocal given
        latest = current()
        if latest is given:
            return None
        given = latest
        return _configuration(latest)

    fetcher: Any = fetch  # gRPC's types leave None out
    return grpc.dynamic_ssl_server_credentials(
        _configuration(given), fetcher, require_client_authentication=given.client_ca is not None
    )


def certificate_caller(identities: Callable[[], Identities], names_in: NamesIn) -> Identify:
    """A function from a call to its certificate's caller: None if the table that `identities` returns has none.

    It raises CallFailed, TOKEN_INVALID, if the certificate stands for different callers.
    """

    def caller(context: ServicerContext[Any, Any]) -> Caller | None:
        # Not `peer_identities`: gRPC cuts those at the first NUL byte, and what stands before it is another's name.
        certificate = next(iter(context.auth_context().get(CERTIFICATE, ())), None)
        if certificate is None:
            return None
        try:
            return caller_of_names(names_in(certificate), identities())
        except AmbiguousCertificate:
            raise refused(token_failure(TokenRejected(Problem.AMBIGUOUS_CERTIFICATE))) from None

    return caller


def _configuration(certificate: ServerCertificate) -> grpc.ServerCertificateConfiguration:
    pair = (certificate.key, certificate.chain)
    return grpc.ssl_server_certificate_configuration([pair], certificate.client_ca)
