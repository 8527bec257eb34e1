"""What is looked at before a start, as a whole: one fault does not hide another."""

from __future__ import annotations

from pathlib import Path

from qmtl_foundation.diagnosis.examination import examine
from qmtl_foundation.diagnosis.finding import Verdict
from qmtl_gateway.settings import GatewaySettings


async def test_a_certificate_and_a_token_that_cannot_be_read_are_both_named(tmp_path: Path) -> None:
    environ = {
        name: str(tmp_path / "nothing")
        for name in ("QMTL_TLS_CERTIFICATE", "QMTL_TLS_KEY", "QMTL_TLS_CA", "QMTL_TOKEN_FILE")
    }
    found = await examine("gateway", GatewaySettings, environ, (), offline=False)
    faults = [each.what for each in found.told if each.verdict is Verdict.FAULT]
    assert {"certificate", "token"} <= set(faults)
    assert found.ground == []
