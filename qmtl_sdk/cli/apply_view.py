"""An apply run as people see it: drawn live where somebody looks on, one line for each change where not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from qmtl_foundation.clock import Clock, utc_now
from qmtl_sdk._pb.qmtl.apply.v1 import ApplyRecord, ApplyRun, Participant, RunPhase
from qmtl_sdk.cli.apply_documents import KINDS, RUN_PHASES
from qmtl_sdk.cli.documents import text_of
from qmtl_sdk.report.figures import percent

REFRESH_PER_SECOND: Final = 8.0
STYLES: Final = {
    RunPhase.COMPLETED: "green",
    RunPhase.ROLLED_BACK: "yellow",
    RunPhase.ABORTED: "yellow",
    RunPhase.REOPENING: "yellow",
    RunPhase.DRAINING: "yellow",
}

OnRun = Callable[[ApplyRun], None]


@contextmanager
def shown_run(console: Console | None) -> Iterator[OnRun]:
    """Yield what takes the states of a run and shows them; without a console nothing is shown.

    The calls may come from another thread.
    """
    if console is None:
        yield lambda run: None
    elif console.is_terminal:
        board = RunBoard()
        with Live(board, console=console, refresh_per_second=REFRESH_PER_SECOND):
            yield board.take
    else:
        yield RunLines(console).take


class RunBoard:
    """Hold a run's newest state, and draw it with what still passes: durations, leases, the deadline."""

    def __init__(self, clock: Clock = utc_now) -> None:
        self._clock = clock
        self._run: ApplyRun | None = None
        self._spinner = Spinner("dots", style="cyan")

    def take(self, run: ApplyRun) -> None:
        """Take note of a state."""
        self._run = run

    def __rich__(self) -> RenderableType:
        run = self._run
        return Text() if run is None else run_view(run, self._clock(), self._spinner)


class RunLines:
    """Print a line for each change of a run."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._before = ApplyRun()

    def take(self, run: ApplyRun) -> None:
        """Print what changed since the state before."""
        for line in changes(self._before, run):
            self._console.print(Text(line), soft_wrap=True)
        self._before = run


def changes(before: ApplyRun, after: ApplyRun) -> list[str]:
    """Return what changed from one state of a run to the next, a line each."""
    phase = text_of(RUN_PHASES, after.phase)
    lines = [f"{_clock_time(each.create_time)} {_told(each)}" for each in after.timeline[len(before.timeline) :]]
    was, now = _names(before.awaited), _names(after.awaited)
    if now and (before.phase, was) != (after.phase, now):
        lines.append(f"{phase}: awaited {', '.join(now)}")
    came = [each for each in _names(after.acknowledged) if each not in _names(before.acknowledged)]
    if came or (after.acknowledged and before.phase != after.phase):
        lines.append(f"{phase}: acknowledged {', '.join(came or _names(after.acknowledged))}")
    if before.holds != after.holds:
        lines.append(f"held by {', '.join(after.holds)}" if after.holds else "held by nothing any more")
    if after.end_time is not None:
        lines.append(_heading(after).plain)
        lines += [f"not opened: {', '.join(after.unopened)}"] if after.unopened else []
    return lines


def run_view(run: ApplyRun, now: datetime | None = None, spinner: Spinner | None = None) -> RenderableType:
    """Return a run: where it stands, its timeline, who is awaited and for how long. ``now`` defaults to the clock's."""
    moment = utc_now() if now is None else now
    return Group(_heading(run), _timeline(run, moment, spinner), _facts(run, moment))


def _heading(run: ApplyRun) -> Text:
    return Text.assemble(
        f"run {run.run_id} of ",
        (run.world, "bold"),
        ": ",
        (text_of(RUN_PHASES, run.phase), STYLES.get(run.phase, "cyan")),
        f", epoch {run.epoch}" if run.epoch else "",
        f", ends the hold {run.clears_hold}" if run.clears_hold else "",
        f" ({run.reason})" if run.reason else "",
    )


def _timeline(run: ApplyRun, now: datetime, spinner: Spinner | None) -> Table:
    table = Table.grid(padding=(0, 1))
    ends = [each.create_time for each in run.timeline[1:]]
    for record, end in zip(run.timeline, [*ends, run.end_time], strict=False):
        goes_on = end is None
        mark: RenderableType = spinner if goes_on and spinner is not None else Text(" " if goes_on else "✓", "green")
        lasted = Text(_elapsed(record.create_time, end or now), "dim", justify="right")
        cause = f"by {record.actor}" + (f": {record.reason}" if record.reason else "")
        table.add_row(mark, record.event, _clock_time(record.create_time), lasted, Text(cause, "dim"))
    return table


def _facts(run: ApplyRun, now: datetime) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    plan = [f"{each.strategy_id} {percent(each.weight)}" for each in run.plan]
    table.add_row("plan", Text(", ".join(plan) or "nothing trades"))
    if run.awaited:
        table.add_row("awaited", Text("\n".join(_awaited(each, now) for each in run.awaited), "yellow"))
    if run.acknowledged:
        table.add_row("acknowledged", Text("\n".join(_names(run.acknowledged)), "green"))
    if run.deadline is not None:
        table.add_row("deadline", Text(f"in {_remaining(run.deadline, now):,.0f} s"))
    if run.holds:
        table.add_row("held by", Text(", ".join(run.holds), "red"))
    if run.unopened:
        table.add_row("not opened", Text(", ".join(run.unopened), "yellow"))
    return table


def _awaited(participant: Participant, now: datetime) -> str:
    """Return who is awaited; a gateway as long as its lease lasts, an executor whatever happens to it."""
    expires = participant.lease_expire_time
    if expires is None:
        return _name(participant)
    left = _remaining(expires, now)
    runners = f", waits for {', '.join(participant.waits_for)}" if participant.waits_for else ""
    return f"{_name(participant)}, its lease {f'lasts {left:,.1f} s' if left else 'is over'}{runners}"


def _told(record: ApplyRecord) -> str:
    return f"{record.event} by {record.actor}" + (f": {record.reason}" if record.reason else "")


def _names(participants: Sequence[Participant]) -> list[str]:
    return [_name(each) for each in participants]


def _name(participant: Participant) -> str:
    return f"{text_of(KINDS, participant.kind)} {participant.name}"


def _remaining(until: datetime, now: datetime) -> float:
    return max((until - now).total_seconds(), 0.0)


def _elapsed(begin: datetime | None, end: datetime) -> str:
    seconds = 0.0 if begin is None else _remaining(end, begin)
    return f"{seconds:,.0f} s" if seconds >= 10.0 else f"{1_000.0 * seconds:,.0f} ms"


def _clock_time(time: datetime | None) -> str:
    return "" if time is None else time.astimezone(UTC).strftime("%H:%M:%S.%f")[:-3]
