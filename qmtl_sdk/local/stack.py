"""The local stack as a whole: bring it up, take it down, ask how it is, read its logs.

``up`` heals: what lives and was started with today's settings is left alone, what is dead is named and started again.
Processes start in the order of their needs: nats-server beside PostgreSQL, then migrations, then the services.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Final, TextIO

from qmtl_foundation.errors import QmtlError, invalid_field
from qmtl_sdk.local import nats, postgres, process, service
from qmtl_sdk.local.progress import Health, OnProgress, Phase, ProcessStatus, Progress, StackStatus, silent
from qmtl_sdk.local.service import SERVICES, Service
from qmtl_sdk.local.start import MIGRATE, bring_up, stopping
from qmtl_sdk.local.state import Endpoint, Layout, load, locked

TAIL_LINES: Final = 10
FOLLOW_SECONDS: Final = 0.2


def up(state_dir: Path, on_progress: OnProgress = silent, services: Sequence[Service] = SERVICES) -> StackStatus:
    """Start the stack in a directory, or heal it, and return once all of it is healthy.

    Raises QmtlError: NOT_CONFIGURED where something is to be installed or chosen otherwise, DEPENDENCY_UNAVAILABLE
    naming the process that died or does not become ready, with its end and its last log lines.
    """
    layout = Layout(state_dir.resolve())
    layout.create()
    with locked(layout):
        bring_up(layout, services, on_progress)
    return status(state_dir)


def down(state_dir: Path, on_progress: OnProgress = silent) -> tuple[Progress, ...]:
    """Stop the stack in the reverse order of its start and return what was done to each process; the data stays."""
    layout = Layout(state_dir.resolve())
    if not layout.root.is_dir():
        return ()
    layout.create()
    done = []
    with locked(layout):
        for name in reversed(_names(layout, _endpoints_if_readable(layout))):
            step = _take_down(layout, name)
            if step is not None:
                done.append(step)
                on_progress(step)
        postgres.forget_socket(layout.postgres)
    return tuple(done)


def status(state_dir: Path) -> StackStatus:
    """Return how each process of the stack is; a dead one with its end and its last log lines."""
    layout = Layout(state_dir.resolve())
    endpoints = load(layout).endpoints
    found = [_process_status(layout, name, endpoints.get(name, Endpoint(""))) for name in _names(layout, endpoints)]
    return StackStatus(layout.root, tuple(found))


def logs(state_dir: Path, name: str, lines: int = 50, follow: bool = False) -> Iterator[str]:
    """Yield the last lines of a process's log, and with ``follow`` each line to come, for ever.

    Raises QmtlError(INVALID_FIELD) for a process that the stack does not have.
    """
    layout = Layout(state_dir.resolve())
    known = (*_names(layout, load(layout).endpoints), MIGRATE)
    if name not in known:
        raise invalid_field(
            "service", f"{name!r} is not part of the stack: choose one of {', '.join(known)}", value=name
        )
    return _read_log(layout.log(name), lines, follow)


def _names(layout: Layout, endpoints: Mapping[str, Endpoint]) -> list[str]:
    """Return the processes in the order of their start, those too that only a record still tells of."""
    recorded = sorted(file.stem for file in (layout.root / "run").glob("*.record"))
    named = dict.fromkeys((*endpoints, *recorded))
    first = [name for name in (postgres.NAME, nats.NAME) if name in named]
    return [*first, *(name for name in named if name not in first)]


def _endpoints_if_readable(layout: Layout) -> Mapping[str, Endpoint]:
    """Return what is remembered; stopping goes by the records and must not fail for a spoilt ``stack.json``."""
    try:
        return load(layout).endpoints
    except QmtlError:
        return {}


def _take_down(layout: Layout, name: str) -> Progress | None:
    record = layout.record(name)
    child = process.recall(record)
    if child is None:
        return None
    if child.alive:
        killed = process.stop(child, *stopping(name))
        step = Progress(name, Phase.KILLED if killed else Phase.STOPPED, f"pid {child.pid}")
    else:
        step = Progress(name, Phase.FOUND_DEAD, process.describe_end(record))
    record.unlink(missing_ok=True)
    return step


def _process_status(layout: Layout, name: str, endpoint: Endpoint) -> ProcessStatus:
    record, log = layout.record(name), layout.log(name)
    child = process.recall(record)
    ended: str = ""
    tail: tuple[str, ...] = ()
    if child is None:
        health = Health.STOPPED
    elif not child.alive:
        health, ended, tail = Health.DEAD, process.describe_end(record), process.log_tail(log, TAIL_LINES)
    else:
        health = Health.HEALTHY if _ready(layout, name, endpoint, child) else Health.UNHEALTHY
    pid = child.pid if child is not None and health is not Health.DEAD else None
    return ProcessStatus(name, health, endpoint.address, endpoint.metrics_address, pid, ended, tail, log)


def _ready(layout: Layout, name: str, endpoint: Endpoint, child: process.Child) -> bool:
    if not endpoint.address:  # stack.json is lost: it runs, but nobody knows where
        return False
    if name == postgres.NAME:
        return postgres.ready(layout.postgres, child)
    if name == nats.NAME:
        return nats.ready(endpoint.address)
    return service.healthy(endpoint.address)


def _read_log(log: Path, lines: int, follow: bool) -> Iterator[str]:
    if not log.exists():
        return
    with log.open(encoding="utf-8", errors="replace") as text:
        rest = ""
        for line in chain(deque(text, maxlen=lines), _lines_to_come(text) if follow else ()):
            rest += line
            if rest.endswith("\n"):
                yield rest.rstrip("\n")
                rest = ""
        if rest:
            yield rest


def _lines_to_come(text: TextIO) -> Iterator[str]:
    """Yield what is appended, a line or a part of one at a time."""
    while True:
        line = text.readline()
        if line:
            yield line
        else:
            time.sleep(FOLLOW_SECONDS)
