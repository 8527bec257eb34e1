"""Whether a connection to a gateway is encrypted, and whose certificates are trusted then."""

from __future__ import annotations

import os
import ssl
from typing import Final

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.settings import Address

CA_VARIABLE: Final = "QMTL_TLS_CA"


def tls_context(address: Address) -> ssl.SSLContext | None:
    """Return how to connect to a gateway; None for a plain connection, which the loopback alone may have.

    ``QMTL_TLS_CA`` names a PEM file of trusted authorities, else those of the system are. Raises QmtlError
    NOT_CONFIGURED for a file that cannot be used.
    """
    trusted = os.environ.get(CA_VARIABLE, "")
    if not trusted and address.is_loopback:
        return None
    try:
        context = ssl.create_default_context(cafile=trusted or None)
    except OSError as error:  # ssl.SSLError is one
        raise QmtlError(
            Reason.NOT_CONFIGURED,
            f"{CA_VARIABLE} is {trusted!r}, must be a PEM file of certificate authorities: {error}",
            metadata={"setting": CA_VARIABLE},
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    return context
