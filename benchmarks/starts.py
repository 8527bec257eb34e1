"""Starts: a service until it serves, ``qmtl up`` on a fresh directory, ``qmtl --help``."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from functools import partial
from typing import Final

from benchmarks.local_stack import QMTL, LocalStack, qmtl, running_stack, state_folder
from benchmarks.measure import OURS, Findings, Line, Target, alone, compare, race, timed
from qmtl_sdk.local import service
from qmtl_sdk.local.service import Service
from tests.support.beside import command_beside

POLL_SECONDS: Final = 0.001
LIBRARIES: Final = "bare Python, its libraries imported"
SERVICE_LIBRARIES: Final = "import grpc.aio, nats, asyncpg, opentelemetry.exporter.prometheus"
CLI_LIBRARIES: Final = "import typer, rich.console"
FRESH_ROUNDS: Final = 5
ROUNDS: Final = 9


def run() -> Findings:
    """Run all of them."""
    up = [_fresh_up() for _ in range(FRESH_ROUNDS)]
    shown = {OURS: partial(_python, *QMTL[1:], "--help"), LIBRARIES: partial(_python, "-c", CLI_LIBRARIES)}
    lines = [
        alone("`qmtl up`, fresh directory, until all is healthy", up, Target(ms=3_000)),
        compare("`qmtl --help`", race(shown, ROUNDS), LIBRARIES, Target(ms=200)),
    ]
    with running_stack() as stack:
        lines += [_until_serving(stack, each) for each in service.SERVICES]
    return Findings(tuple(lines))


def _fresh_up() -> float:
    with state_folder():
        return timed(partial(qmtl, "up"))


def _until_serving(stack: LocalStack, each: Service) -> Line:
    contenders = {OURS: partial(_start, stack, each), LIBRARIES: partial(_python, "-c", SERVICE_LIBRARIES)}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(ROUNDS + 1):  # not ``race``: the time to stop the service does not count
        for name, work in contenders.items():
            elapsed = work()
            if number:
                times[name].append(elapsed)
    return compare(f"{each.name}: process to first SERVING", times, LIBRARIES, Target(ms=300))


def _start(stack: LocalStack, each: Service) -> float:
    """Start one more of a service on ports of its own, beside the stack's, and return when it served."""
    own, command = command_beside(stack.folder, each.name, stack.folder / "bench.log")
    with command.log.open("wb") as log:
        began = time.perf_counter()
        with subprocess.Popen(command.argv, env=command.env, cwd=command.directory, stdout=log, stderr=log) as child:
            try:
                _await_serving(own.address, child)
                return (time.perf_counter() - began) * 1e3
            finally:
                child.terminate()


def _await_serving(address: str, child: subprocess.Popen[bytes]) -> None:
    host, _, port = address.rpartition(":")
    while child.poll() is None:
        try:
            socket.create_connection((host, int(port))).close()
        except OSError:
            time.sleep(POLL_SECONDS)
            continue
        if service.healthy(address):
            return
    raise ChildProcessError(f"the service at {address} ended with code {child.returncode}")


def _python(*arguments: str) -> float:
    command = (sys.executable, *arguments)
    return timed(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))
