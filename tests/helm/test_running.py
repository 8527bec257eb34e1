"""What the chart renders runs: migration, services, probes, a submission, the test pod, the end of a pod.

With the chart's own stores, and TLS between all of them, as it is in a cluster.
"""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from qmtl_foundation.pb.qmtl.dataset.v1 import dataset_service_pb2
from qmtl_foundation.pb.qmtl.world.v1 import world_service_pb2
from qmtl_sdk.local import postgres, process
from qmtl_sdk.local.certificates import AUTHORITY, make_certificates, pair_of
from qmtl_sdk.local.issuer import Issuer, open_issuer
from qmtl_sdk.local.state import Layout
from tests.helm.chart import Manifests
from tests.helm.encrypted_postgres import encrypted
from tests.helm.node import BEHIND, READY_SECONDS, Contents, Node
from tests.support.credentials import EVERYTHING, Bearing
from tests.support.desk import CALL_SECONDS, Asked, Desk, at_rest, evaluate, make_world, refusal, world_status
from tests.support.stack import check_nothing_was_denied, guarded_directory
from tests.support.waiting import wait_until

SERVICES = ("world", "dagmgr", "gateway", "executor")
PARTS = ("postgres", "nats", *SERVICES)
# What the entry of PostgreSQL's image writes: everyone by password, over any connection.
KNOWN = {"run", "logs", "issuer", "certificates", "postgres", "pods"}  # what the test itself has made
HBA = "local all all trust\nhost all all all scram-sha-256\n"


def secrets_of(folder: Path, issuer: Issuer) -> Contents:
    """Return the Secrets that are made before the chart is installed."""
    names = [f"qmtl-{part}" for part in PARTS]
    pairs = make_certificates(folder, names)
    ca = pair_of(folder, AUTHORITY).certificate.read_bytes()
    tls = {
        f"{name}-tls": {"tls.crt": pair.certificate.read_bytes(), "tls.key": pair.key.read_bytes(), "ca.crt": ca}
        for name, pair in zip(names, pairs, strict=True)
    }
    tokens = {f"qmtl-{name}": {"token": issuer.service_token(name).read_bytes()} for name in ("gateway", "executor")}
    passwords = {name: f"p{os.urandom(8).hex()}".encode() for name in ("owner", *SERVICES)}
    return {**tls, **tokens, "qmtl-stores": passwords}


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
def installed(manifests: Manifests) -> Iterator[tuple[Node, Issuer]]:
    """Yield a node on which the chart was installed, in the order of Helm: stores, migration, services.

    At the end each service drains within its grace, and neither store has refused anything that was asked of it.
    """
    with guarded_directory() as directory:
        layout = Layout(directory)
        layout.create()
        directory.chmod(0o755)  # PostgreSQL's account reads what is mounted for it
        issuer = open_issuer(directory / "issuer")
        secrets = secrets_of(directory / "certificates", issuer)
        keys = {"qmtl-jwks": {"jwks.json": issuer.jwks.read_bytes()}}
        node = Node(layout, manifests, secrets, keys, postgres.prepare(layout.postgres))
        initialise_postgres(node)
        node.start("postgres")
        tls = node.mounted("postgres", "/etc/qmtl/tls")
        front, behind = node.port("postgres", 5432), node.port("postgres", BEHIND)
        with encrypted(front, behind, tls / "tls.crt", tls / "tls.key"):
            node.start("nats")
            assert "world: new -> " in node.finish("migrate")
            for service in SERVICES:
                node.start(service)
            yield node, issuer
            for service in reversed(SERVICES):
                node.stop(service)
                assert node.ended(service) == "exited with code 0"
        check_nothing_was_denied(directory)


@pytest.fixture(scope="module")
def installation(rendered: dict[str, Manifests]) -> Iterator[tuple[Node, Issuer]]:
    """Give a node with everything on it."""
    with installed(rendered["in-chart-stores"]) as everything:
        yield everything


@pytest.fixture(scope="module")
def node(installation: tuple[Node, Issuer]) -> Node:
    """Give the node."""
    return installation[0]


