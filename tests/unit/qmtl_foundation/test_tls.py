"""Encrypted connections between real servers and channels: who is trusted, and certificates renewed under way."""

from __future__ import annotations

import asyncio
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.rpc.channel import open_channel
from qmtl_foundation.rpc.credentials import server_credentials
from qmtl_foundation.rpc.server import serving
from qmtl_foundation.settings import Address
from qmtl_foundation.telemetry import exposing_metrics
from qmtl_foundation.tls import Certificates, TlsSettings
from qmtl_sdk.local.certificates import make_certificates, pair_of
from tests.support.beside import free_port
from tests.support.doors import OpenDoor

PATH = "/test.Service/Peer"
ANYWHERE = Address("127.0.0.1", 0)
CALL_SECONDS = 10.0


def settings(folder: Path, name: str) -> TlsSettings:
    pair = pair_of(folder, name)
    return TlsSettings(str(pair.certificate), str(pair.key), str(pair_of(folder, "ca").certificate))


def serial(folder: Path, name: str) -> str:
    return str(x509.load_pem_x509_certificate(pair_of(folder, name).certificate.read_bytes()).serial_number)


def renew(folder: Path, *names: str) -> None:
    """Make pairs anew; a file system's clock may be coarser than this test is fast."""
    make_certificates(folder, names)
    for name in names:
        for path in (pair_of(folder, name).certificate, pair_of(folder, name).key):
            later = path.stat().st_mtime_ns + 1_000_000_000
            os.utime(path, ns=(later, later))


