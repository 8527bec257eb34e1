"""TLS before a PostgreSQL that was built without it, as the one of the tests' wheel is.

It answers the SSLRequest of the protocol ("SSL Session Encryption" of PostgreSQL's manual, 54.2.10) and passes on what
is said then; who asks for no encryption is hung up on.
"""

from __future__ import annotations

import select
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

SSL_REQUEST: Final = struct.pack("!ii", 8, 80_877_103)
PIECE: Final = 65_536


@contextmanager
def encrypted(port: int, behind: int, certificate: Path, key: Path) -> Iterator[None]:
    """Listen on a port of the loopback and pass on what comes to the one behind it, meanwhile."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    class Passing(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):  # either end may hang up
                _pass_on(self.request, context, behind)

    class Listening(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        block_on_close = False

    with Listening(("127.0.0.1", port), Passing) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def _pass_on(plain: socket.socket, context: ssl.SSLContext, behind: int) -> None:
    if plain.recv(len(SSL_REQUEST), socket.MSG_WAITALL) != SSL_REQUEST:
        return
    plain.sendall(b"S")
    with (
        context.wrap_socket(plain, server_side=True) as client,
        socket.create_connection(("127.0.0.1", behind)) as server,
    ):
        ends: dict[socket.socket, socket.socket] = {client: server, server: client}
        while True:
            ready = [client] if client.pending() else select.select(ends, (), ())[0]
            for end in ready:
                piece = end.recv(PIECE)
                if not piece:
                    return
                ends[end].sendall(piece)
