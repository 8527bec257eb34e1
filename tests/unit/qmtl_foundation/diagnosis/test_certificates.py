"""Whether certificate, key and authorities fit, and how long they last."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

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
