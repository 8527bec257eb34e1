"""A second gateway beside a stack's own, on the same PostgreSQL, NATS and services."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from qmtl_sdk.local import nats, service
from qmtl_sdk.local.progress import StackStatus
from qmtl_sdk.local.service import SERVICES
from qmtl_sdk.local.state import Endpoint
from tests.support.stack import ROOT
from tests.support.waiting import wait_until

STOP_SECONDS = 15.0


@contextmanager
def another_gateway(stack: StackStatus) -> Iterator[Endpoint]:
    """Run one until the end, and yield where it listens once it is healthy."""
    gateway = next(each for each in SERVICES if each.name == "gateway")
    parts = {each.name: Endpoint(each.address, each.metrics_address) for each in stack.processes}
    own = Endpoint(f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}")
    urls = (parts["postgres"].address, nats.url(parts["nats"].address))
    values = service.settings(gateway, {**parts, "gateway": own}, *urls)
    command = service.command(gateway.arguments, values, ROOT, stack.state_dir / "logs" / "another.log")
    with (
        command.log.open("wb") as log,
        subprocess.Popen(command.argv, env=command.env, cwd=command.directory, stdout=log, stderr=log) as process,
    ):
        try:
            wait_until(lambda: service.healthy(own.address), 20.0)
            yield own
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            finally:
                process.kill()  # nothing, when it has ended; else leaving the block would wait for it without bound


def free_port() -> int:
    """Return a port of the loopback that nobody has at present."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
