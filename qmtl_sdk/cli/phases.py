"""The phases of a submission or a replay as they go on: live where somebody looks on, one line a phase where not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from qmtl_sdk.submission.progress import OnProgress, Phase, Progress

LABELS: Final = {
    Phase.BUILD: "build the graph",
    Phase.DATA: "read the data",
    Phase.SUBMIT: "submit",
    Phase.BIND: "bind to the world",
    Phase.COMPUTE: "backtest",
    Phase.PROVE: "prove",
    Phase.EVALUATE: "evaluate",
    Phase.WAIT: "wait for the gate",
    Phase.REPLAY: "replay",
    Phase.SETTLE: "hear what is outstanding",
}
REFRESH_PER_SECOND: Final = 12.0
SHOWN_SECONDS: Final = 1.0  # from here on a phase that goes on shows how long it does


@contextmanager
def shown_phases(console: Console) -> Iterator[OnProgress]:
    """Yield what takes progress and shows it; the calls may come from another thread."""
    if not console.is_terminal:
        yield lambda progress: _print_line(console, progress)
        return
    board = PhaseBoard()
    with Live(board, console=console, refresh_per_second=REFRESH_PER_SECOND):
        yield board.take


class PhaseBoard:
    """Hold what is known of each phase, and draw it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[Phase, Progress] = {}
        self._began: dict[Phase, float] = {}  # monotonic seconds
        self._spinner = Spinner("dots", style="cyan")

    def take(self, progress: Progress) -> None:
        """Take note of a phase that began, goes on or ended."""
        self._began.setdefault(progress.phase, self._clock())
        self._known = {**self._known, progress.phase: progress}  # replaced whole: the drawing thread iterates over it

    def __rich__(self) -> RenderableType:
        table = Table.grid(padding=(0, 1))
        for phase, progress in self._known.items():
            mark: RenderableType = Text("✓", "green") if progress.done else self._spinner
            table.add_row(mark, LABELS[phase], Text(self._elapsed(progress), "dim"), Text(progress.detail, "dim"))
        return table

    def _elapsed(self, progress: Progress) -> str:
        if progress.done:
            return _elapsed(progress)
        seconds = self._clock() - self._began[progress.phase]
        return f"{seconds:,.0f} s" if seconds >= SHOWN_SECONDS else ""


def _print_line(console: Console, progress: Progress) -> None:
    if progress.done:
        console.print(Text(f"{LABELS[progress.phase]}: {_elapsed(progress)} {progress.detail}".rstrip()))


def _elapsed(progress: Progress) -> str:
    return "" if progress.elapsed_ms is None else f"{progress.elapsed_ms:,.0f} ms"
