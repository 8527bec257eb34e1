"""The load beside the runners' orders: authors who submit by the SDK, and an operator who applies sets, without end."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.pb.qmtl.apply.v1 import apply_service_pb2 as pb
from qmtl_foundation.settings import Address
from qmtl_sdk._pb.qmtl.apply.v1 import StartApplyRequest
from qmtl_sdk.client.gateway import Gateway, connect
from qmtl_sdk.local.state import Layout
from tests.faults.campaign import phase_text, run_request
from tests.faults.cluster.submitter import Submitted
from tests.faults.strikes import Scene
from tests.support.link import link_to
from tests.support.stack import ROOT
from tests.support.waiting import wait_until

SUBMITTERS: Final = 2
RUN_SECONDS: Final = 90.0
FIRST_SECONDS: Final = 60.0  # an author compiles kernels first
END_SECONDS: Final = 90.0
WORK_SECONDS: Final = 90.0


@dataclass(frozen=True, slots=True)
class Applied:
    """Hold how one run went: how it ended, or what its operator was told instead. ``began`` in epoch seconds."""

    began: float
    world: str
    run_id: str
    outcome: str
    seconds: float
    error: str


@dataclass(slots=True)
class Load:
    """Hold what came of it so far. While ``paused`` the operator begins no run; one under way goes on.

    ``over`` are the submissions once the load is over, and the cluster's directory with the ``logs`` may be gone.
    """

    logs: Sequence[Path]
    over: Sequence[Submitted] = ()
    applied: list[Applied] = field(default_factory=list)
    paused: threading.Event = field(default_factory=threading.Event)

    @property
    def submitted(self) -> list[Submitted]:
        """Return the submissions that are over."""
        return list(self.over) or [each for log in self.logs for each in read_submitted(log)]

    def errors(self, since: float = 0.0) -> list[str]:
        """Return what callers were told that is no result, of what they began behind a moment (epoch seconds)."""
        undone: list[Submitted | Applied] = [each for each in self.submitted if each.error or each.status != "valid"]
        failed = [each for each in self.applied if each.error]
        return [str(each) for each in (*undone, *failed) if each.began >= since]

    def await_work(self, worlds: Sequence[str], since: float) -> None:
        """Wait until an author has submitted, and a run has ended in each world, all begun behind a moment."""
        wait_until(lambda: {each.world for each in self.applied if each.began >= since} >= set(worlds), WORK_SECONDS)
        wait_until(lambda: any(each.began >= since for each in self.submitted), WORK_SECONDS)


@contextmanager
def loaded(scene: Scene) -> Iterator[Load]:
    """Yield with authors and operator at work, once each author's first submission is over; they end at the end."""
    over = threading.Event()
    with ExitStack() as stack:
        address = stack.enter_context(link_to(*scene.cluster.gateways)).address  # as clients have it: one for all
        logs = [_submitter(stack, scene, address, number) for number in range(SUBMITTERS)]
        load = Load(logs)
        seeds = [scene.chance.random() for _ in scene.worlds]
        operators = [
            threading.Thread(target=_operate, args=(scene, address, world, random.Random(seed), load, over))  # noqa: S311  # a schedule is no secret
            for world, seed in zip(scene.worlds, seeds, strict=True)
        ]
        wait_until(lambda: all(read_submitted(log) for log in logs), FIRST_SECONDS)
        try:
            for operator in operators:
                operator.start()
            yield load
        finally:
            over.set()
            for operator in operators:
                operator.join()
    load.over = load.submitted


def read_submitted(log: Path) -> list[Submitted]:
    """Return the submissions that a log tells of, whole lines only."""
    lines = log.read_text(encoding="utf-8").split("\n")[:-1]
    return [Submitted(**json.loads(line)) for line in lines]


def _submitter(stack: ExitStack, scene: Scene, address: str, number: int) -> Path:
    """Start an author; the stack ends it, after the submission under way."""
    directory = scene.cluster.directory
    log = directory / "logs" / f"submitter-{number}.jsonl"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "POLARS_MAX_THREADS": "1", "QMTL_STATE_DIR": str(directory)}
    environment["QMTL_TOKEN_FILE"] = str(Layout(directory).user_token)
    command = (sys.executable, "-m", "tests.faults.cluster.submitter", address, f"submitter{number}", *scene.worlds)
    file = stack.enter_context(log.open("w"))
    errors = stack.enter_context(log.with_suffix(".err").open("w"))
    author = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=file, stderr=errors, env=environment, cwd=ROOT)
    stack.callback(_end, author)
    return log


def _end(author: subprocess.Popen[bytes]) -> None:
    try:
        author.communicate(timeout=END_SECONDS)
    finally:
        author.kill()  # nothing, when it has ended
        author.wait()


def _operate(scene: Scene, address: str, world: str, chance: random.Random, load: Load, over: threading.Event) -> None:
    asyncio.run(_apply(scene, address, world, chance, load, over))


async def _apply(
    scene: Scene, address: str, world: str, chance: random.Random, load: Load, over: threading.Event
) -> None:
    """Begin one run of a world after the other, and see each end."""
    async with connect(Address.parse(address), token=lambda: scene.cluster.token) as client:
        while not over.is_set():
            await asyncio.sleep(chance.uniform(0.2, 1.0))
            if load.paused.is_set():
                continue
            request = run_request(scene, world, f"load-{chance.randrange(1 << 40)}", chance)
            began = time.time()
            outcome, error = "", ""
            try:
                async with asyncio.timeout(RUN_SECONDS):
                    outcome = await _run(client, request)
            except QmtlError as refused:
                if refused.reason is Reason.RUN_IN_PROGRESS:  # the world's own, of a round: its operator asks again
                    continue
                error = repr(refused)
            except TimeoutError:
                error = f"did not end within {RUN_SECONDS:g} s"
            load.applied.append(Applied(began, world, request.run_id, outcome, time.time() - began, error))


async def _run(client: Gateway, request: pb.StartApplyRequest) -> str:
    """Begin a run, and return how it ended."""
    asked = StartApplyRequest.parse(request.SerializeToString())
    await client.call(lambda: client.applies.start_apply(asked))
    phase = 0
    async for run in client.watch_apply(request.world, request.run_id):
        phase = int(run.phase)
    return phase_text(phase)


def counted(applied: Sequence[Applied]) -> str:
    """Return how many runs ended how."""
    ends = [each.outcome or "no answer" for each in applied]
    return ", ".join(f"{ends.count(each)} {each}" for each in sorted(set(ends)))
