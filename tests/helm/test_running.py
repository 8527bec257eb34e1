"""What the chart renders runs: migration, services, probes, a submission, the test pod, the end of a pod.

Once with the chart's own stores; once with stores from elsewhere and Secrets under names of the platform's own. TLS is
between all of them, as it is in a cluster.
"""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import grpc
import pytest

from qmtl_foundation.pb.qmtl.dataset.v1 import dataset_service_pb2
from qmtl_foundation.pb.qmtl.world.v1 import world_service_pb2
from qmtl_sdk.local import postgres, process
from qmtl_sdk.local.certificates import AUTHORITY, make_certificates, pair_of
from qmtl_sdk.local.issuer import Issuer, open_issuer
from qmtl_sdk.local.state import Layout
from tests.helm.chart import Manifests, values_of
from tests.helm.encrypted_postgres import encrypted
from tests.helm.node import BEHIND, READY_SECONDS, Contents, Node
from tests.support.applies import stop
from tests.support.credentials import EVERYTHING, Bearing
from tests.support.desk import CALL_SECONDS, Asked, Desk, at_rest, evaluate, make_world, refusal, world_status
from tests.support.stack import check_nothing_was_denied, guarded_directory
from tests.support.waiting import wait_until

SERVICES = ("world", "dagmgr", "gateway", "executor")
PARTS = ("postgres", "nats", *SERVICES)
# Files that the pods' volumes have, of which no other may be among what a pod sees.
MOUNTED = {"tls.crt", "tls.key", "ca.crt", "token", "postgres-dsn", "nats-url", "jwks.json"}
KNOWN = {"run", "logs", "issuer", "certificates", "postgres", "pods"}  # what the test itself has made
# What the entry of PostgreSQL's image writes: everyone by password, over any connection.
HBA = "local all all trust\nhost all all all scram-sha-256\n"


@dataclass(frozen=True, slots=True)
class Installation:
    """Hold a node with everything on it, and who issues tokens for it under the name that the values state."""

    node: Node
    issuer: Issuer
    named: str

    @property
    def services(self) -> list[str]:
        """Return the services that were installed."""
        installed = {pod.component for pod in self.node.manifests.pods()}
        return [each for each in SERVICES if each in installed]

    @property
    def ca(self) -> bytes:
        """Return the authority that all trust."""
        return pair_of(self.node.layout.root / "certificates", AUTHORITY).certificate.read_bytes()

    def token(self) -> str:
        """Return a token of one who may do everything."""
        return self.issuer.token("ann", EVERYTHING, iss=self.named)


def tls_of(folder: Path) -> dict[str, dict[str, bytes]]:
    """Return what each part's certificate consists of, as cert-manager writes it into a Secret."""
    pairs = make_certificates(folder, [f"qmtl-{part}" for part in PARTS])
    ca = pair_of(folder, AUTHORITY).certificate.read_bytes()
    files = [(pair.certificate.read_bytes(), pair.key.read_bytes()) for pair in pairs]
    return {
        part: {"tls.crt": certificate, "tls.key": key, "ca.crt": ca}
        for part, (certificate, key) in zip(PARTS, files, strict=True)
    }


def own_secrets(tls: Contents, issuer: Issuer) -> Contents:
    """Return the Secrets that the chart expects with stores of its own."""
    pairs = {f"qmtl-{part}-tls": files for part, files in tls.items()}
    tokens = {f"qmtl-{name}": {"token": issuer.service_token(name).read_bytes()} for name in ("gateway", "executor")}
    passwords = {name: f"p{os.urandom(8).hex()}".encode() for name in ("owner", *SERVICES)}
    return {**pairs, **tokens, "qmtl-stores": passwords}


def platform_secrets(tls: Contents, issuer: Issuer, stores: Node, named: str) -> Contents:
    """Return the Secrets of a platform whose PostgreSQL and NATS are those of another node."""
    passwords = {name: word.decode() for name, word in stores.secrets["qmtl-stores"].items()}
    database, nats = stores.address("postgres", 5432), stores.address("nats", 4222)

    def dsn(role: str, password: str) -> bytes:
        return f"postgresql://{role}:{password}@{database}/{postgres.DATABASE}?sslmode=verify-full".encode()

    secrets: dict[str, dict[str, bytes]] = {
        f"desk-{name}": {
            "postgres-dsn": dsn(f"qmtl_{name}", passwords[name]),
            "nats-url": f"tls://{name}:{passwords[name]}@{nats}".encode(),
            "token": issuer.token(name, [f"service:{name}"], iss=named).encode(),
        }
        for name in SERVICES
    }
    return {
        **secrets,
        **{f"desk-{name}-cert": tls[name] for name in SERVICES},
        "desk-owner": {"postgres-dsn": dsn(postgres.DATABASE, passwords["owner"])},
        "desk-reader": {"token": issuer.token("reader", ["*:reader"], iss=named).encode()},
        "database-ca": {"root.crt": tls["postgres"]["ca.crt"]},
        "identity": {"keys.json": issuer.jwks.read_bytes()},
    }


