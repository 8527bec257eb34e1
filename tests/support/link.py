"""A TCP connection that can be cut: what listens here passes bytes on to an address, until it is told to break."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Thread

CHUNK = 65_536
JOIN_SECONDS = 5.0


@dataclass(slots=True)
class Link:
    """Pass connections on to ``target``; ``accepted`` counts them."""

    listener: socket.socket
    target: tuple[str, int]
    accepted: int = 0
    _ends: list[socket.socket] = field(default_factory=list)
    _relays: list[Thread] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Return where it listens."""
        host, port = self.listener.getsockname()
        return f"{host}:{port}"

    def cut(self) -> None:
        """Break every connection; new ones are passed on."""
        while self._ends:
            with suppress(OSError):  # it has ended already
                self._ends.pop().shutdown(socket.SHUT_RDWR)

    def serve(self) -> None:
        """Accept until the listener is closed."""
        with suppress(OSError):
            while True:
                here, _ = self.listener.accept()
                there = socket.create_connection(self.target)
                self.accepted += 1
                self._ends += [here, there]
                self._relays.append(Thread(target=_relay, args=(here, there), daemon=True))
                self._relays[-1].start()

    def close(self) -> None:
        """Break every connection and wait until nothing is left of them."""
        self.cut()
        for relay in self._relays:
            relay.join(JOIN_SECONDS)


@contextmanager
def link_to(address: str) -> Iterator[Link]:
    """Yield a link to ``host:port``; it is cut at the end."""
    host, _, port = address.rpartition(":")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        link = Link(listener, (host, int(port)))
        server = Thread(target=link.serve, daemon=True)
        server.start()
        try:
            yield link
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # wakes whoever accepts
            server.join(JOIN_SECONDS)
            link.close()


def _relay(here: socket.socket, there: socket.socket) -> None:
    with here, there:
        back = Thread(target=_pass_on, args=(there, here), daemon=True)
        back.start()
        _pass_on(here, there)
        back.join(JOIN_SECONDS)


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(CHUNK):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
