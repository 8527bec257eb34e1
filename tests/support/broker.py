"""A nats-server of a test's own, to be stopped, killed and brought back."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from qmtl_sdk.local import nats
from qmtl_sdk.local.stack import up
from tests.support.credentials import nats_url_of


class Broker:
    """Be a nats-server of a test's own, to be stopped and killed; ``up`` brings it back at its address."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.start()

    def start(self) -> None:
        """Start it, or again after it was killed."""
        (found,) = (each for each in up(self._directory, services=()).processes if each.name == nats.NAME)
        self.url = nats_url_of(found)
        self._process = psutil.Process(found.pid)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Keep it from answering."""
        self._process.suspend()
        try:
            yield
        finally:
            with suppress(psutil.NoSuchProcess):  # it may have been killed
                self._process.resume()

    def kill(self) -> None:
        """Kill it, stopped or not."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
