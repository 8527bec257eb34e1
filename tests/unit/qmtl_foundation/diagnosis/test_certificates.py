"""Whether certificate, key and authorities fit, and how long they last."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from qmtl_foundation.diagnosis.certificates import SOON, examine_certificates
from qmtl_foundation.diagnosis.finding import Finding, Verdict
from qmtl_foundation.tls import TlsSettings
from qmtl_sdk.local.certificates import AUTHORITY_DAYS, PAIR_DAYS, make_certificates, pair_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_certificates(tmp_path, ("world", "gateway"))
    return tmp_path


def examined(folder: Path, days: int = 0) -> dict[str, Finding]:
    now = datetime.now(UTC) + timedelta(days=days)
    pair, ca = pair_of(folder, "world"), pair_of(folder, "ca").certificate
    found, certificates = examine_certificates(TlsSettings(str(pair.certificate), str(pair.key), str(ca)), now)
    assert (certificates is None) == (len(found) == 1)
    return {each.what: each for each in found}


@pytest.mark.parametrize(
    ("days", "certificate", "authority"),
    [
        (0, Verdict.OK, Verdict.OK),
        (-1, Verdict.FAULT, Verdict.FAULT),
        (PAIR_DAYS - SOON.days + 1, Verdict.WARNING, Verdict.OK),
        (PAIR_DAYS + 1, Verdict.FAULT, Verdict.OK),
        (AUTHORITY_DAYS - 1, Verdict.FAULT, Verdict.WARNING),
        (AUTHORITY_DAYS + 1, Verdict.FAULT, Verdict.FAULT),
    ],
)
def test_a_certificate_is_good_for_its_time_and_said_to_end_before(
    folder: Path, days: int, certificate: Verdict, authority: Verdict
) -> None:
    found = examined(folder, days)
    assert (found["certificate"].verdict, found["authority"].verdict) == (certificate, authority)
    assert all(each.mend for each in found.values() if each.verdict is not Verdict.OK)


@pytest.mark.parametrize(
    ("lives", "verdict", "part"),
    [
        ((-1, 400), Verdict.WARNING, "; over: CN=of -1 days"),
        ((-2, 400, -1), Verdict.WARNING, "; over: CN=of -2 days, CN=of -1 days"),
        ((-1, SOON.days), Verdict.WARNING, f"in {SOON.days - 1} days; over: CN=of -1 days"),
        ((400, 500), Verdict.OK, "CN=of 400 days, ends at"),
        ((400, SOON.days), Verdict.WARNING, f"in {SOON.days - 1} days"),
        ((-1, -2), Verdict.FAULT, "it is over"),
    ],
)
def test_an_authority_that_is_over_is_a_fault_only_where_no_other_is_valid(
    folder: Path, lives: tuple[int, ...], verdict: Verdict, part: str
) -> None:
    pair_of(folder, "ca").certificate.write_bytes(b"".join(map(authority, lives)))
    found = examined(folder)["authority"]
    assert (found.verdict, bool(found.mend)) == (verdict, verdict is not Verdict.OK)
    assert part in found.says


def test_a_certificate_whose_authority_is_over_is_a_fault_though_another_is_valid(folder: Path) -> None:
    pem = pair_of(folder, "ca").certificate
    pem.write_bytes(pem.read_bytes() + authority(2 * AUTHORITY_DAYS))
    found = examined(folder, AUTHORITY_DAYS + 1)
    assert (found["certificate"].verdict, found["authority"].verdict) == (Verdict.FAULT, Verdict.WARNING)
    assert "which is not valid now: nobody believes it" in found["certificate"].says


def authority(days: int) -> bytes:
    """Return the certificate of an authority that ends in so many days."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name.from_rfc4514_string(f"CN=of {days} days")
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = builder.not_valid_before(now - timedelta(days=9)).not_valid_after(now + timedelta(days=days))
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def test_a_key_of_another_certificate_is_named(folder: Path) -> None:
    shutil.copy(pair_of(folder, "gateway").key, pair_of(folder, "world").key)
    found = examined(folder)["certificate"]
    assert (found.verdict, found.mend) == (
        Verdict.FAULT,
        "name the key that the certificate was made for by QMTL_TLS_KEY",
    )


@pytest.mark.parametrize(
    ("name", "what"), [("world.pem", "certificate"), ("world.key", "certificate"), ("ca.pem", "authority")]
)
@pytest.mark.parametrize("spoilt", [True, False])
def test_a_file_that_is_away_or_no_pem_is_named(folder: Path, name: str, what: str, spoilt: bool) -> None:
    (folder / name).write_text("spoilt") if spoilt else (folder / name).unlink()
    found = examined(folder)
    assert found[what].verdict is Verdict.FAULT
    assert found[what].mend == "name a PEM file that the service may read"
