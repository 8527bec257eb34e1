"""Whether a connection to a gateway is encrypted, whose certificates are trusted then, and which one is shown."""

from __future__ import annotations

import os
import ssl
from typing import Final

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.settings import Address

CA_VARIABLE: Final = "QMTL_TLS_CA"
CERTIFICATE_VARIABLE: Final = "QMTL_TLS_CERTIFICATE"
KEY_VARIABLE: Final = "QMTL_TLS_KEY"


def tls_context(address: Address) -> ssl.SSLContext | None:
    """Return how to connect to a gateway; None for a plain connection, which the loopback alone may have.

    ``QMTL_TLS_CA`` names a PEM file of trusted authorities, else those of the system are. ``QMTL_TLS_CERTIFICATE`` and
    ``QMTL_TLS_KEY`` name the client's own, which a gateway does not ask for, and the services behind it do. Raises
    QmtlError(NOT_CONFIGURED) for a file that cannot be used.
    """
    trusted = os.environ.get(CA_VARIABLE, "")
    if not trusted and address.is_loopback:
        return None
    try:
        context = ssl.create_default_context(cafile=trusted or None)
    except OSError as error:  # ssl.SSLError is one
        message = f"{CA_VARIABLE} is {trusted!r}, must be a PEM file of certificate authorities: {error}"
        raise _unusable(CA_VARIABLE, message) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    _show_own(context)
    return context


def _show_own(context: ssl.SSLContext) -> None:
    certificate, key = os.environ.get(CERTIFICATE_VARIABLE, ""), os.environ.get(KEY_VARIABLE, "")
    if not certificate and not key:
        return
    if not certificate or not key:
        missing, stated = (CERTIFICATE_VARIABLE, KEY_VARIABLE) if key else (KEY_VARIABLE, CERTIFICATE_VARIABLE)
        raise _unusable(missing, f"{missing} is not set, but {stated} is: set both, or none")
    try:
        context.load_cert_chain(certificate, key, password="")  # an encrypted key is refused, not asked about
    except OSError as error:
        message = (
            f"{CERTIFICATE_VARIABLE} is {certificate!r}, must be a PEM file that {key!r} is the plain key of: {error}"
        )
        raise _unusable(CERTIFICATE_VARIABLE, message) from error


def _unusable(setting: str, message: str) -> QmtlError:
    return QmtlError(Reason.NOT_CONFIGURED, message, metadata={"setting": setting})
