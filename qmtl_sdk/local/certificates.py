"""A certificate authority for trying TLS out: one directory with its key, its certificate, and one pair per service.

Not for production: the authority's key lies beside what it signed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qmtl_sdk.local.service import SERVICES
from qmtl_sdk.local.whole_file import PUBLIC, SECRET, replace_file

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

NAMES: Final = tuple(each.name for each in SERVICES)
HOSTS: Final = ("localhost", "127.0.0.1", "::1")
AUTHORITY: Final = "ca"
AUTHORITY_DAYS: Final = 3_650
PAIR_DAYS: Final = 90
CLOCK_SLACK: Final = timedelta(minutes=5)  # of machines that compare dates


@dataclass(frozen=True, slots=True)
class Pair:
    """Name the PEM files of a certificate and its key."""

    certificate: Path
    key: Path


def pair_of(folder: Path, name: str) -> Pair:
    """Return where a service's pair lies, or the authority's."""
    return Pair(folder / f"{name}.pem", folder / f"{name}.key")


def make_certificates(folder: Path, names: Sequence[str] = NAMES, hosts: Sequence[str] = ()) -> tuple[Pair, ...]:
    """Make a pair for each of ``names`` anew, signed by the directory's authority, which is made where there is none.

    Each is good for its name, the loopback and ``hosts``, as server and as client. Keys may be read by their user only.
    """
    folder.mkdir(parents=True, exist_ok=True)
    authority = pair_of(folder, AUTHORITY)
    if not (authority.certificate.exists() and authority.key.exists()):
        _make_authority(authority)
    made = tuple(pair_of(folder, name) for name in names)
    for name, pair in zip(names, made, strict=True):
        _make_pair(authority, pair, name, (name, *HOSTS, *hosts))
    return made


def _make_authority(pair: Pair) -> None:
    from cryptography import x509

    key = _new_key()
    name = _name("QMTL development authority")
    builder = _builder(name, name, key, AUTHORITY_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs=True), critical=True)
    _write(pair, key, builder, key)


def _make_pair(authority: Pair, pair: Pair, name: str, hosts: Sequence[str]) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509.oid import ExtendedKeyUsageOID

    issuer = x509.load_pem_x509_certificate(authority.certificate.read_bytes())
    signer = serialization.load_pem_private_key(authority.key.read_bytes(), password=None)
    if not isinstance(signer, EllipticCurvePrivateKey):
        raise TypeError(f"{authority.key} holds no key of an elliptic curve")
    key = _new_key()
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = _builder(_name(name), issuer.subject, key, PAIR_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(both), critical=False)
    known = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = builder.add_extension(known, critical=False)  # RFC 5280, 4.2.1.1; Python 3.13 refuses one without
    names = x509.SubjectAlternativeName([_general(host) for host in dict.fromkeys(hosts)])
    builder = builder.add_extension(names, critical=False)
    _write(pair, key, builder, signer)


def _new_key() -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _name(text: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general(host: str) -> x509.GeneralName:
    from cryptography import x509

    with suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(host))
    return x509.DNSName(host)


def _builder(subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey, days: int) -> x509.CertificateBuilder:
    from cryptography import x509

    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SLACK)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _write(
    pair: Pair, key: EllipticCurvePrivateKey, builder: x509.CertificateBuilder, signer: EllipticCurvePrivateKey
) -> None:
    from cryptography.hazmat.primitives import hashes, serialization

    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    certificate = builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    replace_file(pair.key, private, SECRET)
    replace_file(pair.certificate, certificate, PUBLIC)
