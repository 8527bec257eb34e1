"""``qmtl sweep``: a strategy over a grid of its parameters, one table of what the world made of the cells."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from contextlib import ExitStack, redirect_stdout
from typing import TYPE_CHECKING, Annotated

import typer

from qmtl_foundation.terminal import plain_console
from qmtl_sdk.cli.exits import ExitCode
from qmtl_sdk.cli.session import Session, command

if TYPE_CHECKING:
    from qmtl_sdk.submission.result import SweepCell


@command
def sweep(
    session: Session,
    strategy: Annotated[str, typer.Argument(metavar="FILE_OR_MODULE[:CLASS]", help="Where the strategy is.")],
    world: Annotated[str, typer.Option("--world", help="The world that judges the cells.")],
    grid: Annotated[
        list[str],
        typer.Option("--grid", metavar="NAME=VALUE,VALUE", help="A parameter and the values it takes; repeatable."),
    ],
    data_preset: Annotated[str | None, typer.Option("--data-preset", help="Other data than the world's.")] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="Dataset snapshot, RFC 3339. Default: the newest.")
    ] = None,
    author: Annotated[
        str | None,
        typer.Option("--author", help="Whose strategies they are. Default: QMTL_AUTHOR, or the user's name."),
    ] = None,
) -> int:
    """Evaluate a strategy over a grid of its parameters.

    Every cell is a trial of the world and none is activated: submit the one that you choose. Exit code 0 when at least
    one is valid, else 3. A sweep that ends early, by an error or by Ctrl-C, answers with the cells done.
    """
    from qmtl_sdk.cli.loading import load_class, parse_grid
    from qmtl_sdk.client.loop import run
    from qmtl_sdk.submission import flow

    done: list[SweepCell] = []
    try:
        with ExitStack() as stack:
            stack.enter_context(redirect_stdout(sys.stderr))  # what strategy code prints is no part of the answer
            chosen = load_class(strategy)
            values = parse_grid(chosen, grid)
            told = _told(session, stack, math.prod(len(each) for each in values.values()))

            def take(cell: SweepCell) -> None:
                done.append(cell)
                told(len(done))

            run(
                flow.sweep(
                    chosen,
                    values,
                    world=world,
                    data_preset=data_preset,
                    as_of=as_of,
                    author=author,
                    gateway=session.gateway or None,
                    on_cell=take,
                )
            )
    finally:  # the cells that are done count as trials, whatever became of the others
        if done:
            _answer(session, done)
    valid = any(cell.result is not None and cell.result.status == "valid" for cell in done)
    return ExitCode.OK if valid else ExitCode.NOT_VALID


def _told(session: Session, stack: ExitStack, cells: int) -> Callable[[int], None]:
    """Return what takes the number of cells done and shows it beside that of all, while ``stack`` is open."""
    if session.json:
        return lambda _done: None
    status = stack.enter_context(plain_console(stderr=True).status(f"evaluate {cells:,} cells"))
    return lambda done: status.update(f"evaluate {cells:,} cells: {done:,} done")


def _answer(session: Session, done: list[SweepCell]) -> None:
    from qmtl_sdk.cli.tables import swept
    from qmtl_sdk.submission.result import SweepResult

    document = SweepResult(tuple(done)).document()
    session.answer(document, swept(document["cells"]))
