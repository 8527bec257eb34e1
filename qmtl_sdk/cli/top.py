"""``qmtl top``: what goes on in worlds, live."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from qmtl_foundation.terminal import plain_console
from qmtl_sdk.cli.exits import ExitCode
from qmtl_sdk.cli.session import Session, lasting_command

LEAST_SECONDS: Final = 0.2
READINGS: Final = 2  # of --once: a rate needs two


@lasting_command
def top(
    session: Session,
    world: Annotated[
        list[str] | None, typer.Option("--world", metavar="NAME", help="A world to look at; repeatable. Default: all.")
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option("--metrics", metavar="URL", help="A service's /metrics; repeatable. Default: the local stack's."),
    ] = None,
    interval: Annotated[
        float, typer.Option("--interval", min=LEAST_SECONDS, metavar="SECONDS", help="Between two readings.")
    ] = 2.0,
    once: Annotated[
        bool, typer.Option("--once", help="Read twice, an interval apart, print what is known, and end; so does JSON.")
    ] = False,
) -> int:
    """Show worlds, runs under way, sessions and rates, until Ctrl-C.

    Exit code 4 when --once finds the gateway or one of the sources away.
    """
    import time

    from qmtl_foundation.clock import utc_now
    from qmtl_sdk.cli.top_documents import view_document
    from qmtl_sdk.cli.top_view import TopView, shown_views
    from qmtl_sdk.client.gateway import gateway_address
    from qmtl_sdk.client.loop import run
    from qmtl_sdk.top.sources import sources_of
    from qmtl_sdk.top.watch import watch

    address = gateway_address(session.gateway or None)
    sources = sources_of(metrics or (), address)
    if once or session.json:
        view = run(watch(address, world or (), sources, interval, lambda view: None, READINGS))
        session.answer(view_document(view, utc_now(), time.monotonic()), TopView(view))
        is_whole = not view.failure and all(each.is_fresh for each in view.sources)
        return ExitCode.OK if is_whole else ExitCode.UNREACHABLE
    try:
        with shown_views(plain_console()) as take:
            run(watch(address, world or (), sources, interval, take))
    except KeyboardInterrupt:  # the way to end it
        pass
    return ExitCode.OK
