"""How a stack starts: which process with which settings, in which order, and when each counts as ready."""

from __future__ import annotations

import hashlib
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_sdk.extras import check_server_installed
from qmtl_sdk.libraries import version_of
from qmtl_sdk.local import nats, postgres, process, service
from qmtl_sdk.local.issuer import open_issuer
from qmtl_sdk.local.process import Child, Command
from qmtl_sdk.local.progress import OnProgress, Phase, Progress
from qmtl_sdk.local.service import Ground, Service
from qmtl_sdk.local.state import Endpoint, Layout, StackState, load, save
from qmtl_sdk.settings import default_author

MIGRATE: Final = "migrate"
ADDRESSES: Final = "addresses"
READY_SECONDS: Final = 60.0  # PostgreSQL may first replay its log after a crash
MIGRATE_SECONDS: Final = 300.0
PROBE_INTERVAL_SECONDS: Final = 0.01
RELEASE_SECONDS: Final = 1.0
ERROR_LINES: Final = 10
HOST: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class _Part:
    """One process to be: what it listens on, how to start it, and when it is ready."""

    name: str
    endpoint: Endpoint
    command: Callable[[], Command]
    ready: Callable[[Child], bool]


@dataclass(slots=True)
class _Start:
    """One run of ``up``, and what it has running so far."""

    layout: Layout
    report: OnProgress
    known: Mapping[str, Endpoint]
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    children: dict[str, Child] = field(default_factory=dict)
    ports: set[int] = field(default_factory=set)


def bring_up(layout: Layout, services: Sequence[Service], report: OnProgress) -> None:
    """Start or heal every process and return when all are ready. The caller holds the directory's lock."""
    check_server_installed()
    if services and layout.restoring.exists():
        raise QmtlError(
            Reason.NOT_CONFIGURED,
            f"a restore into {layout.root} did not end, or found a difference: restore into another directory",
            metadata={"path": str(layout.restoring)},
        )
    start = _Start(layout, report, _known(layout, report))
    cluster_new = not (layout.postgres / "data").exists()
    issuer = open_issuer(layout.auth)
    issuer.renew_user_token(layout.user_token, default_author())
    broker = _nats_part(start)
    _ensure(start, broker)  # it boots while the cluster is made
    if cluster_new:
        report(Progress(postgres.NAME, Phase.PREPARING, "a new cluster"))
    cluster = postgres.prepare(layout.postgres)
    database = _postgres_part(start, cluster)
    _ensure(start, database)
    _migrate(start, cluster.dsn, [each.package for each in services if each.package])
    _await_ready(start, (broker, database))
    ground = Ground(cluster.dsn, broker.endpoint.address, nats.read_passwords(layout.auth), issuer)
    parts = _service_parts(start, services, ground)
    for part in parts:
        _ensure(start, part)
    _await_ready(start, parts)
    save(layout, StackState(start.endpoints))


def stopping(name: str) -> tuple[signal.Signals, float]:
    """Return the signal that stops a process gracefully, and the seconds it has before SIGKILL."""
    if name == postgres.NAME:
        return postgres.STOP_SIGNAL, postgres.STOP_SECONDS
    if name == nats.NAME:
        return signal.SIGTERM, nats.STOP_SECONDS
    return signal.SIGTERM, service.STOP_SECONDS


def _known(layout: Layout, report: OnProgress) -> Mapping[str, Endpoint]:
    """Return what is remembered; of a damaged file nothing: what runs is then started again at new addresses."""
    try:
        return load(layout).endpoints
    except QmtlError as error:
        report(Progress(ADDRESSES, Phase.MADE_ANEW, error.message))
        return {}


def _nats_part(start: _Start) -> _Part:
    directory, log = start.layout.nats, start.layout.log(nats.NAME)
    address = _address(start, nats.NAME, "address")
    port, known = int(address.rpartition(":")[2]), nats.read_passwords(start.layout.auth)
    launch = _fingerprint(nats.DISTRIBUTION, str(nats.binary()), address, nats.permissions(known))
    return _Part(
        nats.NAME,
        Endpoint(address, launch=launch),
        lambda: nats.command(directory, port, log, known),
        lambda _child: nats.ready(address),
    )


def _postgres_part(start: _Start, cluster: postgres.Cluster) -> _Part:
    directory, log = start.layout.postgres, start.layout.log(postgres.NAME)
    endpoint = Endpoint(cluster.dsn, launch=_fingerprint(postgres.DISTRIBUTION, str(cluster.binaries), cluster.dsn))
    return _Part(
        postgres.NAME,
        endpoint,
        lambda: postgres.command(cluster, log),
        lambda child: postgres.ready(directory, child),
    )


def _service_parts(start: _Start, services: Sequence[Service], ground: Ground) -> list[_Part]:
    addresses = {
        each.name: Endpoint(_address(start, each.name, "address"), _address(start, each.name, "metrics_address"))
        for each in services
    }
    return [
        _service_part(start, each, addresses[each.name], service.settings(each, addresses, ground)) for each in services
    ]


def _service_part(start: _Start, each: Service, endpoint: Endpoint, values: Mapping[str, str]) -> _Part:
    root, log = start.layout.root, start.layout.log(each.name)
    launch = _fingerprint(service.DISTRIBUTION, *each.arguments, *(f"{name}={value}" for name, value in values.items()))
    return _Part(
        each.name,
        Endpoint(endpoint.address, endpoint.metrics_address, launch),
        lambda: service.command(each.arguments, values, root, log),
        lambda _child: service.healthy(endpoint.address),
    )


