"""Hear a cancellation that a library swallowed: its answer and the cancellation came at the same moment.

``asyncio.wait_for`` of Python 3.11 returns the answer then (bpo-37658), and asyncpg and nats-py wait by it. A loop
without end would go on for ever, and its process could not be stopped: every ``while True`` of a service's coroutines
begins with ``heed_cancellation``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any


def heed_cancellation() -> None:
    """Raise CancelledError if this task has been cancelled; call it at each turn of a loop without end."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


@asynccontextmanager
async def going_on(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Let work go on beside what is inside, cancelled and over at the end; what it raises is raised there."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
