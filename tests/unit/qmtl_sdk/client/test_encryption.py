"""Which certificate a client shows: the one that two variables name together, or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.settings import Address
from qmtl_sdk.client.encryption import tls_context
from qmtl_sdk.local.certificates import make_certificates, pair_of

GATEWAY = Address("gateway.example", 9000)


@pytest.mark.parametrize(
    ("certificate", "key", "setting", "says"),
    [
        ("gateway", "", "QMTL_TLS_KEY", "QMTL_TLS_KEY is not set, but QMTL_TLS_CERTIFICATE is: set both, or none"),
        ("", "gateway", "QMTL_TLS_CERTIFICATE", "QMTL_TLS_CERTIFICATE is not set, but QMTL_TLS_KEY is"),
        ("gateway", "world", "QMTL_TLS_CERTIFICATE", "must be a PEM file that .* is the plain key of"),
    ],
)
def test_half_a_certificate_and_another_s_key_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, certificate: str, key: str, setting: str, says: str
) -> None:
    make_certificates(tmp_path)
    monkeypatch.setenv("QMTL_TLS_CA", str(pair_of(tmp_path, "ca").certificate))
    monkeypatch.setenv("QMTL_TLS_CERTIFICATE", str(pair_of(tmp_path, certificate).certificate) if certificate else "")
    monkeypatch.setenv("QMTL_TLS_KEY", str(pair_of(tmp_path, key).key) if key else "")
    with pytest.raises(QmtlError, match=says) as refused:
        tls_context(GATEWAY)
    assert (refused.value.reason, refused.value.metadata["setting"]) == (Reason.NOT_CONFIGURED, setting)
