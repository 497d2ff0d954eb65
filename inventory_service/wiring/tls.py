"""Builds TLS of the server's port from the files that the settings name."""

from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

from holdfast_runtime.settings import BadSettings
from inventory_service.adapters.certificate_names import certificate_names
from inventory_service.adapters.reloaded_files import ReloadedFiles, UnusableFile
from inventory_service.adapters.tls_files import read_certificate, read_identities
from inventory_service.domain.caller import Caller
from inventory_service.domain.identities import Identities, is_listed
from inventory_service.domain.server_certificate import ServerCertificate
from inventory_service.metrics import FileMetrics
from inventory_service.rpc.auth import Identify
from inventory_service.rpc.tls import certificate_caller
from inventory_service.settings import Settings
from inventory_service.wiring.settings_files import settings_file


@dataclass(frozen=True)
class Tls:
    """What a server needs for TLS: all of it, the certificate alone, or nothing."""

    certificates: ReloadedFiles[ServerCertificate] | None = None
    identities: ReloadedFiles[Identities] | None = None

    @property
    def mode(self) -> str:
        """How calls come, for the log: `off`, `server`, or `mutual` where callers have certificates."""
        if self.certificates is None:
            return "off"
        return "server" if self.certificates.current.client_ca is None else "mutual"

    @property
    def certificate(self) -> Callable[[], ServerCertificate] | None:
        """Returns the one that is in use; None without TLS."""
        files = self.certificates
        return None if files is None else lambda: files.current

    @property
    def caller(self) -> Identify | None:
        """Tells the caller of a call by its certificate; None without identities."""
        files = self.identities
        return None if files is None else certificate_caller(lambda: files.current, certificate_names)

    def is_withdrawn(self, caller: Caller) -> bool:
        """Whether the table no longer has the caller of a certificate, or has it with another tenant or scopes."""
        if self.identities is None or caller.has_token:
            return False
        return not is_listed(caller, self.identities.current)

    def watches(self) -> Iterator[Callable[[], Coroutine[Any, Any, None]]]:
        """What reads the files anew when they change, until it is cancelled."""
        return (files.run for files in (self.certificates, self.identities) if files is not None)


PLAINTEXT = Tls()


def tls_of(settings: Settings, metrics: FileMetrics) -> Tls:
    """Read the files that are set; BadSettings if one cannot be used."""
    if not settings.tls_cert_file:
        return PLAINTEXT
    try:
        certificates = _certificates(settings, metrics)
        return Tls(certificates, _identities(settings, metrics))
    except UnusableFile as error:
        raise BadSettings(str(error)) from None


def _certificates(settings: Settings, metrics: FileMetrics) -> ReloadedFiles[ServerCertificate]:
    cert, key, ca = (settings_file(settings, name) for name in ("tls_cert_file", "tls_key_file", "tls_client_ca_file"))
    assert cert is not None
    assert key is not None, "the settings are refused without it"
    files = ReloadedFiles(
        "certificate",
        [file for file in (cert, key, ca) if file],
        lambda: read_certificate(cert, key, ca),
        metrics.show_ok,
    )
    metrics.show_expiry("server", lambda: files.current.expires_at)
    if ca is not None:
        metrics.show_expiry("client_ca", lambda: files.current.client_ca_expires_at or 0)
    return files


def _identities(settings: Settings, metrics: FileMetrics) -> ReloadedFiles[Identities] | None:
    file = settings_file(settings, "tls_identities_file")
    return ReloadedFiles("identities", [file], lambda: read_identities(file), metrics.show_ok) if file else None
