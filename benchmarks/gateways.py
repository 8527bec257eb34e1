"""Gateways beside a stack's own: further ones of ours, and bare ones with their bare run."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from urllib.request import urlopen

from benchmarks.local_stack import LocalStack
from qmtl_sdk.local.start import HOST
from qmtl_sdk.local.state import Endpoint
from tests.support.beside import command_beside

SERVING_SECONDS = 30.0
SERVES = "serving on"
POLL_SECONDS = 0.05
BUCKET = re.compile(r'^activation_skew_seconds_bucket\{.*?le="([^"]+)".*?\} (\S+)$', re.MULTILINE)


@asynccontextmanager
async def another_gateway(
    stack: LocalStack,
    name: str,
    settings: Mapping[str, str] = MappingProxyType({}),
    module: str = "qmtl_gateway",
) -> AsyncIterator[Endpoint]:
    """Yield where one more gateway of a stack listens, once it serves; ``settings`` come before the stack's."""
    async with another_service(stack, "gateway", {"QMTL_NAME": name, **settings}, module) as own:
        yield own


@asynccontextmanager
async def another_service(
    stack: LocalStack, kind: str, settings: Mapping[str, str], module: str
) -> AsyncIterator[Endpoint]:
    """Yield where one more process of a kind listens, once it serves."""
    log = stack.folder / f"{settings.get('QMTL_NAME', 'another')}-{kind}.log"
    own, command = command_beside(stack.folder, kind, log, settings, module)
    with command.log.open("wb") as output:
        child = await asyncio.create_subprocess_exec(
            *command.argv, env=command.env, cwd=command.directory, stdout=output, stderr=output
        )
    try:
        await asyncio.to_thread(_await_serving, log)
        yield own
    finally:
        child.terminate()
        await child.wait()


@asynccontextmanager
async def bare(module: str, *arguments: str) -> AsyncIterator[str]:
    """Yield where a server of the benchmarks' own listens, in a process of its own."""
    command = (sys.executable, "-m", module, *arguments)
    server = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        yield f"{HOST}:{int(await server.stdout.readline())}"
    finally:
        server.terminate()
        await server.wait()


def read_skew(metrics_address: str) -> dict[float, float]:
    """Return a gateway's ``activation_skew_seconds``: how many acknowledgements came within so many seconds."""
    with urlopen(f"http://{metrics_address}/metrics", timeout=SERVING_SECONDS) as answer:
        text = answer.read().decode()
    return {float(bound): float(count) for bound, count in BUCKET.findall(text)}


def quantile(counts: dict[float, float], share: float) -> float:
    """Return the seconds within which a share of acknowledgements came, linear within its bucket as Prometheus does."""
    wanted = share * max(counts.values(), default=0.0)
    below, under = 0.0, 0.0
    for bound, count in sorted(counts.items()):
        if count >= wanted and bound != float("inf"):
            return below + (bound - below) * (wanted - under) / max(count - under, 1.0)
        below, under = bound, count
    return below


def _await_serving(log: Path) -> None:
    deadline = time.monotonic() + SERVING_SECONDS
    while SERVES not in log.read_text(encoding="utf-8"):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{log.name} says: {log.read_text(encoding='utf-8')}")
        time.sleep(POLL_SECONDS)