def _ensure(start: _Start, part: _Part) -> None:
    """Leave the process alone if it lives and was started the same way; else start it."""
    record = start.layout.record(part.name)
    child = process.recall(record)
    unchanged = start.known.get(part.name) == part.endpoint
    start.endpoints[part.name] = part.endpoint
    if child is not None and child.alive and unchanged:
        start.report(Progress(part.name, Phase.ALREADY_RUNNING, part.endpoint.address))
        start.children[part.name] = child
        return
    if child is not None and child.alive:
        start.report(Progress(part.name, Phase.CHANGED, f"restarting pid {child.pid}"))
        process.stop(child, *stopping(part.name))
    elif child is not None:
        start.report(Progress(part.name, Phase.FOUND_DEAD, process.describe_end(record)))
    _remember(start)  # before it runs: nothing must run that is not known
    start.report(Progress(part.name, Phase.STARTING, part.endpoint.address))
    start.children[part.name] = process.launch(part.command(), record)


def _await_ready(start: _Start, parts: Sequence[_Part]) -> None:
    waiting = list(parts)
    deadline = time.monotonic() + READY_SECONDS
    while waiting:
        _check_alive(start)
        for part in [part for part in waiting if part.ready(start.children[part.name])]:
            start.report(Progress(part.name, Phase.READY, part.endpoint.address))
            waiting.remove(part)
        if waiting and time.monotonic() > deadline:
            raise _failure(start, waiting[0].name, f"is not ready after {READY_SECONDS:.0f} s")
        if waiting:
            time.sleep(PROBE_INTERVAL_SECONDS)


def _check_alive(start: _Start) -> None:
    for name, child in start.children.items():
        if not child.alive:
            raise _failure(start, name, process.describe_end(start.layout.record(name)))


def _migrate(start: _Start, postgres_dsn: str, packages: Sequence[str]) -> None:
    """Run the migrations in a process of their own; it waits for the database itself."""
    if not packages:
        return
    start.report(Progress(MIGRATE, Phase.STARTING, ", ".join(packages)))
    arguments = ("-m", "qmtl_foundation.postgres.migrate", *packages)
    values = {"QMTL_POSTGRES_DSN": postgres_dsn}
    command = service.command(arguments, values, start.layout.root, start.layout.log(MIGRATE))
    with (
        command.log.open("wb") as log,
        subprocess.Popen(
            command.argv, env=command.env, cwd=command.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        ) as running,
    ):
        try:
            _watch_migration(start, running)
        finally:
            running.kill()  # nothing, when it has ended
    if running.returncode != 0:
        raise _failure(start, MIGRATE, f"exited with code {running.returncode}")
    start.report(Progress(MIGRATE, Phase.READY))


def _watch_migration(start: _Start, running: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + MIGRATE_SECONDS
    while running.poll() is None:
        _check_alive(start)
        if time.monotonic() > deadline:
            raise _failure(start, MIGRATE, f"is not done after {MIGRATE_SECONDS:.0f} s")
        time.sleep(PROBE_INTERVAL_SECONDS)


def _failure(start: _Start, name: str, what: str) -> QmtlError:
    log = start.layout.log(name)
    lines = "\n".join(f"  {line}" for line in process.log_tail(log, ERROR_LINES))
    return QmtlError(
        Reason.DEPENDENCY_UNAVAILABLE,
        f"{name} {what}; the end of its log ({log}):\n{lines}\n"
        "`qmtl up` again starts what is missing, `qmtl down` stops the rest",
        metadata={"process": name, "end": what, "log": str(log)},
    )


def _remember(start: _Start) -> None:
    """Keep the addresses of what is not reached yet, too: a failed start must not lose them."""
    not_reached = {name: endpoint for name, endpoint in start.known.items() if name not in start.endpoints}
    save(start.layout, StackState({**start.endpoints, **not_reached}))


def _address(start: _Start, name: str, kind: str) -> str:
    """Return the remembered address while it is ours or free, else one on a free port of the loopback."""
    known = start.known.get(name)
    child = process.recall(start.layout.record(name))
    remembered: str = getattr(known, kind) if known is not None else ""
    port = int(remembered.rpartition(":")[2]) if remembered else 0
    ours = port != 0 and child is not None and child.alive
    if not ours and (port == 0 or port in start.ports or not _becomes_free(port)):
        port = _free_port(start.ports)
    start.ports.add(port)
    return f"{HOST}:{port}"


def _becomes_free(port: int) -> bool:
    """Wait a moment: a killed process of ours may still be on its way out with its port."""
    deadline = time.monotonic() + RELEASE_SECONDS
    while not _is_free(port):
        if time.monotonic() > deadline:
            return False
        time.sleep(PROBE_INTERVAL_SECONDS)
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _free_port(taken: set[int]) -> int:
    while True:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port


def _fingerprint(distribution: str, *parts: str) -> str:
    """Name how a process is started, and the version of the distribution that it runs."""
    return hashlib.blake2b("\0".join((version_of(distribution), *parts)).encode(), digest_size=8).hexdigest()
