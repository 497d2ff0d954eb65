"""Reads the names in a caller's certificate, whole: those that gRPC gives end at the first NUL byte in them."""

import socket
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

import structlog
from cryptography.x509 import (
    DNSName,
    ExtensionNotFound,
    GeneralName,
    IPAddress,
    RFC822Name,
    SubjectAlternativeName,
    UniformResourceIdentifier,
    load_pem_x509_certificate,
)

REMEMBERED = 4_000  # certificates of callers
log = structlog.get_logger()


@lru_cache(REMEMBERED)  # by all of its text: reading one costs more than a call
def certificate_names(pem: bytes) -> Sequence[bytes]:
    """The hosts, URIs, email addresses and IP addresses of the subject alternative name, in its order.

    None of a certificate that cannot be read, although its connection was accepted: the log says why.
    """
    try:
        extensions = load_pem_x509_certificate(pem).extensions
        names = extensions.get_extension_for_class(SubjectAlternativeName).value
    except ExtensionNotFound:
        return ()
    except Exception as error:  # noqa: BLE001  (the library's, by what is wrong with it: its caller is unknown then)
        log.warning("client_certificate_unreadable", why=f"{type(error).__name__}: {error}")
        return ()
    return tuple(text.encode() for name in names if (text := _text(name)) is not None)


def _text(name: GeneralName) -> str | None:
    """As it is written in the certificate, an IP address as systems write it; None of other kinds."""
    match name:
        case DNSName() | UniformResourceIdentifier() | RFC822Name():
            return name.value
        case IPAddress(value=IPv4Address() as address):
            return str(address)
        case IPAddress(value=IPv6Address() as address):
            return socket.inet_ntop(socket.AF_INET6, address.packed)
    return None
