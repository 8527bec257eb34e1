"""Processes of a local stack that are killed or stand still, and are brought back."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from qmtl_sdk.local.progress import ProcessStatus, StackStatus
from qmtl_sdk.local.stack import status, up
from tests.support.credentials import token_of
from tests.support.desk import answers, dial
from tests.support.waiting import wait_until

GONE_SECONDS = 5.0


def heal(state_dir: Path) -> StackStatus:
    """Let go on what stands still, start what is dead, and return when the gateway has found everybody again."""
    for process in status(state_dir).processes:
        if process.pid is not None:
            os.kill(process.pid, signal.SIGCONT)
    stack = up(state_dir)
    with dial(stack.gateway_address, token_of(stack.state_dir)) as client:
        wait_until(lambda: answers(client))
    return stack


def part(stack: StackStatus, name: str) -> ProcessStatus:
    """Return a process of a stack by its name."""
    return next(each for each in stack.processes if each.name == name)


def send(stack: StackStatus, name: str, number: signal.Signals) -> None:
    """Send a process a signal."""
    pid = part(stack, name).pid
    assert pid is not None
    os.kill(pid, number)


def kill(stack: StackStatus, name: str) -> None:
    """Kill -9 a process and wait until it is gone."""
    process = psutil.Process(part(stack, name).pid)
    process.kill()
    psutil.wait_procs([process], timeout=GONE_SECONDS)


@contextmanager
def stopped(stack: StackStatus, name: str) -> Iterator[None]:
    """Let a process stand still meanwhile."""
    send(stack, name, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # it was killed meanwhile
            send(stack, name, signal.SIGCONT)
