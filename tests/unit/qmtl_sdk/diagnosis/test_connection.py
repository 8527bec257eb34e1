"""What ``qmtl doctor`` says of a connection: real sockets and certificates, each wrong in its own way."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from qmtl_foundation.diagnosis.certificates import SOON
from qmtl_foundation.diagnosis.finding import Verdict
from qmtl_foundation.settings import Address
from qmtl_sdk.diagnosis.connection import examine_connection
from qmtl_sdk.diagnosis.readiness import examine_readiness
from qmtl_sdk.local.certificates import make_certificates, pair_of
from tests.support.beside import free_port


@asynccontextmanager
async def listening(folder: Path | None = None, host: str = "127.0.0.1") -> AsyncIterator[Address]:
    """Yield where somebody listens: with the gateway's certificate of a folder, or without any."""
    context = None
    if folder is not None:
        pair = pair_of(folder, "gateway")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await reader.read(1)
            writer.write(b"no TLS")  # where it has no certificate
        writer.close()

    server = await asyncio.start_server(answer, host, 0, ssl=context)
    async with server:
        yield Address(host, server.sockets[0].getsockname()[1])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give certificates whose authority is believed."""
    make_certificates(tmp_path / "known", ["gateway"])
    monkeypatch.setenv("QMTL_TLS_CA", str(pair_of(tmp_path / "known", "ca").certificate))
    return tmp_path / "known"


def end_of(folder: Path) -> datetime:
    return x509.load_pem_x509_certificate(pair_of(folder, "gateway").certificate.read_bytes()).not_valid_after_utc


async def test_an_encrypted_gateway_is_well_and_its_certificate_s_end_is_told(folder: Path) -> None:
    async with listening(folder) as address:
        found = await examine_connection(address, end_of(folder) - SOON - timedelta(seconds=1))
    assert found.verdict is Verdict.OK
    assert found.says == f"{address} answers, encrypted; its certificate ends at {end_of(folder):%Y-%m-%d}"


async def test_a_certificate_that_ends_soon_is_a_warning(folder: Path) -> None:
    async with listening(folder) as address:
        found = await examine_connection(address, end_of(folder) - SOON)
    assert found.verdict is Verdict.WARNING
    assert found.mend == "renew it; the gateway takes it by itself"


async def test_a_gateway_on_the_loopback_may_be_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QMTL_TLS_CA", raising=False)
    async with listening() as address:
        found = await examine_connection(address, datetime.now(UTC))
    assert (found.verdict, found.says) == (Verdict.OK, f"{address} answers, not encrypted: on the loopback")


async def test_a_certificate_of_another_authority_is_named(folder: Path, tmp_path: Path) -> None:
    make_certificates(tmp_path / "other", ["gateway"])
    async with listening(tmp_path / "other") as address:
        found = await examine_connection(address, datetime.now(UTC))
    assert found.verdict is Verdict.FAULT
    assert found.says.startswith(f"the certificate at {address} is not believed: ")
    assert found.mend == "set QMTL_TLS_CA to the PEM file of the authority that signed it"


async def test_a_certificate_of_another_name_is_named(folder: Path) -> None:
    async with listening(folder, "127.0.0.2") as address:
        found = await examine_connection(address, datetime.now(UTC))
    assert (found.verdict, "by a name that its certificate has" in found.mend) == (Verdict.FAULT, True)


async def test_what_does_not_speak_tls_is_named(folder: Path) -> None:
    async with listening() as address:
        found = await examine_connection(address, datetime.now(UTC))
    assert found.verdict is Verdict.FAULT
    assert found.says.startswith(f"what listens at {address} does not speak TLS")


async def test_nobody_and_a_file_that_is_no_authority_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("QMTL_TLS_CA", raising=False)
    nobody = Address("127.0.0.1", free_port())
    found = await examine_connection(nobody, datetime.now(UTC))
    assert (found.verdict, found.says) == (Verdict.FAULT, f"nobody answers at {nobody} (ConnectionRefusedError)")
    monkeypatch.setenv("QMTL_TLS_CA", str(tmp_path / "nothing.pem"))
    found = await examine_connection(nobody, datetime.now(UTC))
    assert (found.verdict, "QMTL_TLS_CA" in found.says) == (Verdict.FAULT, True)


@pytest.mark.parametrize("encrypted", [True, False])
async def test_who_ends_the_connection_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch, encrypted: bool) -> None:
    if not encrypted:
        monkeypatch.delenv("QMTL_TLS_CA")

    async def leave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with await asyncio.start_server(leave, "127.0.0.1", 0) as server:
        address = Address("127.0.0.1", server.sockets[0].getsockname()[1])
        found = [await examine_connection(address, datetime.now(UTC))]
        if not encrypted:  # the connection is made before it is ended
            found = await examine_readiness(address)
    assert found[0].verdict is Verdict.FAULT
    assert "is it the gateway's port?" in found[0].mend


async def test_a_gateway_with_certificates_that_is_called_without_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("QMTL_TLS_CA")
    async with listening(folder) as address:
        [found] = await examine_readiness(address)
    assert found.verdict is Verdict.FAULT
    assert "does not speak gRPC without encryption" in found.says
    assert found.mend.endswith("One with certificates needs QMTL_TLS_CA")


@pytest.mark.parametrize("host", ["a..b", ".example.com", "x" * 64])
async def test_a_host_that_is_no_name_is_named(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.delenv("QMTL_TLS_CA", raising=False)
    found = await examine_connection(Address(host, 9000), datetime.now(UTC))
    assert found.verdict is Verdict.FAULT
    assert "QMTL_GATEWAY" in found.mend
