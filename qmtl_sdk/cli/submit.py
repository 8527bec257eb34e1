"""``qmtl submit``: a strategy from a file into a world, its phases live, its result in the end."""

from __future__ import annotations

import sys
from contextlib import ExitStack, redirect_stdout
from typing import Annotated

import typer

from qmtl_foundation.terminal import plain_console
from qmtl_sdk.cli.exits import exit_code_of_status
from qmtl_sdk.cli.session import Session, command


@command
def submit(
    session: Session,
    strategy: Annotated[str, typer.Argument(metavar="FILE_OR_MODULE[:CLASS]", help="Where the strategy is.")],
    world: Annotated[str, typer.Option("--world", help="The world that judges it.")],
    data_preset: Annotated[str | None, typer.Option("--data-preset", help="Other data than the world's.")] = None,
    mode: Annotated[
        str | None, typer.Option("--mode", help="Do at most this: validate, compute-only, paper, live. Never more.")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="Dataset snapshot, RFC 3339. Default: the newest.")
    ] = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", metavar="NAME=VALUE", help="A parameter of the strategy; repeatable.")
    ] = None,
    author: Annotated[
        str | None, typer.Option("--author", help="Whose strategy it is. Default: QMTL_AUTHOR, or the user's name.")
    ] = None,
) -> int:
    """Submit a strategy to a world: data, backtest, proofs, evaluation, decision.

    Exit code 0 when it is valid, 3 when it is invalid or rejected, 5 when the world has not decided yet.
    """
    from qmtl_sdk.cli.loading import load_strategy
    from qmtl_sdk.cli.phases import shown_phases
    from qmtl_sdk.cli.tables import submission
    from qmtl_sdk.client.loop import run
    from qmtl_sdk.submission import flow
    from qmtl_sdk.submission.progress import silent

    _check_mode(mode)
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(sys.stderr))  # what strategy code prints is no part of the answer
        chosen = load_strategy(strategy, param or ())
        progress = silent if session.json else stack.enter_context(shown_phases(plain_console(stderr=True)))
        result = run(
            flow.submit(
                chosen,
                world=world,
                mode=mode,
                data_preset=data_preset,
                as_of=as_of,
                author=author,
                gateway=session.gateway or None,
                on_progress=progress,
            )
        )
    document = result.document()
    session.answer(document, submission(document, result.warnings))
    return exit_code_of_status(result.status)


def _check_mode(mode: str | None) -> None:
    """Refuse what no wish can reach: the world would only count it as a downgrade, and go on."""
    from qmtl_foundation.errors import invalid_field
    from qmtl_foundation.execution_domain import ALIASES, EffectiveMode

    wishes = [each.value for each in EffectiveMode if each is not EffectiveMode.SHADOW] + list(ALIASES)
    if mode and mode not in wishes:
        known = ", ".join(wishes)
        raise invalid_field("mode", f"{mode!r} is none of {known}")
