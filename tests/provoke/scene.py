"""What provocations strike: a stack with a client, worlds, and calls that go on beside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Final

from qmtl_sdk.local.progress import StackStatus
from qmtl_sdk.local.state import Layout
from tests.provoke.prometheus import Prometheus
from tests.support.credentials import token_of
from tests.support.desk import Desk
from tests.support.striking import heal

REPEAT_SECONDS: Final = 0.25
END_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Seen:
    """Say what was seen to strike, and the labels that the alert must have."""

    what: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Scene:
    """Hold a stack, a client of its gateway, and the Prometheus that watches it."""

    stack: StackStatus
    desk: Desk
    prometheus: Prometheus

    @property
    def layout(self) -> Layout:
        """Return where the stack's files are."""
        return Layout(self.stack.state_dir)

    @property
    def folder(self) -> Path:
        """Return the stack's directory."""
        return self.stack.state_dir

    @property
    def token(self) -> str:
        """Return a token that may do everything."""
        return token_of(self.stack.state_dir)

    def heal(self) -> None:
        """Start what is dead, and let go on what stands still."""
        self.stack = heal(self.stack.state_dir)


@contextmanager
def repeating(call: Callable[[], object]) -> Iterator[None]:
    """Make a call again and again meanwhile, at least once; raise at the end what it raised."""
    over, faults = Event(), list[BaseException]()

    def repeat() -> None:
        while True:
            try:
                call()
            except BaseException as error:  # it is raised by whom it concerns
                faults.append(error)
            if faults or over.wait(REPEAT_SECONDS):
                return

    thread = Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(END_SECONDS)
    assert not thread.is_alive(), "a repeated call does not end"
    for fault in faults:
        raise fault
