"""One process of a cluster, which can be killed, paused and started again, and says truly how it is.

It leaves a record in the cluster's directory, by which the directory's guard finds it, should the tests die first.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from qmtl_sdk.local import process
from qmtl_sdk.local.process import Child, Command
from tests.support.waiting import wait_until

READY_SECONDS: Final = 30.0
STOP_SECONDS: Final = 20.0
SIGNAL_SECONDS: Final = 5.0


@dataclass(slots=True)
class Process:
    """Hold how a process is started, and the process once it was; ``ready`` tells whether it serves."""

    name: str
    command: Command
    record: Path
    ready: Callable[[], bool]
    child: Child | None = None
    may_end: bool = False  # it was killed on purpose, or a successor ends it

    @property
    def pid(self) -> int:
        """Return its process id."""
        assert self.child is not None, f"{self.name} was never started"
        return self.child.pid

    @property
    def alive(self) -> bool:
        """Tell whether it runs, paused or not."""
        return self.child is not None and self.child.alive

    @property
    def paused(self) -> bool:
        """Tell whether it is stopped by a signal."""
        return self.alive and state_of(self.pid) == "T"

    def launch(self) -> None:
        """Start it."""
        assert not self.alive, f"{self.name} runs already"
        self.may_end = False
        self.child = process.launch(self.command, self.record)

    def await_ready(self) -> None:
        """Wait until it serves; fail when it ends before."""

        def served() -> bool:
            assert self.alive, f"{self.name} {process.describe_end(self.record)}; see {self.command.log}"
            return self.ready()

        wait_until(served, READY_SECONDS)

    def kill(self) -> None:
        """End it by SIGKILL, and see it dead."""
        self.may_end = True
        self.signal(signal.SIGKILL)
        wait_until(lambda: not self.alive, SIGNAL_SECONDS)

    def pause(self) -> None:
        """Stop it by SIGSTOP, and see it stand still."""
        self.signal(signal.SIGSTOP)
        wait_until(lambda: self.paused, SIGNAL_SECONDS)

    def heal(self) -> None:
        """Let it run where it was paused, start it where it was killed; fail where it ended by itself."""
        self.go_on()
        if not self.alive:
            how = "" if self.child is None or self.may_end else process.describe_end(self.record)
            assert not how, f"{self.name} {how} by itself; see {self.command.log}"
            self.launch()

    def go_on(self) -> None:
        """Let it run again where it was paused."""
        if self.paused:
            self.signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it by SIGTERM, in the end by SIGKILL."""
        if self.child is not None:
            self.go_on()
            process.stop(self.child, signal.SIGTERM, STOP_SECONDS)

    def replace(self) -> float:
        """End it by SIGTERM alone and start it anew, as a rolling update does; return after how many seconds it serves.

        Fail where it does not end by itself, or not well.
        """
        assert self.child is not None
        began = time.monotonic()
        killed = process.stop(self.child, signal.SIGTERM, STOP_SECONDS)
        how = process.describe_end(self.record)
        assert not killed, f"{self.name} did not end within {STOP_SECONDS:g} s of SIGTERM; see {self.command.log}"
        assert how == "exited with code 0", f"{self.name} {how}; see {self.command.log}"
        self.launch()
        self.await_ready()
        return time.monotonic() - began

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)


def state_of(pid: int) -> str:
    """Return the letter of proc(5) for how a process is, empty when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
