"""A nats-server that speaks TLS from the first byte, and asks its clients for a certificate."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.jetstream import bus
from qmtl_foundation.jetstream.bus import open_bus
from qmtl_foundation.jetstream.streams import control_stream, event_subject
from qmtl_foundation.tls import Certificates, TlsSettings
from qmtl_sdk.local import nats
from qmtl_sdk.local.certificates import make_certificates, pair_of
from tests.support.beside import free_port
from tests.support.waiting import wait_until


def certificates(folder: Path) -> Certificates:
    pair = pair_of(folder, "world")
    return Certificates(TlsSettings(str(pair.certificate), str(pair.key), str(pair_of(folder, "ca").certificate)))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Give the address of a server whose authority is that of ``tmp_path / "own"``."""
    own, port = tmp_path / "own", free_port()
    make_certificates(own, ("nats", "world"))
    pair = pair_of(own, "nats")
    tls = {
        "cert_file": str(pair.certificate),
        "key_file": str(pair.key),
        "ca_file": str(pair_of(own, "ca").certificate),
        "verify": True,
        "handshake_first": True,
    }
    config = tmp_path / "nats.conf"
    store = {"store_dir": str(tmp_path / "store")}
    config.write_text(json.dumps({"host": "127.0.0.1", "port": port, "tls": tls, "jetstream": store}))
    log = tmp_path / "nats.log"
    command = (str(nats.binary()), "--config", str(config), "--log", str(log))
    with subprocess.Popen(command) as running:
        try:
            wait_until(lambda: log.exists() and "Server is ready" in log.read_text())
            yield f"127.0.0.1:{port}"
        finally:
            running.terminate()


async def test_a_service_publishes_over_an_encrypted_connection(server: str, tmp_path: Path) -> None:
    async with open_bus(f"tls://{server}", "world", certificates(tmp_path / "own")) as connected:
        await connected.ensure_stream(control_stream(1))
        assert await connected.publish(event_subject("w"), b"an event") == 1


async def test_who_has_no_certificate_of_the_authority_is_not_let_in(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus, "START_TIMEOUT_SECONDS", 2.0)
    other = tmp_path / "other"
    make_certificates(other)
    with pytest.raises(QmtlError) as caught:
        async with open_bus(f"tls://{server}", "world", certificates(other)):
            pass
    assert caught.value.reason is Reason.DEPENDENCY_UNAVAILABLE
