"""Worker processes die and cannot be started now and then: work is refused until others are there, never a fault."""

from __future__ import annotations

import math
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_world.evaluation.processes import EvaluationProcesses, open_processes


@contextmanager
def no_more_files() -> Iterator[None]:
    """Let this process open nothing meanwhile, so that it starts no process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def refused(processes: EvaluationProcesses) -> QmtlError:
    with pytest.raises(QmtlError) as caught:
        await processes.run(math.sqrt, 4.0)
    return caught.value


async def test_workers_that_cannot_be_started_are_a_dependency_that_is_not_there() -> None:
    async with open_processes() as processes:
        with no_more_files():
            error = await refused(processes)
        assert (error.reason, error.metadata) == (
            Reason.DEPENDENCY_UNAVAILABLE,
            {"dependency": "evaluation worker"},
        )
        assert await processes.run(math.sqrt, 4.0) == 2.0


async def test_workers_that_were_killed_are_followed_by_others() -> None:
    async with open_processes() as processes:
        assert await processes.run(math.sqrt, 4.0) == 2.0
        workers = [each for each in psutil.Process().children() if "spawn_main" in " ".join(each.cmdline())]
        assert workers
        for each in workers:
            each.kill()
        psutil.wait_procs(workers, timeout=10)
        assert (await refused(processes)).reason is Reason.DEPENDENCY_UNAVAILABLE
        assert await processes.run(math.sqrt, 4.0) == 2.0


async def test_what_work_raises_itself_is_no_death() -> None:
    async with open_processes() as processes:
        with pytest.raises(FileNotFoundError):
            await processes.run(os.stat, "/nowhere")
