"""Whether a service's certificate, key and authorities can be used, and for how long."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from qmtl_foundation.diagnosis.finding import Finding, fault, ok, warning
from qmtl_foundation.errors import QmtlError
from qmtl_foundation.tls import Certificates, TlsSettings

if TYPE_CHECKING:
    from cryptography import x509

SOON: Final = timedelta(days=14)
_CERTIFICATE: Final = "certificate"
_AUTHORITY: Final = "authority"
_APART: Final = "KEY_VALUES_MISMATCH"  # X509_R_KEY_VALUES_MISMATCH of OpenSSL


def examine_certificates(settings: TlsSettings, now: datetime) -> tuple[list[Finding], Certificates | None]:
    """Return how the files are, and what can be used of them."""
    try:
        certificates = Certificates(settings)
    except QmtlError as error:
        what = _AUTHORITY if error.metadata["setting"] == "QMTL_TLS_CA" else _CERTIFICATE
        return [fault(what, error.message, _mend(error))], None
    from cryptography import x509

    material = certificates.material
    chain, authorities = (x509.load_pem_x509_certificates(each) for each in (material.certificate, material.ca))
    return [_own(chain, authorities, now), _authorities(authorities, now)], certificates


def _mend(error: QmtlError) -> str:
    if isinstance(error.__cause__, ssl.SSLError) and error.__cause__.reason == _APART:
        return "name the key that the certificate was made for by QMTL_TLS_KEY"
    return "name a PEM file that the service may read"


def _own(chain: Sequence[x509.Certificate], authorities: Sequence[x509.Certificate], now: datetime) -> Finding:
    """Return when a service's certificate ends, or that nobody believes it since its authority is over."""
    found, issuer = _lasting(_CERTIFICATE, chain[0], now), chain[-1].issuer
    signers = [each for each in authorities if each.subject == issuer]
    if signers and not any(_is_valid(each, now) for each in signers):
        says = f"{_name(chain[0])}, is signed by {_name(signers[0])}, which is not valid now: nobody believes it"
        return fault(
            _CERTIFICATE, says, "take one that a valid authority signs; a service that runs takes it by itself"
        )
    return found


def _is_valid(found: x509.Certificate, now: datetime) -> bool:
    return found.not_valid_before_utc <= now < found.not_valid_after_utc


def _authorities(authorities: Sequence[x509.Certificate], now: datetime) -> Finding:
    """Return when, of the authorities that are valid, the first ends; one that is over and signed nothing is told."""
    found = sorted(authorities, key=lambda each: each.not_valid_after_utc)
    valid = [each for each in found if _is_valid(each, now)]
    over = ", ".join(_name(each) for each in found if each.not_valid_after_utc <= now)
    first = _lasting(_AUTHORITY, (valid or found)[0], now)
    if not valid or not over:
        return first
    mend = f"{first.mend}; " if first.mend else ""
    return warning(_AUTHORITY, f"{first.says}; over: {over}", f"{mend}take what is over out of QMTL_TLS_CA")


def _lasting(what: str, found: x509.Certificate, now: datetime) -> Finding:
    begins, ends = found.not_valid_before_utc, found.not_valid_after_utc
    says = f"{_name(found)}, ends at {ends:%Y-%m-%d}"
    if begins > now:
        return fault(what, f"{says}, and begins at {begins:%Y-%m-%d} only", "set this machine's clock, or take another")
    if ends <= now:
        return fault(what, f"{says}: it is over", "renew it; a service that runs takes it by itself")
    if ends - now <= SOON:
        return warning(what, f"{says}, in {(ends - now).days} days", "renew it; a service that runs takes it by itself")
    return ok(what, says)


def _name(found: x509.Certificate) -> str:
    return found.subject.rfc4514_string() or "of no name"
