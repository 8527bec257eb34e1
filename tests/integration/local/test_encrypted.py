"""All services with TLS on every listener: a strategy is submitted through them, before and after a renewal."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.request import urlopen

import grpc
import pytest

from qmtl_foundation.health import CHECK, SERVING
from qmtl_foundation.settings import Address
from qmtl_sdk.cli.exits import ExitCode
from qmtl_sdk.client.credential import file_source
from qmtl_sdk.client.presets import register_builtin_presets
from qmtl_sdk.local import nats, postgres, service
from qmtl_sdk.local.certificates import make_certificates, pair_of
from qmtl_sdk.local.service import SERVICES, Service
from qmtl_sdk.local.stack import up
from qmtl_sdk.local.state import Endpoint, Layout
from tests.support.beside import free_port
from tests.support.credentials import ground_of
from tests.support.stack import ROOT, guarded_directory, migrate
from tests.support.waiting import wait_until

READY_SECONDS = 30.0
STOP_SECONDS = 15.0
EVERYTHING_PASSES = 'gates: [{name: sharpe, rule: "metrics.sharpe >= -9.0"}]\nselect: {top_k: 3}\n'
QMTL = (sys.executable, "-c", "import sys; from qmtl_sdk.cli.main import run; sys.exit(run())")


@dataclass(frozen=True, slots=True)
class Encrypted:
    """Reach the services: where each listens, where their certificates are, and what a client's environment states."""

    endpoints: Mapping[str, Endpoint]
    certificates: Path
    environment: Mapping[str, str]

    def qmtl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command line."""
        return subprocess.run(
            (*QMTL, *arguments), env=dict(self.environment), cwd=ROOT, capture_output=True, text=True, timeout=120
        )

    def healthy(self, name: str) -> bool:
        """Tell whether a service serves whom it trusts."""
        material = [pair_of(self.certificates, "ca").certificate, *self._own()]
        credentials = grpc.ssl_channel_credentials(*(path.read_bytes() for path in material))
        with grpc.secure_channel(self.endpoints[name].address, credentials) as channel:
            check = channel.unary_unary(CHECK)
            try:
                return bool(check(b"", timeout=3.0) == SERVING)
            except grpc.RpcError:
                return False

    def _own(self) -> tuple[Path, Path]:
        pair = pair_of(self.certificates, "gateway")
        return pair.key, pair.certificate


@pytest.fixture(scope="module")
def encrypted() -> Iterator[Encrypted]:
    """Start PostgreSQL and NATS as ever, and every service with certificates."""
    with guarded_directory() as directory, ExitStack() as stack:
        addresses = {each.name: each.address for each in up(directory, services=()).processes}
        migrate(addresses[postgres.NAME], *(each.package for each in SERVICES))
        folder = directory / "certificates"
        make_certificates(folder)
        endpoints = {each.name: Endpoint(f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}") for each in SERVICES}
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "QMTL_GATEWAY": endpoints["gateway"].address,
            "QMTL_TLS_CA": str(pair_of(folder, "ca").certificate),
            "QMTL_TOKEN_FILE": str(Layout(directory).user_token),
            "QMTL_STATE_DIR": str(directory / "runner"),
            "QMTL_CACHE_DIR": str(directory / "cache"),
            "QMTL_AUTHOR": "ana",
        }
        made = Encrypted(endpoints, folder, environment)
        for each in SERVICES:
            ground = ground_of(directory, addresses[postgres.NAME], addresses[nats.NAME])
            values = service.settings(each, endpoints, ground)
            stack.enter_context(_running(each, {**values, **_tls(folder, each.name)}, directory))
        for each in SERVICES:
            wait_until(partial(made.healthy, each.name), READY_SECONDS)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("QMTL_TLS_CA", environment["QMTL_TLS_CA"])
            gateway = Address.parse(endpoints["gateway"].address)
            register_builtin_presets(gateway, file_source(Layout(directory).user_token))
        policy = directory / "policy.yaml"
        policy.write_text(EVERYTHING_PASSES)
        terms = ("--mode", "paper", "--share-policy", "world", "--policy", str(policy))
        created = made.qmtl("world", "create", "sealed", *terms)
        assert created.returncode == 0, created.stderr
        yield made


def _tls(folder: Path, name: str) -> dict[str, str]:
    pair = pair_of(folder, name)
    return {
        "QMTL_TLS_CERTIFICATE": str(pair.certificate),
        "QMTL_TLS_KEY": str(pair.key),
        "QMTL_TLS_CA": str(pair_of(folder, "ca").certificate),
    }


@contextmanager
def _running(each: Service, values: Mapping[str, str], directory: Path) -> Iterator[None]:
    command = service.command(each.arguments, values, ROOT, Layout(directory).log(each.name))
    with (
        command.log.open("wb") as log,
        subprocess.Popen(command.argv, env=command.env, cwd=command.directory, stdout=log, stderr=log) as process,
    ):
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            finally:
                process.kill()  # nothing, when it has ended


def test_a_strategy_is_submitted_and_traded_through_encrypted_services(encrypted: Encrypted) -> None:
    submitted = encrypted.qmtl("submit", "examples/sma_cross.py", "--world", "sealed")
    assert submitted.returncode == 0, submitted.stderr
    ran = encrypted.qmtl("run", "examples/sma_cross.py", "--world", "sealed", "--replay")
    assert ran.returncode == 0, ran.stderr


def test_certificates_are_renewed_without_a_restart(encrypted: Encrypted) -> None:
    address = encrypted.endpoints["gateway"].address.partition(":")
    where = (address[0], int(address[2]))
    before = ssl.get_server_certificate(where, timeout=5.0)
    make_certificates(encrypted.certificates)
    wait_until(lambda: ssl.get_server_certificate(where, timeout=5.0) != before, READY_SECONDS)
    listed = encrypted.qmtl("world", "list")
    assert listed.returncode == 0, listed.stderr
    submitted = encrypted.qmtl("submit", "examples/breakout.py", "--world", "sealed")
    assert submitted.returncode == 0, submitted.stderr


def test_nobody_gets_in_without_encryption_or_by_another_authority(encrypted: Encrypted, tmp_path: Path) -> None:
    for name in ("world", "dagmgr", "gateway", "executor"):
        assert encrypted.healthy(name)
        assert not service.healthy(encrypted.endpoints[name].address)
    make_certificates(tmp_path)
    stranger = {**encrypted.environment, "QMTL_TLS_CA": str(pair_of(tmp_path, "ca").certificate)}
    refused = Encrypted(encrypted.endpoints, encrypted.certificates, stranger).qmtl("world", "list")
    assert (refused.returncode, "QMTL_TLS_CA names the file" in refused.stderr) == (4, True), refused.stderr


def test_without_a_gateway_an_operator_freezes_a_world_at_the_world_service_itself(encrypted: Encrypted) -> None:
    freeze = ("world", "freeze", "sealed", "--reason", "no gateway")
    at = ("--gateway", encrypted.endpoints["world"].address)
    unnamed = encrypted.qmtl(*freeze, *at)
    assert unnamed.returncode == ExitCode.UNREACHABLE, unnamed.stderr
    own = {**encrypted.environment, **_tls(encrypted.certificates, "world")}
    known = Encrypted(encrypted.endpoints, encrypted.certificates, own)
    frozen = known.qmtl(*freeze, *at)
    assert frozen.returncode == 0, frozen.stderr
    resumed = encrypted.qmtl("world", "resume", "sealed", "--reason", "a gateway again")
    assert resumed.returncode == 0, resumed.stderr


def test_metrics_are_encrypted(encrypted: Encrypted) -> None:
    context = ssl.create_default_context(cafile=str(pair_of(encrypted.certificates, "ca").certificate))
    for endpoint in encrypted.endpoints.values():
        with urlopen(f"https://{endpoint.metrics_address}/metrics", context=context, timeout=5.0) as answer:
            assert answer.status == 200
