"""Whether a port can be listened on."""

from __future__ import annotations

import socket

import pytest

from qmtl_foundation.diagnosis.finding import Verdict
from qmtl_foundation.diagnosis.ports import examine_port
from qmtl_foundation.settings import Address
from tests.support.beside import free_port


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_port_is_free_until_somebody_listens_on_it(host: str) -> None:
    port = free_port()
    assert examine_port("QMTL_LISTEN", Address(host, port)).verdict is Verdict.OK
    with socket.create_server(("127.0.0.1", port)):
        found = examine_port("QMTL_LISTEN", Address(host, port))
        assert found.verdict is Verdict.FAULT
        assert "running already?" in found.mend
    assert examine_port("QMTL_LISTEN", Address(host, port)).verdict is Verdict.OK


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_an_address_of_another_machine_cannot_be_listened_on(host: str) -> None:
    found = examine_port("QMTL_LISTEN", Address(host, free_port()))
    assert found.verdict is Verdict.FAULT
    assert "an address of this machine" in found.mend


def test_a_port_that_the_system_chooses_is_free() -> None:
    assert examine_port("QMTL_LISTEN", Address("127.0.0.1", 0)).verdict is Verdict.OK
