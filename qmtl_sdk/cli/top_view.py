"""``qmtl top`` as people see it: rates, runs, worlds and sources, in as much room as the terminal has."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.text import Text

from qmtl_foundation.clock import Clock, span_text, utc_now
from qmtl_foundation.terminal import folded_table
from qmtl_sdk.report.figures import ABSENT
from qmtl_sdk.top.desk import Desk, Gates, RunRow, WorldRow, WorldState
from qmtl_sdk.top.figures import NAMES, Figures, Source, totals, why_unknown
from qmtl_sdk.top.watch import OnView, View

REFRESH_PER_SECOND: Final = 4.0
WIDE_COLUMNS: Final = 100  # from here on everything has its column
AGED_SECONDS: Final = 5.0  # from here on it is said how old something is
LAG_SECONDS: Final = 5.0  # above it the outbox lag is red, as the alert QmtlOutboxLag fires
FEWEST_WORLDS: Final = 3  # shown however low the terminal is
HEADINGS: Final[Mapping[str, str]] = {
    "sessions": "sessions",
    "submissions_per_s": "submissions/s",
    "accepted_per_s": "accepted/s",
    "refused_per_s": "refused/s",
    "fenced_per_s": "fenced/s",
    "outbox_lag_s": "outbox lag",
}
STATES: Final = {
    WorldState.HELD: "red",
    WorldState.FROZEN: "red",
    WorldState.APPLYING: "cyan",
    WorldState.TRADING: "green",
    WorldState.IDLE: "dim",
}
GATES: Final = {Gates.OPEN: "green", Gates.CLOSED: "red", Gates.NONE: "dim"}


@contextmanager
def shown_views(console: Console) -> Iterator[OnView]:
    """Yield what takes views and shows them: one screen that changes, or one after another where there is no terminal.

    The calls may come from another thread.
    """
    if not console.is_terminal:
        yield _Printed(console).take
        return
    board = TopBoard(console)
    with Live(board, console=console, refresh_per_second=REFRESH_PER_SECOND, screen=True):
        yield board.take


class _Printed:
    """Print a view once a round: when its sources were read, or its worlds where there are no sources."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: object = None

    def take(self, view: View) -> None:
        """Print a view if it is of a new round, and something is known of its worlds."""
        told = view.sources or (view.desk_at, view.failure)
        if told != self._shown and (view.desk_at is not None or view.failure):
            self._shown = told
            self._console.print(TopView(view), Text())