def initialise_postgres(node: Node) -> None:
    """Do what the entry of PostgreSQL's image does before its server starts: the owner, and the scripts there."""
    layout, cluster = node.layout, node.cluster
    hba = layout.postgres / "pg_hba.conf"
    hba.write_text(HBA)
    hba.chmod(0o644)
    pod = node.manifests.pod("postgres")
    _, environment = node.command(pod, pod.container)
    assert (environment["POSTGRES_USER"], environment["POSTGRES_DB"]) == (postgres.DATABASE, postgres.DATABASE)
    script = node.mounted("postgres", "/docker-entrypoint-initdb.d") / "roles.sql"
    owner = f"\\getenv owner POSTGRES_PASSWORD\nALTER ROLE {postgres.DATABASE} PASSWORD :'owner';\n"
    child = process.launch(postgres.command(cluster, layout.log("initdb")), layout.record("initdb"))
    wait_until(lambda: postgres.ready(layout.postgres, child), READY_SECONDS)
    psql = (str(cluster.binaries / "psql"), "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", cluster.dsn)
    subprocess.run(psql, input=owner + script.read_text(), env=environment, text=True, check=True)
    assert not process.stop(child, postgres.STOP_SIGNAL, postgres.STOP_SECONDS)


@contextmanager
def stores_of(manifests: Manifests, directory: Path, issuer: Issuer) -> Iterator[tuple[Node, Contents]]:
    """Yield a node that has PostgreSQL and NATS, and the certificates of all."""
    layout = Layout(directory)
    layout.create()
    directory.chmod(0o755)  # PostgreSQL's account reads what is mounted for it
    tls = tls_of(directory / "certificates")
    keys = {"qmtl-jwks": {"jwks.json": issuer.jwks.read_bytes()}}
    node = Node(layout, manifests, own_secrets(tls, issuer), keys, postgres.prepare(layout.postgres))
    initialise_postgres(node)
    node.start("postgres")
    pair = node.mounted("postgres", "/etc/qmtl/tls")
    front, behind = node.port("postgres", 5432), node.port("postgres", BEHIND)
    with encrypted(front, behind, pair / "tls.crt", pair / "tls.key"):
        node.start("nats")
        yield node, tls


@contextmanager
def installed(name: str, rendered: dict[str, Manifests]) -> Iterator[Installation]:
    """Yield what was installed, in the order of Helm: stores, migration, services.

    At the end each service drains within its grace, and neither store has refused anything that was asked of it.
    """
    with guarded_directory() as directory:
        issuer, named = open_issuer(directory / "issuer"), str(values_of(name)["auth"]["issuer"])
        with stores_of(rendered["in-chart-stores"], directory, issuer) as (node, tls):
            if name != "in-chart-stores":
                secrets = platform_secrets(tls, issuer, node, named)
                node = replace(node, manifests=rendered[name], secrets=secrets, config_maps={}, ports={})
            everything = Installation(node, issuer, named)
            assert "world: new -> " in node.finish("migrate")
            for service in everything.services:
                node.start(service)
            yield everything
            for service in reversed(everything.services):
                node.stop(service)
                assert node.ended(service) == "exited with code 0"
        check_nothing_was_denied(directory)


@pytest.fixture(scope="module", params=["in-chart-stores", "external-secrets"])
def installation(request: pytest.FixtureRequest, rendered: dict[str, Manifests]) -> Iterator[Installation]:
    """Give an installation of one example of values after the other."""
    with installed(request.param, rendered) as everything:
        yield everything


@pytest.fixture(scope="module")
def node(installation: Installation) -> Node:
    """Give the node."""
    return installation.node


@pytest.fixture(scope="module")
def desk(installation: Installation) -> Iterator[Desk]:
    """Give a client of the gateway, who trusts the authority and shows no certificate."""
    credentials = grpc.ssl_channel_credentials(installation.ca)
    with grpc.secure_channel(installation.node.address("gateway"), credentials) as channel:
        yield Desk(Bearing(channel, installation.token(), CALL_SECONDS))


