"""Threads of the client: an event loop of its own, so that synchronous calls work anywhere, Jupyter included."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import threading
from collections.abc import Callable, Coroutine
from functools import cache
from typing import Any, Final, ParamSpec, TypeVar

# Waiting in slices lets Python handle signals: some libraries install handlers that restart a blocked wait.
SLICE_SECONDS: Final = 0.1

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run ``work`` on the loop thread and return its result; Ctrl-C cancels it and is raised here."""
    future = asyncio.run_coroutine_threadsafe(work, _loop())
    try:
        while not concurrent.futures.wait([future], SLICE_SECONDS).done:
            pass
        return future.result()
    except BaseException:
        future.cancel()
        raise


async def in_thread(work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
    """Return what ``work`` returns, run on a thread that does not keep the process from ending.

    ``asyncio.to_thread`` would: the interpreter joins its threads, and an endless backtest could not be interrupted.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def settle(outcome: Callable[[], None]) -> None:
        if not future.done():
            outcome()

    def carry_out() -> None:
        try:
            result = work(*args, **kwargs)
        except Exception as error:
            failure = error
            loop.call_soon_threadsafe(settle, lambda: future.set_exception(failure))
        except BaseException as error:  # an exit must not end the loop that serves other calls
            exit_ = RuntimeError(f"{type(error).__name__}: {error}")
            loop.call_soon_threadsafe(settle, lambda: future.set_exception(exit_))
        else:
            loop.call_soon_threadsafe(settle, lambda: future.set_result(result))

    within = contextvars.copy_context()  # the trace goes on in the thread
    threading.Thread(target=within.run, args=(carry_out,), name="qmtl-work", daemon=True).start()
    return await future


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="qmtl-client", daemon=True).start()
    return loop
