"""A loop hears a cancellation that came together with an answer."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from qmtl_foundation.cancellation import heed_cancellation

ROOT: Final = Path(__file__).parents[3]
SERVICES: Final = ("qmtl_foundation", "qmtl_gateway", "qmtl_world", "qmtl_dagmgr", "qmtl_executor")


async def test_a_swallowed_cancellation_is_heard_at_the_next_turn() -> None:
    turns: list[int] = []

    async def loop() -> None:
        while True:
            heed_cancellation()
            turns.append(len(turns))
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:  # as a library that returns its answer instead
                continue

    task = asyncio.create_task(loop())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert turns


async def test_a_task_that_nobody_cancelled_goes_on() -> None:
    heed_cancellation()


def endless_loops(node: ast.AST, is_coroutine: bool = False) -> Iterator[ast.While]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.While) and isinstance(child.test, ast.Constant) and is_coroutine:
            yield child
        inner = isinstance(child, ast.AsyncFunctionDef) or (is_coroutine and not isinstance(child, ast.FunctionDef))
        yield from endless_loops(child, inner)


def test_every_endless_loop_of_a_service_heeds_its_cancellation() -> None:
    """Without it a gateway that was stopped while it subscribed to submissions did not end."""
    loops = [
        (file.relative_to(ROOT), loop)
        for package in SERVICES
        for file in ROOT.joinpath(package).rglob("*.py")
        for loop in endless_loops(ast.parse(file.read_text()))
    ]
    assert len(loops) > 20
    deaf = [f"{file}:{loop.lineno}" for file, loop in loops if ast.unparse(loop.body[0]) != "heed_cancellation()"]
    assert deaf == []