def test_a_submission_is_evaluated_and_put_in_force(installation: Installation, desk: Desk) -> None:
    world = make_world(desk)
    assert evaluate(desk, Asked(world)).evaluation.strategy_id
    status = at_rest(desk, world)
    assert [each.strategy_id for each in status.strategies] == ["ann/Trend"]
    assert status.open is ("executor" in installation.services)


def test_the_test_pod_finds_nothing_wrong(node: Node) -> None:
    assert "fault" not in node.finish("test")


def test_the_migration_of_an_upgrade_finds_the_schemas_there(node: Node, desk: Desk) -> None:
    before = make_world(desk)
    assert "new" not in node.finish("migrate")
    assert world_status(desk, before).world.name == before


def test_a_world_is_frozen_without_nats_and_no_pod_is_restarted(installation: Installation, desk: Desk) -> None:
    node, services, world = installation.node, installation.services, make_world(desk)
    called = {"gateway", "world", "dagmgr"}
    assert all(node.asks(each, "readinessProbe") for each in services)
    os.kill(node.children["nats"].pid, signal.SIGSTOP)
    try:
        wait_until(lambda: all("not ready: nats" in node.log(each) for each in services), READY_SECONDS)
        assert {each for each in services if node.asks(each, "readinessProbe")} == called
        assert stop(desk, world, "drill").epoch
        assert all(node.asks(each, "livenessProbe") for each in services)
    finally:
        os.kill(node.children["nats"].pid, signal.SIGCONT)
    wait_until(lambda: all(node.asks(each, "readinessProbe") for each in services), READY_SECONDS)


def test_nobody_is_let_in_without_a_token(installation: Installation) -> None:
    credentials = grpc.ssl_channel_credentials(installation.ca)
    with grpc.secure_channel(installation.node.address("gateway"), credentials) as channel:
        refused = refusal(lambda: list_worlds(Desk(Bearing(channel, "", CALL_SECONDS))))
    assert refused.code is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("service", ["world", "dagmgr"])
def test_a_service_behind_the_gateway_speaks_to_nobody_without_a_certificate(
    installation: Installation, service: str
) -> None:
    node, token = installation.node, installation.token()
    for credentials in (None, grpc.ssl_channel_credentials(installation.ca)):
        refused = refusal(partial(list_of, service, node, credentials, token))
        assert refused.code is grpc.StatusCode.UNAVAILABLE
    shown = node.mounted("gateway", "/etc/qmtl/tls")
    mutual = [(shown / name).read_bytes() for name in ("ca.crt", "tls.key", "tls.crt")]
    list_of(service, node, grpc.ssl_channel_credentials(*mutual), token)


def test_metrics_are_served_over_tls_under_the_certificate_that_a_scrape_expects(installation: Installation) -> None:
    context = ssl.create_default_context(cadata=installation.ca.decode())
    for service in installation.services:
        host, _, port = installation.node.address(service, 9001).rpartition(":")
        with (
            socket.create_connection((host, int(port)), CALL_SECONDS) as connection,
            context.wrap_socket(connection, server_hostname=f"qmtl-{service}") as scrape,
        ):
            scrape.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            assert scrape.recv(64).startswith(b"HTTP/1.0 200")


def test_a_pod_writes_nowhere_but_on_what_is_mounted_for_that(installation: Installation, desk: Desk) -> None:
    node = installation.node
    make_world(desk)
    assert {each.name for each in node.layout.root.iterdir()} == KNOWN
    for service in installation.services:
        for mount in node.manifests.pod(service).container["volumeMounts"]:
            if mount.get("readOnly"):
                files = {each.name for each in node.mounted(service, mount["mountPath"]).iterdir()}
                assert files <= MOUNTED


def list_worlds(desk: Desk) -> object:
    return desk.worlds.ListWorlds(world_service_pb2.ListWorldsRequest(page_size=1))


def list_of(service: str, node: Node, credentials: grpc.ChannelCredentials | None, token: str) -> object:
    """Ask a service for a list, past the gateway."""
    address = node.address(service)
    opened = grpc.insecure_channel(address) if credentials is None else grpc.secure_channel(address, credentials)
    with opened as channel:
        desk = Desk(Bearing(channel, token, CALL_SECONDS))
        if service == "world":
            return list_worlds(desk)
        return desk.datasets.ListPresets(dataset_service_pb2.ListPresetsRequest(page_size=1))
