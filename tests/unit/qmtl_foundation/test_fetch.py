"""What is fetched is bounded, and what the other end writes is shown as printable text."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from qmtl_foundation.fetch import SHOWN, fetch, why


@contextmanager
def serving(drops: int = 1, reason: str = "OK", code: int = 200) -> Iterator[tuple[str, threading.Event]]:
    """Yield the URL of a server that sends a byte a while, as often as asked, and what lets it go on at once."""
    hurry = threading.Event()

    class Dropping(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # named by its library
            self.send_response_only(code, reason)
            self.end_headers()
            for _ in range(drops):
                self.wfile.write(b"x")
                self.wfile.flush()
                hurry.wait(0.05)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Dropping) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", hurry
        finally:
            hurry.set()
            server.shutdown()
            thread.join()


def test_a_document_is_read_whole() -> None:
    with serving(drops=3) as (url, hurry):
        hurry.set()
        assert fetch(url, 3) == b"xxx"
        with pytest.raises(ValueError, match="more than 2 bytes"):
            fetch(url, 2)


def test_one_that_comes_drop_by_drop_is_given_up() -> None:
    with serving(drops=100) as (url, _), pytest.raises(TimeoutError, match="too slowly"):
        fetch(url, 1_000, seconds=0.1)


def test_what_the_other_end_writes_is_printable_and_short() -> None:
    with serving(code=500, reason="\x1b]0;owned\x07" + "x" * 9_000) as (url, _), pytest.raises(OSError) as failed:  # noqa: PT011  # whichever
        fetch(url, 10)
    said = why(failed.value)
    assert said.startswith("HTTP 500 ?]0;owned")
    assert said.isprintable()
    assert len(said) <= SHOWN + 1
