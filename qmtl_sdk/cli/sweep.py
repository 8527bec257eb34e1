"""``qmtl sweep``: a strategy over a grid of its parameters, one table of what the world made of the cells."""

from __future__ import annotations

import math
import os
import sys
from contextlib import ExitStack, redirect_stdout
from dataclasses import asdict
from typing import Annotated

import typer

from qmtl_sdk.cli.exits import ExitCode
from qmtl_sdk.cli.session import Session, command, stderr_console
from qmtl_sdk.settings import GATEWAY_VARIABLE


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
) -> int:
    """Evaluate a strategy over a grid of its parameters.

    Every cell is a trial of the world and none is activated: submit the one that you choose. Exit code 0 when at least
    one is valid, else 3.
    """
    from qmtl_sdk.cli.loading import load_class, parse_grid
    from qmtl_sdk.cli.tables import swept
    from qmtl_sdk.runner import Runner

    if session.gateway:
        os.environ[GATEWAY_VARIABLE] = session.gateway  # where the Runner looks for it
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(sys.stderr))  # what strategy code prints is no part of the answer
        chosen = load_class(strategy)
        values = parse_grid(chosen, grid)
        if not session.json:
            cells = math.prod(len(each) for each in values.values())
            stack.enter_context(stderr_console().status(f"evaluate {cells:,} cells"))
        result = Runner.sweep(chosen, grid=values, world=world, data_preset=data_preset, as_of=as_of)
    document = asdict(result)
    session.answer(document, swept(document["cells"]))
    valid = any(cell.result is not None and cell.result.status == "valid" for cell in result)
    return ExitCode.OK if valid else ExitCode.NOT_VALID
