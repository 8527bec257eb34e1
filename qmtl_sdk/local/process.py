"""Processes that outlive the one that started them, found again by a record that each writes of itself.

A shell of one line (the keeper) stays as the parent of each process and notes how it ended, so that any later
``qmtl`` can tell. The record holds the machine's boot id, the process's own line of ``/proc/<pid>/stat`` and, in the
end, its exit status. Start ticks and boot id make the record safe against reused pids and moved clocks.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_sdk.local.log_lines import readable

POLL_SECONDS: Final = 0.005
RECORD_SECONDS: Final = 5.0  # a shell writes its record within milliseconds; a machine that swaps takes longer
EXIT_NOTE_SECONDS: Final = 0.5  # between a process's end and its keeper's note of it
SIGNAL_STATUS_BASE: Final = 128  # how a shell reports death by a signal

_STATUS: Final = re.compile(r"[0-9]{1,3}")

# The process itself, before it becomes its program: pid and start ticks stay the same over exec.
_ANNOUNCE: Final = (
    "read -r boot < /proc/sys/kernel/random/boot_id; read -r stat < /proc/$$/stat; "
    'printf "%s\\n%s\\n" "$boot" "$stat" >&0; exec "$@" </dev/null'
)
_KEEP: Final = '/bin/sh -c "$0" sh "$@"; printf "%s\\n" "$?" >&0'
# An asynchronous command gets /dev/null as its input, so the record travels on another descriptor.
_DETACH: Final = 'exec 3<&0; keep=$1; shift; /bin/sh -c "$keep" "$@" <&3 3<&- &'


# Popen(user=...) would fork, and gRPC's handlers of fork() may wait for ever where a channel was opened before; without
# it Popen starts the program by vfork(), which calls none (grpc/grpc issue 34442).
_BECOME: Final = (
    "import os, sys; uid, gid, *argv = sys.argv[1:]; "
    "os.setgroups([]); os.setgid(int(gid)); os.setuid(int(uid)); os.execv(argv[0], argv)"
)


@dataclass(frozen=True, slots=True)
class Account:
    """Name the user that a process runs as (numbers of the operating system)."""

    uid: int
    gid: int
    name: str


@dataclass(frozen=True, slots=True)
class Command:
    """State how a process is started. ``account`` is only for root to give away its rights."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    directory: Path
    log: Path
    account: Account | None = None


@dataclass(frozen=True, slots=True)
class Child:
    """Identify one started process; ``exit_status`` is the shell's, once its keeper has noted it."""

    pid: int
    keeper_pid: int
    boot_id: str
    start_ticks: int
    exit_status: int | None

    @property
    def alive(self) -> bool:
        """Tell whether this very process still runs: a zombie does not, nor a stranger under its pid."""
        stat = _stat(self.pid)
        return (
            stat is not None
            and stat.start_ticks == self.start_ticks
            and stat.state not in "ZX"
            and self.boot_id == _boot_id()
        )

    @property
    def watched(self) -> bool:
        """Tell whether the keeper is still there to note the end; it is older than its process."""
        keeper = _stat(self.keeper_pid)
        return keeper is not None and keeper.start_ticks <= self.start_ticks and keeper.state not in "ZX"


@dataclass(frozen=True, slots=True)
class _Stat:
    pid: int
    state: str
    parent_pid: int
    start_ticks: int


