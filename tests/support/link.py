"""TCP connections that can be cut, held and slowed: what listens here passes bytes on, as long as it is let."""

from __future__ import annotations

import fcntl
import socket
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

CHUNK = 65_536
JOIN_SECONDS = 5.0

Target = tuple[str, int] | Path
"""Host and port, or the path of a Unix socket."""


@dataclass(slots=True)
class Link:
    """Pass connections on to the first of ``targets`` that takes them; ``accepted`` counts them.

    ``delay`` is how many seconds every chunk of bytes waits on its way, ``delayed`` how many did. ``stalled`` counts
    the chunks that are held now, in either direction.
    """

    listener: socket.socket
    targets: Sequence[Target]
    accepted: int = 0
    delay: float = 0.0
    delayed: int = 0
    stalled: int = 0
    _held: int = 0
    _flows: Event = field(default_factory=Event)
    _ends: list[socket.socket] = field(default_factory=list)
    _relays: list[Thread] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Let bytes flow."""
        self._flows.set()

    @property
    def address(self) -> str:
        """Return where it listens."""
        host, port = self.listener.getsockname()
        return f"{host}:{port}"

    @property
    def waiting(self) -> int:
        """Return how many bytes to the target are held, those that are not read yet too."""
        return self._held + sum(_unread(here) for here in tuple(self._ends[::2]))

    def cut(self) -> int:
        """Break every connection; new ones are passed on. Return how many there were."""
        broken = 0
        while self._ends:
            with suppress(OSError):  # it has ended already
                self._ends.pop().shutdown(socket.SHUT_RDWR)
                broken += 1
        return broken // 2

    def hold(self) -> None:
        """Keep all bytes where they are, on their way, as a network does that has stalled."""
        self._flows.clear()

    def release(self) -> None:
        """Let bytes go on, those that were held first."""
        self._flows.set()

    def serve(self) -> None:
        """Accept until the listener is closed."""
        with suppress(OSError):
            while True:
                here, _ = self.listener.accept()
                there = self._reach()
                if there is None:
                    here.close()
                    continue
                self.accepted += 1
                self._ends += [here, there]
                self._relays = [each for each in self._relays if each.is_alive()]
                self._relays.append(Thread(target=self._relay, args=(here, there), daemon=True))
                self._relays[-1].start()

    def close(self) -> None:
        """Break every connection and wait until nothing is left of them."""
        self.release()
        self.cut()
        for relay in self._relays:
            relay.join(JOIN_SECONDS)

    def _reach(self) -> socket.socket | None:
        for target in self.targets:
            with suppress(OSError):
                return _connected(target)
        return None

    def _relay(self, here: socket.socket, there: socket.socket) -> None:
        with here, there:
            back = Thread(target=self._pass_on, args=(there, here, 0), daemon=True)
            back.start()
            self._pass_on(here, there, 1)
            back.join(JOIN_SECONDS)

    def _pass_on(self, source: socket.socket, sink: socket.socket, counts: int) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                if self.delay:
                    time.sleep(self.delay)
                    self.delayed += 1
                self._pass(counts * len(data))
                sink.sendall(data)
        with suppress(OSError):  # also after a reset: the other side must not take the connection for alive
            sink.shutdown(socket.SHUT_WR)

    def _pass(self, size: int) -> None:
        """Wait while bytes are held."""
        self._held += size
        self.stalled += 1
        self._flows.wait()
        self._held -= size
        self.stalled -= 1


@contextmanager
def link_to(*targets: str | Path) -> Iterator[Link]:
    """Yield a link to the first of ``host:port`` or paths of Unix sockets that answers; it is cut at the end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        link = Link(listener, [_parsed(each) for each in targets])
        server = Thread(target=link.serve, daemon=True)
        server.start()
        try:
            yield link
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # wakes whoever accepts
            server.join(JOIN_SECONDS)
            link.close()


def _unread(connection: socket.socket) -> int:
    """Return how many bytes the kernel has for a connection that is still open, by FIONREAD of ioctl(2)."""
    try:
        return int.from_bytes(fcntl.ioctl(connection, termios.FIONREAD, bytes(4)), sys.byteorder)
    except (OSError, ValueError):
        return 0


def _parsed(target: str | Path) -> Target:
    if isinstance(target, Path):
        return target
    host, _, port = target.rpartition(":")
    return host, int(port)


def _connected(target: Target) -> socket.socket:
    if isinstance(target, tuple):
        return socket.create_connection(target)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(target))
    except OSError:
        connection.close()
        raise
    return connection