class TopBoard:
    """Hold the newest view, and draw it with the ages of now in the height of the terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._view: View | None = None

    def take(self, view: View) -> None:
        """Take note of a view."""
        self._view = view

    def __rich__(self) -> RenderableType:
        return Text("asking…") if self._view is None else TopView(self._view, height=self._console.height)


class TopView:
    """Draw a view; ``height`` in lines bounds it, None draws every world."""

    def __init__(
        self,
        view: View,
        height: int | None = None,
        clock: Clock = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._view = view
        self._height = height
        self._clock = clock
        self._monotonic = monotonic

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = options.max_width >= WIDE_COLUMNS
        now, monotonic = self._clock(), self._monotonic()
        above = Group(
            _heading(self._view, now, monotonic), _totals(self._view.sources, wide), _runs(self._view, now, wide)
        )
        below = _sources(self._view.sources, monotonic, wide)
        room = None
        if self._height is not None:
            taken = sum(len(console.render_lines(each, options, pad=False)) for each in (above, below))
            room = max(FEWEST_WORLDS, self._height - taken - 6)  # of the table's heading and what is said below it
        yield above
        yield _worlds(self._view, room, wide)
        yield below


def _heading(view: View, now: datetime, monotonic: float) -> Text:
    text = Text.assemble(("qmtl top", "bold"), f"  {view.gateway}  {now:%H:%M:%S} UTC")
    age = None if view.desk_at is None else monotonic - view.desk_at
    known = "nothing is known yet" if age is None else f"worlds as of {span_text(age)} ago"
    if view.failure:
        text.append(f"\n{view.failure}; {known}", "red")
    elif age is not None and age >= AGED_SECONDS:
        text.append(f"\n{known}", "yellow")
    return text


def _totals(sources: tuple[Source, ...], wide: bool) -> RenderableType:
    figures, why = totals(sources), why_unknown(sources)
    line = Text("  " if wide else "\n").join(
        Text.assemble((HEADINGS[name], "bold"), " ", _figure(name, getattr(figures, name))) for name in NAMES
    )
    return Group(line, Text(why, "yellow")) if why else line


def _runs(view: View, now: datetime, wide: bool) -> RenderableType:
    if not view.desk.runs:
        return Text("no run under way" if view.desk_at is not None else "", "dim")
    table = folded_table(("run of", *(("run", "epoch") if wide else ()), "phase", "age", "awaited"))
    for run in view.desk.runs:
        age = run.age(now)
        more = (run.run_id, str(run.epoch)) if wide else ()
        cells = (run.world, *more, run.phase, ABSENT if age is None else span_text(age), _awaited(run))
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _worlds(view: View, room: int | None, wide: bool) -> RenderableType:
    if not view.desk.worlds:
        return Text("no worlds: `qmtl world create NAME`" if view.desk_at is not None else "", "dim")
    rows = sorted(view.desk.worlds, key=lambda each: (list(WorldState).index(each.state), each.name))
    headings = (
        "world",
        *(("mode",) if wide else ()),
        "state",
        "epoch",
        "gates",
        *(("active",) if wide else ()),
        "holds",
    )
    table = folded_table((*headings, *(("waits for",) if wide else ())))
    for each in rows[:room]:
        table.add_row(*_cells(each, wide))
    more = _more(view.desk, 0 if room is None else max(0, len(rows) - room))
    return Group(table, Text(more, "yellow")) if more else table


def _more(desk: Desk, hidden: int) -> str:
    told = [f"{hidden} more worlds, for which there is no room"] if hidden else []
    told += [f"{desk.unread} more worlds are not read: name those to look at by --world"] if desk.unread else []
    return "; ".join(told)


def _cells(row: WorldRow, wide: bool) -> list[RenderableType]:
    state = Text(row.state, STATES[row.state])
    gates = Text(row.gates, GATES[row.gates])
    holds = Text(", ".join(row.holds), "red")
    if not wide:
        return [Text(row.name), state, str(row.epoch), gates, holds]
    waits = Text(row.waits_for, "yellow")
    return [Text(row.name), row.mode, state, str(row.epoch), gates, str(row.active), holds, waits]


def _sources(sources: Sequence[Source], monotonic: float, wide: bool) -> RenderableType:
    if not sources:
        return Text()
    table = folded_table(("source", *((HEADINGS[name] for name in NAMES) if wide else ()), "read"))
    for each in sources:
        figures = each.figures
        cells = [_of_source(name, each, figures) for name in NAMES] if wide else []
        table.add_row(Text(each.name), *cells, _state(each, monotonic))
    return table


def _of_source(name: str, source: Source, figures: Figures) -> Text:
    """Return a source's figure; nothing where it is another service's."""
    return _figure(name, getattr(figures, name)) if source.may_expose(name) else Text()


def _state(source: Source, monotonic: float) -> Text:
    since = span_text(monotonic - source.known_at)
    if source.is_fresh:
        is_aged = monotonic - source.known_at >= AGED_SECONDS
        return Text(f"{since} ago", "yellow") if is_aged else Text("ok", "green")
    known = "never read" if source.last is None else f"last read {since} ago"
    return Text(f"{known}: {source.failure}" if source.failure else known, "red" if source.failure else "dim")


def _figure(name: str, value: float | None) -> Text:
    if value is None:
        return Text(ABSENT, "dim")
    if name == "sessions":
        return Text(f"{value:,.0f}")
    if name == "outbox_lag_s":
        return Text(f"{value:,.1f} s", "red" if value > LAG_SECONDS else "")
    return Text(f"{value:,.1f}", "yellow" if value and name in {"refused_per_s", "fenced_per_s"} else "")


def _awaited(run: RunRow) -> str:
    return ", ".join(run.awaited) or "nobody"
