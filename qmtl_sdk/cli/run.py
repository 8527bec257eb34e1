"""``qmtl run``: a strategy that is active in its world, live over the world's history, compared with its backtest."""

from __future__ import annotations

import sys
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from qmtl_foundation.terminal import plain_console
from qmtl_sdk.cli.exits import ExitCode
from qmtl_sdk.cli.session import Session, lasting_command

if TYPE_CHECKING:
    from qmtl_sdk.live.result import ReplayResult

JOURNALS: Final = "journals"


@lasting_command
def run(
    session: Session,
    strategy: Annotated[str, typer.Argument(metavar="FILE_OR_MODULE[:CLASS]", help="Where the strategy is.")],
    world: Annotated[str, typer.Option("--world", help="The world that it is active in.")],
    replay: Annotated[
        bool, typer.Option("--replay", help="Over the world's history, the only bars that are served yet.")
    ],
    speed: Annotated[
        str, typer.Option("--speed", metavar="60x|max", help="How fast bars come, as times of the clock.")
    ] = "max",
    param: Annotated[
        list[str] | None, typer.Option("--param", metavar="NAME=VALUE", help="A parameter of the strategy; repeatable.")
    ] = None,
    author: Annotated[
        str | None, typer.Option("--author", help="Whose strategy it is. Default: QMTL_AUTHOR, or the user's name.")
    ] = None,
) -> int:
    """Run an active strategy bar by bar, send its orders through the gate, and compare it with its backtest.

    --gateway takes several, separated by commas: the session goes on at another when one is lost. Exit code 0 when
    every target is the backtest's, bit for bit, 3 when one is not.
    """
    from qmtl_sdk.cli.loading import load_strategy
    from qmtl_sdk.cli.phases import shown_phases
    from qmtl_sdk.client.gateway import gateway_addresses
    from qmtl_sdk.live.pace import parse_speed
    from qmtl_sdk.live.run import run_replay
    from qmtl_sdk.settings import checked_author
    from qmtl_sdk.submission.progress import silent

    factor, addresses = parse_speed(speed), gateway_addresses(session.gateway or None)
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(sys.stderr))  # what strategy code prints is no part of the answer
        chosen = load_strategy(strategy, param or ())
        progress = silent if session.json else stack.enter_context(shown_phases(plain_console(stderr=True)))
        result = run_replay(chosen, world, checked_author(author), addresses, _journals(), factor, progress)
    session.answer(result.document(), *_shown(result))
    return ExitCode.OK if result.equal else ExitCode.NOT_VALID


def _journals() -> Path:
    from qmtl_sdk.local import state

    return state.stated_dir() / JOURNALS


def _shown(result: ReplayResult) -> tuple[str, ...]:
    """Return the summary, a line each for the bars and targets, the intents, and what is worth knowing."""
    found = result.difference
    if found is None:
        targets = "every target equals the backtest's, bit for bit"
    else:
        targets = (
            f"{found.count:,} targets differ from the backtest's, the first at {found.bar} for {found.symbol}: "
            f"{_target(found.live)} live, {_target(found.backtest)} in the backtest"
        )
    intents = ", ".join(f"{count:,} {state}" for state, count in result.intents.items() if count) or "none sent"
    lines = (f"{result.bars:,} bars of {result.data_preset}: {targets}", f"intents: {intents}")
    if not result.intents_before:
        return lines
    return (*lines, f"{result.intents_before:,} intents of earlier runs are in the journal; none is sent twice")


def _target(weight: float | None) -> str:
    return "null" if weight is None else repr(weight)