def by(account: Account | None, argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return the command that runs a program, named by its path, with no more than an account's rights."""
    if account is None:
        return argv
    return (sys.executable, "-I", "-S", "-c", _BECOME, str(account.uid), str(account.gid), *argv)


def launch(command: Command, record: Path) -> Child:
    """Start the command in a session of its own and return it once it has written its record.

    Raises QmtlError(DEPENDENCY_UNAVAILABLE) when it cannot even be started.
    """
    try:
        with record.open("w+") as record_file, command.log.open("ab") as log_file:
            _detach(command, record_file, log_file)
    except OSError as error:
        raise _not_started(command, str(error)) from error
    deadline = time.monotonic() + RECORD_SECONDS
    while (child := _read(record)) is None:
        if time.monotonic() > deadline:
            raise _not_started(command, " | ".join(log_tail(command.log, 5)))
        time.sleep(POLL_SECONDS)
    return child


def recall(record: Path) -> Child | None:
    """Return the process of a record, or None without one; of a damaged record the process only while it runs."""
    try:
        return _read(record) or _holder(record)
    except FileNotFoundError:
        return None


def describe_end(record: Path) -> str:
    """Say how a dead process ended: exit code, signal, or that nobody was left to see it."""
    child = recall(record)
    if child is None:
        return "was never started"
    deadline = time.monotonic() + EXIT_NOTE_SECONDS
    while child.exit_status is None and child.watched and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        child = recall(record) or child
    child = recall(record) or child  # the keeper may have written and gone between two looks
    if child.exit_status is None:
        return "ended unseen (killed together with its keeper, or the machine went down)"
    return _status_text(child.exit_status)


def stop(child: Child, with_signal: signal.Signals, grace_seconds: float) -> bool:
    """End the process: first by the signal, after the grace by SIGKILL. Return whether SIGKILL was needed."""
    if not _send(child, with_signal) or _await_end(child, grace_seconds):
        return False
    _send(child, signal.SIGKILL)
    _await_end(child, grace_seconds)
    return True


def log_tail(log: Path, lines: int) -> tuple[str, ...]:
    """Return the last lines of a log, as people read them; an absent log has none."""
    try:
        with log.open(encoding="utf-8", errors="replace") as text:
            return tuple(readable(line.rstrip("\n")) for line in deque(text, maxlen=lines))
    except FileNotFoundError:
        return ()


def _read(record: Path) -> Child | None:
    """Return the process that a record tells of, or None for one that is not whole and sound."""
    lines = record.read_text(encoding="utf-8", errors="replace").splitlines()
    stat = _parse_stat(lines[1]) if len(lines) > 1 else None
    if stat is None:
        return None
    noted = lines[2] if len(lines) > 2 else ""
    return Child(
        stat.pid, stat.parent_pid, lines[0], stat.start_ticks, int(noted) if _STATUS.fullmatch(noted) else None
    )


def _holder(record: Path) -> Child | None:
    """Find the process of a damaged record: its keeper still holds the file open, as its input."""
    stats = [stat for stat in map(_stat, _pids()) if stat is not None]
    keepers = {stat.pid for stat in stats if _holds(stat.pid, record)}
    found = [stat for stat in stats if stat.parent_pid in keepers and stat.pid not in keepers]
    return Child(found[0].pid, found[0].parent_pid, _boot_id(), found[0].start_ticks, None) if found else None


def _pids() -> list[int]:
    return [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdecimal()]


def _holds(pid: int, record: Path) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/fd/0") == str(record)
    except OSError:  # it has ended, or is somebody else's
        return False


def _detach(command: Command, record: IO[str], log: IO[bytes]) -> None:
    launcher = subprocess.Popen(
        by(command.account, ("/bin/sh", "-c", _DETACH, "sh", _KEEP, _ANNOUNCE, *command.argv)),
        env=command.env,
        cwd=command.directory,
        stdin=record,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        umask=0o077,
    )
    launcher.wait()


def _not_started(command: Command, why: str) -> QmtlError:
    program = command.argv[0]
    return QmtlError(
        Reason.DEPENDENCY_UNAVAILABLE, f"{program} could not be started: {why}", metadata={"program": program}
    )


def _await_end(child: Child, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while child.alive:
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _send(child: Child, number: signal.Signals) -> bool:
    if not child.alive:
        return False
    try:
        os.kill(child.pid, number)
    except ProcessLookupError:
        return False
    return True


def _status_text(status: int) -> str:
    if status <= SIGNAL_STATUS_BASE:
        return f"exited with code {status}"
    try:
        return f"was killed by {signal.Signals(status - SIGNAL_STATUS_BASE).name}"
    except ValueError:
        return f"exited with code {status}"


def _stat(pid: int) -> _Stat | None:
    try:
        return _parse_stat(Path(f"/proc/{pid}/stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return None


def _parse_stat(line: str) -> _Stat | None:
    """Read one line of /proc/<pid>/stat (proc(5)): the name in parentheses may itself hold spaces and parentheses."""
    head, _, tail = line.rpartition(")")
    fields = tail.split()
    if len(fields) < 20:  # a record caught while it is written
        return None
    try:
        return _Stat(int(head.split(" ", 1)[0]), fields[0], int(fields[1]), int(fields[19]))
    except ValueError:  # a record that was damaged
        return None


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