class Peer(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    """Answer with the serial number of the certificate that the client showed, or nothing."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        async def answer(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
            shown = context.auth_context().get("x509_pem_cert", [b""])[0]
            return str(x509.load_pem_x509_certificate(shown).serial_number).encode() if shown else b""

        return grpc.unary_unary_rpc_method_handler(answer)


@asynccontextmanager
async def served(
    certificates: Certificates, *, mutual: bool = True, listen: Address = ANYWHERE
) -> AsyncIterator[Address]:
    credentials = server_credentials(certificates, mutual=mutual)
    async with serving(listen, [], {}, [OpenDoor()], credentials, handlers=[Peer()]) as port:
        yield Address(listen.host, port)


async def peer(channel: Any) -> str:
    answer: bytes = await channel.unary_unary(PATH)(b"", timeout=CALL_SECONDS)
    return answer.decode()


async def shown_to(address: Address, folder: Path) -> str:
    """Return the serial number of the certificate that a server shows to a new connection."""
    context = ssl.create_default_context(cafile=str(pair_of(folder, "ca").certificate))
    context.load_cert_chain(pair_of(folder, "gateway").certificate, pair_of(folder, "gateway").key)
    context.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return str(x509.load_der_x509_certificate(der).serial_number)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_certificates(tmp_path)
    return tmp_path


async def test_both_ends_show_a_certificate_and_each_trusts_the_other(folder: Path) -> None:
    async with (
        served(Certificates(settings(folder, "world"))) as address,
        open_channel(address, None, Certificates(settings(folder, "gateway"))) as channel,
    ):
        assert await peer(channel) == serial(folder, "gateway")


async def refused(channel: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await peer(channel)
    code: grpc.StatusCode = caught.value.code()
    return code


async def test_a_service_refuses_who_shows_nothing_or_somebody_elses(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    make_certificates(other)
    trusting = TlsSettings(
        str(pair_of(other, "gateway").certificate),
        str(pair_of(other, "gateway").key),
        str(pair_of(folder, "ca").certificate),
    )
    async with served(Certificates(settings(folder, "world"))) as address:
        async with open_channel(address, None, Certificates(trusting)) as channel:
            assert await refused(channel) is grpc.StatusCode.UNAVAILABLE
        root = pair_of(folder, "ca").certificate.read_bytes()
        async with grpc.aio.secure_channel(str(address), grpc.ssl_channel_credentials(root)) as channel:
            assert await refused(channel) is grpc.StatusCode.UNAVAILABLE
        async with grpc.aio.insecure_channel(str(address)) as channel:
            assert await refused(channel) is grpc.StatusCode.UNAVAILABLE


async def test_a_gateway_takes_clients_without_a_certificate_but_not_without_encryption(folder: Path) -> None:
    async with served(Certificates(settings(folder, "gateway")), mutual=False) as address:
        root = pair_of(folder, "ca").certificate.read_bytes()
        async with grpc.aio.secure_channel(str(address), grpc.ssl_channel_credentials(root)) as channel:
            assert await peer(channel) == ""
        async with grpc.aio.insecure_channel(str(address)) as channel:
            assert await refused(channel) is grpc.StatusCode.UNAVAILABLE


async def test_a_server_of_another_authority_is_not_called(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    make_certificates(other)
    async with served(Certificates(settings(other, "world")), mutual=False) as address:
        async with open_channel(address, None, Certificates(settings(folder, "gateway"))) as channel:
            assert await refused(channel) is grpc.StatusCode.UNAVAILABLE
        async with open_channel(address, None, Certificates(settings(other, "gateway"))) as channel:
            assert await peer(channel) == ""


async def test_a_server_that_is_called_by_a_name_that_it_cannot_show_is_not_believed(folder: Path) -> None:
    elsewhere = Address("127.0.0.2", 0)  # of the loopback, and in no certificate
    async with served(Certificates(settings(folder, "world")), listen=elsewhere) as address:
        async with open_channel(address, None, Certificates(settings(folder, "gateway"))) as channel:
            assert await refused(channel) is grpc.StatusCode.UNAVAILABLE
        make_certificates(folder, ("world",), ("127.0.0.2",))
        async with open_channel(address, None, Certificates(settings(folder, "gateway")), apart=True) as channel:
            assert await peer(channel) == serial(folder, "gateway")


async def test_renewed_certificates_are_shown_without_a_restart_on_both_ends(folder: Path) -> None:
    async with (
        served(Certificates(settings(folder, "world"))) as address,
        open_channel(address, None, Certificates(settings(folder, "gateway"))) as channel,
    ):
        before = serial(folder, "gateway"), serial(folder, "world")
        assert (await peer(channel), await shown_to(address, folder)) == before
        renew(folder, "gateway", "world")
        after = serial(folder, "gateway"), serial(folder, "world")
        assert after != before
        assert (await peer(channel), await shown_to(address, folder)) == after


async def test_a_pair_that_does_not_fit_together_yet_is_not_taken(folder: Path) -> None:
    certificates = Certificates(settings(folder, "world"))
    before, pair = certificates.material, pair_of(folder, "world")
    key = pair.key.read_bytes()
    renew(folder, "world")
    made = pair.key.read_bytes()
    pair.key.write_bytes(key)  # as between two writes
    assert certificates.material is before
    pair.key.write_bytes(made)
    assert certificates.material.certificate == pair.certificate.read_bytes()
    pair.certificate.unlink()
    assert certificates.material.key == made


@pytest.mark.parametrize("spoilt", ["certificate", "key", "ca"])
def test_files_that_cannot_be_used_are_named_at_the_start(folder: Path, spoilt: str) -> None:
    stated = settings(folder, "world")
    Path(getattr(stated, spoilt)).write_text("spoilt")
    with pytest.raises(QmtlError, match="QMTL_TLS_") as caught:
        Certificates(stated)
    assert caught.value.reason is Reason.NOT_CONFIGURED
    Path(getattr(stated, spoilt)).unlink()
    with pytest.raises(QmtlError) as missing:
        Certificates(stated)
    assert missing.value.metadata == {"setting": f"QMTL_TLS_{spoilt.upper()}"}


def test_a_pair_names_its_authority_as_later_pythons_demand(folder: Path) -> None:
    made = x509.load_pem_x509_certificate(pair_of(folder, "world").certificate.read_bytes())
    authority = x509.load_pem_x509_certificate(pair_of(folder, "ca").certificate.read_bytes())
    named = made.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    own = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert named.key_identifier == own.digest


@pytest.mark.parametrize("missing", ["certificate", "key", "ca"])
def test_a_part_of_the_files_is_refused(missing: str) -> None:
    stated = {"certificate": "a", "key": "b", "ca": "c", missing: ""}
    with pytest.raises(QmtlError) as caught:
        TlsSettings(**stated)
    assert caught.value.metadata == {"setting": f"QMTL_TLS_{missing.upper()}"}


async def test_without_certificates_only_the_loopback_is_listened_on_and_called() -> None:
    with pytest.raises(QmtlError, match=r"QMTL_LISTEN is 0\.0\.0\.0:0"):
        async with serving(Address("0.0.0.0", 0), [], {}, [OpenDoor()]):  # noqa: S104  # what is refused
            pass
    with (
        pytest.raises(QmtlError, match="QMTL_METRICS_LISTEN"),
        exposing_metrics(Address("0.0.0.0", 0)),  # noqa: S104  # the same
    ):
        pass
    with pytest.raises(QmtlError, match="another machine's"):
        async with open_channel(Address("world.example", 9_000)):
            pass


def test_metrics_are_encrypted_too_and_renewed(folder: Path) -> None:
    certificates, port = Certificates(settings(folder, "world")), free_port()
    context = ssl.create_default_context(cafile=str(pair_of(folder, "ca").certificate))

    def shown() -> str:
        return ssl.get_server_certificate(("127.0.0.1", port), timeout=CALL_SECONDS)

    with exposing_metrics(Address("127.0.0.1", port), certificates):
        with urllib.request.urlopen(f"https://localhost:{port}/metrics", context=context) as answer:
            assert answer.status == 200
        before = shown()
        renew(folder, "world")
        assert certificates.material.certificate.decode() != before
        assert shown().split() == pair_of(folder, "world").certificate.read_text().split()
        with pytest.raises((urllib.error.URLError, ConnectionError)):
            urllib.request.urlopen(f"http://localhost:{port}/metrics", timeout=CALL_SECONDS)
