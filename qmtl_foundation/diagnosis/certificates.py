"""Whether a service's certificate, key and authorities can be used, and for how long."""

from __future__ import annotations

import ssl
from datetime import datetime, timedelta
from typing import Final

from qmtl_foundation.diagnosis.finding import Finding, fault, ok, warning
from qmtl_foundation.errors import QmtlError
from qmtl_foundation.tls import Certificates, TlsSettings

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
    material = certificates.material
    return [_lasting(_CERTIFICATE, material.certificate, now), _lasting(_AUTHORITY, material.ca, now)], certificates


def _mend(error: QmtlError) -> str:
    if isinstance(error.__cause__, ssl.SSLError) and error.__cause__.reason == _APART:
        return "name the key that the certificate was made for by QMTL_TLS_KEY"
    return "name a PEM file that the service may read"


def _lasting(what: str, pem: bytes, now: datetime) -> Finding:
    """Return when a service's own certificate ends, or of its authorities the one that ends first."""
    from cryptography import x509

    found = x509.load_pem_x509_certificates(pem)
    first = found[0] if what == _CERTIFICATE else min(found, key=lambda each: each.not_valid_after_utc)
    begins, ends = first.not_valid_before_utc, first.not_valid_after_utc
    says = f"{first.subject.rfc4514_string() or 'of no name'}, ends at {ends:%Y-%m-%d}"
    if begins > now:
        return fault(what, f"{says}, and begins at {begins:%Y-%m-%d} only", "set this machine's clock, or take another")
    if ends <= now:
        return fault(what, f"{says}: it is over", "renew it; a service that runs takes it by itself")
    if ends - now <= SOON:
        return warning(what, f"{says}, in {(ends - now).days} days", "renew it; a service that runs takes it by itself")
    return ok(what, says)
