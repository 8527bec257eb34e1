"""What starting and stopping a stack tells while it goes on, and what it says in the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from qmtl_sdk.local.state import Layout


class Phase(StrEnum):
    """Name what just happened to a process of the stack."""

    PREPARING = "preparing"
    STARTING = "starting"
    READY = "ready"
    ALREADY_RUNNING = "already running"
    FOUND_DEAD = "found dead"
    CHANGED = "settings or version changed"
    MADE_ANEW = "made anew"
    STOPPED = "stopped"
    KILLED = "killed"


@dataclass(frozen=True, slots=True)
class Progress:
    """Tell one step: the process, what happened, and a detail (an address, or how it ended)."""

    name: str
    phase: Phase
    detail: str = ""


OnProgress = Callable[[Progress], None]


class Health(StrEnum):
    """Name the states of a process: dead is one that ended without being stopped."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    DEAD = "dead"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """Describe one process; ``ended`` and ``last_lines`` (of its log) are filled for a dead one."""

    name: str
    health: Health
    address: str
    metrics_address: str
    pid: int | None
    ended: str
    last_lines: tuple[str, ...]
    log: Path


@dataclass(frozen=True, slots=True)
class StackStatus:
    """Describe a stack, its processes in the order of their start."""

    state_dir: Path
    processes: tuple[ProcessStatus, ...]

    @property
    def healthy(self) -> bool:
        """Tell whether there is a stack and all of it is healthy."""
        return bool(self.processes) and all(process.health is Health.HEALTHY for process in self.processes)

    @property
    def gateway_address(self) -> str:
        """Return where clients dial, host:port; empty when no gateway was ever started."""
        return next((process.address for process in self.processes if process.name == "gateway"), "")

    @property
    def token_file(self) -> Path:
        """Return the file of the token by which the stack's user calls."""
        return Layout(self.state_dir).user_token


def silent(_progress: Progress) -> None:
    """Take progress and tell nobody."""