@pytest.fixture(scope="module")
def desk(installation: tuple[Node, Issuer]) -> Iterator[Desk]:
    """Give a client of the gateway, who trusts the authority and shows no certificate."""
    node, issuer = installation
    credentials = grpc.ssl_channel_credentials(node.secrets["qmtl-gateway-tls"]["ca.crt"])
    with grpc.secure_channel(node.address("gateway"), credentials) as channel:
        yield Desk(Bearing(channel, issuer.token("ann", EVERYTHING), CALL_SECONDS))


def test_a_submission_becomes_a_decision_that_the_executor_has_heard_of(node: Node, desk: Desk) -> None:
    world = make_world(desk)
    assert evaluate(desk, Asked(world)).evaluation.strategy_id
    status = at_rest(desk, world)
    assert [each.strategy_id for each in status.strategies] == ["ann/Trend"]
    assert status.open


def test_the_test_pod_finds_nothing_wrong(node: Node) -> None:
    assert "fault" not in node.finish("test")


def test_the_migration_of_an_upgrade_finds_the_schemas_there(node: Node, desk: Desk) -> None:
    before = make_world(desk)
    assert "new" not in node.finish("migrate")
    assert world_status(desk, before).world.name == before


def test_a_pod_whose_nats_is_away_is_not_ready_and_not_restarted(node: Node) -> None:
    assert all(node.asks(each, "readinessProbe") for each in SERVICES)
    os.kill(node.children["nats"].pid, signal.SIGSTOP)
    try:
        wait_until(lambda: not any(node.asks(each, "readinessProbe") for each in SERVICES), READY_SECONDS)
        assert all(node.asks(each, "livenessProbe") for each in SERVICES)
    finally:
        os.kill(node.children["nats"].pid, signal.SIGCONT)
    wait_until(lambda: all(node.asks(each, "readinessProbe") for each in SERVICES), READY_SECONDS)


def test_nobody_is_let_in_without_a_token(node: Node) -> None:
    ca = node.secrets["qmtl-gateway-tls"]["ca.crt"]
    with grpc.secure_channel(node.address("gateway"), grpc.ssl_channel_credentials(ca)) as channel:
        refused = refusal(lambda: list_worlds(Desk(Bearing(channel, "", CALL_SECONDS))))
    assert refused.code is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("service", ["world", "dagmgr"])
def test_a_service_behind_the_gateway_speaks_to_nobody_without_a_certificate(
    installation: tuple[Node, Issuer], service: str
) -> None:
    node, issuer = installation
    token = issuer.token("ann", EVERYTHING)
    tls = node.secrets["qmtl-gateway-tls"]
    for credentials in (None, grpc.ssl_channel_credentials(tls["ca.crt"])):
        refused = refusal(lambda shown=credentials: list_of(service, node, shown, token))  # type: ignore[misc]
        assert refused.code is grpc.StatusCode.UNAVAILABLE
    mutual = grpc.ssl_channel_credentials(tls["ca.crt"], tls["tls.key"], tls["tls.crt"])
    list_of(service, node, mutual, token)


@pytest.mark.parametrize("service", SERVICES)
def test_metrics_are_served_over_tls_under_the_certificate_that_a_scrape_expects(node: Node, service: str) -> None:
    context = ssl.create_default_context(cadata=node.secrets[f"qmtl-{service}-tls"]["ca.crt"].decode())
    host, _, port = node.address(service, 9001).rpartition(":")
    with (
        socket.create_connection((host, int(port)), CALL_SECONDS) as connection,
        context.wrap_socket(connection, server_hostname=f"qmtl-{service}") as encrypted_connection,
    ):
        encrypted_connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert encrypted_connection.recv(64).startswith(b"HTTP/1.0 200")


def test_a_pod_writes_nowhere_but_on_what_is_mounted_for_that(node: Node, desk: Desk) -> None:
    make_world(desk)
    assert {each.name for each in node.layout.root.iterdir()} == KNOWN
    for service in SERVICES:
        for mount in node.manifests.pod(service).container["volumeMounts"]:
            if mount.get("readOnly"):
                files = {each.name for each in node.mounted(service, mount["mountPath"]).iterdir()}
                assert files <= {"tls.crt", "tls.key", "ca.crt", "token", "jwks.json"}


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
