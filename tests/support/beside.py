"""A service beside a stack's own: one more of it on the same PostgreSQL, NATS and services."""

from __future__ import annotations

import secrets
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from qmtl_sdk.local import nats, postgres, service
from qmtl_sdk.local.process import Command
from qmtl_sdk.local.progress import StackStatus
from qmtl_sdk.local.service import SERVICES
from qmtl_sdk.local.start import HOST
from qmtl_sdk.local.state import Endpoint, Layout, load
from tests.support.credentials import ground_of
from tests.support.stack import ROOT
from tests.support.waiting import wait_until

READY_SECONDS = 30.0
LISTENED = range(12_000, 32_000)
STOP_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Beside(Endpoint):
    """Reach a service beside a stack's own, and know its process."""

    pid: int = field(kw_only=True)


@contextmanager
def another(stack: StackStatus, name: str, **settings: str) -> Iterator[Beside]:
    """Run one more service of a name until the end, and yield where it listens once it is healthy."""
    log_file = stack.state_dir / "logs" / f"another-{name}.log"
    own, command = command_beside(stack.state_dir, name, log_file, settings)
    with (
        command.log.open("wb") as log,
        subprocess.Popen(command.argv, env=command.env, cwd=command.directory, stdout=log, stderr=log) as process,
        ending(process),
    ):
        wait_until(lambda: service.healthy(own.address), READY_SECONDS)
        yield Beside(own.address, own.metrics_address, pid=process.pid)


def command_beside(
    state_dir: Path,
    name: str,
    log: Path,
    settings: Mapping[str, str] = MappingProxyType({}),
    module: str = "",
) -> tuple[Endpoint, Command]:
    """Return where one more service beside those of a stack is to listen, and what runs it.

    ``settings`` come before the stack's, a ``module`` before the service's own.
    """
    kind = next(each for each in SERVICES if each.name == name)
    parts = load(Layout(state_dir)).endpoints
    own = Endpoint(f"{HOST}:{free_port()}", f"{HOST}:{free_port()}")
    ground = ground_of(state_dir, parts[postgres.NAME].address, parts[nats.NAME].address)
    values = {**service.settings(kind, {**parts, name: own}, ground), **settings}
    arguments = ("-m", module) if module else kind.arguments
    return own, service.command(arguments, values, ROOT, log)


def another_gateway(stack: StackStatus) -> AbstractContextManager[Beside]:
    """Run one more gateway, under a name of its own."""
    return another(stack, "gateway", QMTL_NAME="another")


@contextmanager
def ending(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Terminate a process at the end, and kill it where it does not end in time."""
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        finally:
            process.kill()  # nothing, when it has ended; else its own block would wait for it without bound


def free_port() -> int:
    """Return a port of the loopback that nobody has, and that no connection gets before it is listened on: below those
    that the system gives to connections by itself."""
    while True:
        port = LISTENED.start + secrets.randbelow(len(LISTENED))
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
