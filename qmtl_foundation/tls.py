"""Certificates of a service: what it shows and whom it trusts, from files that may be renewed while it runs.

A renewed pair is taken at the next handshake, by servers and clients; one that is half written, or does not fit
together, is left alone until it does, and the last good one goes on.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from qmtl_foundation.cancellation import going_on, heed_cancellation
from qmtl_foundation.errors import QmtlError, Reason

FOLLOW_SECONDS: Final = 5.0

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """Hold the PEM files of a service (``QMTL_TLS_…``): its certificate with its chain, its key, whom it trusts.

    All three, or none: then it listens on the loopback only.
    """

    certificate: str = ""
    key: str = ""
    ca: str = ""

    def __post_init__(self) -> None:
        """Refuse a part of them."""
        stated = {"certificate": self.certificate, "key": self.key, "ca": self.ca}
        missing = [f"QMTL_TLS_{name.upper()}" for name, path in stated.items() if not path]
        if missing and len(missing) < len(stated):
            raise QmtlError(
                Reason.NOT_CONFIGURED,
                f"{' and '.join(missing)} not set: TLS needs certificate, key and ca, or none of them",
                metadata={"setting": missing[0]},
            )

    @property
    def is_on(self) -> bool:
        """Tell whether connections are encrypted."""
        return bool(self.certificate)


@dataclass(frozen=True, slots=True)
class Material:
    """Hold what the files held when they last fitted together, as PEM."""

    certificate: bytes
    key: bytes
    ca: bytes


class Certificates:
    """Read the files of a service, and again when they change. Raises QmtlError NOT_CONFIGURED for unusable ones."""

    def __init__(self, settings: TlsSettings) -> None:
        self._paths = {
            "QMTL_TLS_CERTIFICATE": Path(settings.certificate),
            "QMTL_TLS_KEY": Path(settings.key),
            "QMTL_TLS_CA": Path(settings.ca),
        }
        self._lock = threading.Lock()  # handshakes run on threads of grpc
        self._changed = self._stamp()
        self._material = self._read()
        self._contexts: list[ssl.SSLContext] = []

    @property
    def material(self) -> Material:
        """Return what is in force now."""
        with self._lock:
            self._renew()
            return self._material

    def context(self, protocol: int) -> ssl.SSLContext:
        """Return a context of ``ssl.PROTOCOL_TLS_CLIENT`` or ``_SERVER`` that is renewed with the files.

        Authorities are only added to it: one that was withdrawn is trusted until a restart.
        """
        context = ssl.SSLContext(protocol)
        with self._lock:
            self._load(context)
            self._contexts.append(context)
        return context

    async def follow(self) -> None:
        """Renew what is held of the files as they change, until cancelled."""
        while True:
            heed_cancellation()
            await asyncio.sleep(FOLLOW_SECONDS)
            _ = self.material

    def _renew(self) -> None:
        try:
            stamp = self._stamp()
            if stamp == self._changed:
                return
            material = self._read()
            for context in self._contexts:
                self._load(context)
        except QmtlError as error:
            _log.warning("the renewed certificate is not taken: %s", error.message)
            return
        self._material, self._changed = material, stamp
        _log.info("the certificate was renewed")

    def _stamp(self) -> tuple[tuple[int, int], ...]:
        stamps = []
        for setting, path in self._paths.items():
            try:
                found = path.stat()
            except OSError as error:
                raise _unusable(setting, path, error.strerror or str(error)) from error
            stamps.append((found.st_mtime_ns, found.st_ino))
        return tuple(stamps)

    def _read(self) -> Material:
        certificate, key, ca = self._paths.values()
        self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        try:
            return Material(certificate.read_bytes(), key.read_bytes(), ca.read_bytes())
        except OSError as error:
            raise _unusable("QMTL_TLS_CERTIFICATE", certificate, f"went away while it was read: {error}") from error

    def _load(self, context: ssl.SSLContext) -> None:
        certificate, key, ca = self._paths.values()
        try:
            context.load_cert_chain(certificate, key)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise _unusable("QMTL_TLS_CERTIFICATE", certificate, f"does not fit {key}: {error}") from error
        try:
            context.load_verify_locations(ca)
        except (OSError, ValueError) as error:
            raise _unusable("QMTL_TLS_CA", ca, str(error)) from error


@asynccontextmanager
async def open_certificates(settings: TlsSettings) -> AsyncIterator[Certificates | None]:
    """Yield a service's certificates, followed until the end; None where it has none."""
    if not settings.is_on:
        yield None
        return
    certificates = Certificates(settings)
    async with going_on(certificates.follow()):
        yield certificates


def _unusable(setting: str, path: Path, why: str) -> QmtlError:
    return QmtlError(
        Reason.NOT_CONFIGURED, f"{setting} is '{path}', cannot be used: {why}", metadata={"setting": setting}
    )
