"""Whether a gateway can be reached, and the connection encrypted as it must be."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from qmtl_foundation.diagnosis.certificates import SOON
from qmtl_foundation.diagnosis.finding import Finding, fault, ok, warning
from qmtl_foundation.errors import QmtlError
from qmtl_foundation.settings import Address
from qmtl_sdk.client.encryption import CA_VARIABLE, tls_context
from qmtl_sdk.settings import GATEWAY_VARIABLE

WHAT: Final = "connection"
CONNECT_SECONDS: Final = 5.0

# X509_V_ERR_… of OpenSSL's x509_vfy.h
_NOT_YET, _EXPIRED, _SELF_SIGNED, _SELF_SIGNED_CHAIN, _NO_ISSUER, _UNVERIFIED = 9, 10, 18, 19, 20, 21
_OTHER_NAME, _OTHER_ADDRESS = 62, 64
_UNKNOWN: Final = frozenset({_SELF_SIGNED, _SELF_SIGNED_CHAIN, _NO_ISSUER, _UNVERIFIED})


async def examine_connection(address: Address, now: datetime) -> Finding:
    """Return whether somebody answers at an address, and how the connection is encrypted."""
    try:
        context = tls_context(address)
    except QmtlError as error:
        return fault(WHAT, error.message, "name PEM files that can be read by these variables, or unset them")
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(address.host.strip("[]"), address.port, ssl=context)
    except ssl.SSLCertVerificationError as error:
        return fault(WHAT, f"the certificate at {address} is not believed: {error.verify_message}", _mend(error))
    except (ssl.SSLError, ConnectionResetError, EOFError) as error:
        if context is not None:
            return fault(WHAT, f"what listens at {address} does not speak TLS ({_name(error)})", _plain_mend(address))
        return fault(WHAT, f"{address} ends the connection ({_name(error)})", "is it the gateway's port?")
    except ValueError as error:  # UnicodeError of a host name
        return fault(WHAT, f"{address} names no host ({error})", f"name the gateway by {GATEWAY_VARIABLE}, host:port")
    except (OSError, TimeoutError) as error:
        mend = f"start it, a local one by `qmtl up`; or name another by {GATEWAY_VARIABLE}"
        return fault(WHAT, f"nobody answers at {address} ({type(error).__name__})", mend)
    shown: Mapping[str, Any] | None = writer.get_extra_info("peercert")
    writer.close()
    if context is None:
        return ok(WHAT, f"{address} answers, not encrypted: on the loopback")
    ends = _end(shown or {})
    says = f"{address} answers, encrypted; its certificate ends at {ends:%Y-%m-%d}"
    return ok(WHAT, says) if ends - now > SOON else warning(WHAT, says, "renew it; the gateway takes it by itself")


def _name(error: Exception) -> str:
    return str(getattr(error, "reason", "") or type(error).__name__)


def _plain_mend(address: Address) -> str:
    if address.is_loopback:
        return f"is it the gateway's port? One without certificates is called without {CA_VARIABLE}: unset it"
    return "is it the gateway's port? One that other machines reach needs certificates, or listens on the loopback only"


def _mend(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in _UNKNOWN:
        return f"set {CA_VARIABLE} to the PEM file of the authority that signed it"
    if error.verify_code in (_OTHER_NAME, _OTHER_ADDRESS):
        return f"call the gateway by a name that its certificate has ({GATEWAY_VARIABLE}), or give it one of this name"
    if error.verify_code == _EXPIRED:
        return "renew the gateway's certificate; it takes the new file by itself"
    if error.verify_code == _NOT_YET:
        return "set the clock of this machine, or of whoever issued the certificate"
    return "give the gateway a certificate that its clients believe"


def _end(shown: Mapping[str, Any]) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), UTC)
