"""The world service's worker processes: statistics, policies and rounds run here, off the event loop that serves."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager
from multiprocessing.connection import wait
from typing import ParamSpec, TypeVar

from qmtl_foundation.cancellation import heed_cancellation
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_world.evaluation.model import EvaluationMetrics, EvaluationTask
from qmtl_world.evaluation.shelf import Missing, Series, shelf

WORKERS = 2
WARM_AFTER_SECONDS = 0.3
ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"), "1")

Arguments = ParamSpec("Arguments")
Task = TypeVar("Task")
Result = TypeVar("Result")
Load = Callable[[Sequence[str]], Awaitable[Series]]

_log = logging.getLogger(__name__)


class EvaluationProcesses:
    """Run functions of data in worker processes; what they raise as QmtlError arrives as such."""

    def __init__(self) -> None:
        self._executor: ProcessPoolExecutor | None = None  # started by the first work, and again after a death

    async def run(self, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        """Return what ``work`` returns; when its worker dies, raise DEPENDENCY_UNAVAILABLE; others come."""
        if kwargs:
            raise TypeError("worker functions take positional arguments only")
        try:
            executor = self._executor = self._executor or _start()
            running = asyncio.get_running_loop().run_in_executor(executor, work, *args)
        except (BrokenProcessPool, OSError) as error:  # OSError: a new worker, or Python's tracker of them, was killed
            self._executor = None
            raise _died() from error
        try:
            return await running
        except BrokenProcessPool as error:
            if self._executor is executor:
                self._executor = None
            raise _died() from error

    async def run_on_series(self, work: Callable[[Task, Series], Result | Missing], task: Task, load: Load) -> Result:
        """Return what ``work`` returns on a task and the series that it takes; a worker is sent those that it lacks."""
        sent: Series = {}
        while True:
            heed_cancellation()
            result = await self.run(work, task, sent)
            if not isinstance(result, Missing):
                return result
            loaded = await load(result.series_ids)
            if not loaded.keys() >= set(result.series_ids):
                raise QmtlError(Reason.INTERNAL, f"{len(result.series_ids) - len(loaded)} return series are gone")
            sent = {**sent, **loaded}

    async def check_policy(self, text: bytes) -> str:
        """Return the content id of a well-formed policy; raise INVALID_POLICY with every fault."""
        return await self.run(_check_policy, text)

    async def measure(self, task: EvaluationTask, load: Load) -> EvaluationMetrics:
        """Return every metric of what a strategy submitted; raise INVALID_SERIES, INVALID_FIELD."""
        return await self.run_on_series(_measure, task, load)

    async def warm(self) -> None:
        """Let the workers load their libraries, a moment after the start: it would be slower beside them."""
        await asyncio.sleep(WARM_AFTER_SECONDS)
        try:
            await asyncio.gather(*(self.run(_load) for _ in range(WORKERS)), asyncio.to_thread(_load_own))
        except QmtlError as error:
            _log.warning("loading the evaluation workers: %s", error)

    def close(self) -> None:
        """Stop the workers; work that has not begun is dropped."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)


@asynccontextmanager
async def open_processes() -> AsyncIterator[EvaluationProcesses]:
    """Yield worker processes, which do not outlive this process."""
    processes = EvaluationProcesses()
    try:
        yield processes
    finally:
        await asyncio.to_thread(processes.close)


def _start() -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(WORKERS, mp_context=context, initializer=_begin)


def _died() -> QmtlError:
    _log.warning("an evaluation worker died; the next work starts new ones")
    return QmtlError(
        Reason.DEPENDENCY_UNAVAILABLE,
        "the worker that evaluated died; try again",
        metadata={"dependency": "evaluation worker"},
    )


def _begin() -> None:
    """Use one thread, and end when the service is gone, even by SIGKILL: nobody would collect the result.

    The libraries' own threads wait for each other spinning: where workers share cores, a product of small matrices took
    up to 20 times as long with them. The variables are read when a library is loaded, which the first work does.
    """
    os.environ.update(ONE_THREAD)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_await_end, args=(parent.sentinel,), daemon=True).start()


def _await_end(sentinel: int) -> None:
    wait([sentinel])
    os._exit(0)


def _load() -> None:
    import qmtl_world.evaluation.policy
    import qmtl_world.evaluation.worker  # noqa: F401  # loaded for its libraries


def _load_own() -> None:
    import numpy as np  # noqa: F401  # results of the workers are arrays; off the event loop, which must not wait for it


def _measure(task: EvaluationTask, sent: Series) -> EvaluationMetrics | Missing:
    from qmtl_world.evaluation.worker import evaluate_series

    trials = shelf().take(task.trial_series, sent)
    return trials if isinstance(trials, Missing) else evaluate_series(task, tuple(trials.values()))


def _check_policy(text: bytes) -> str:
    from qmtl_world.evaluation.policy import compile_policy, content_id_of

    return content_id_of(compile_policy(text).policy)
