"""The issuer's keys: when they are read, what counts as keys, and what happens while they cannot be read."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import BadStatusLine, IncompleteRead
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from qmtl_foundation.auth.keys import KEPT_SECONDS, RETRY_SECONDS, Keys, open_keys
from qmtl_foundation.auth.settings import AuthSettings
from qmtl_foundation.errors import QmtlError, Reason
from tests.support.beside import free_port
from tests.unit.qmtl_foundation.auth.test_tokens import document


@dataclass(slots=True)
class Source:
    """Be a document that can be away, and count its readings; time stands still but for what a test adds."""

    content: bytes = field(default_factory=lambda: document("EdDSA"))
    away: bool = False
    fault: Exception = field(default_factory=lambda: OSError("away"))
    readings: int = 0
    now: float = 1_000.0

    def __call__(self) -> bytes:
        self.readings += 1
        if self.away:
            raise self.fault
        return self.content

    def keys(self) -> Keys:
        return Keys(self, "a test", lambda: self.now)


async def reason(keys: Keys, key_id: str) -> Reason:
    with pytest.raises(QmtlError) as caught:
        await keys.find(key_id)
    return caught.value.reason


async def test_a_key_that_is_known_is_found_without_reading_again() -> None:
    source = Source()
    keys = source.keys()
    for _ in range(3):
        assert (await keys.find("EdDSA")).algorithm_name == "EdDSA"
    assert source.readings == 1


async def test_an_unknown_key_is_looked_for_but_not_again_and_again() -> None:
    source = Source()
    keys = source.keys()
    for _ in range(5):
        assert await reason(keys, "ES256") is Reason.UNAUTHENTICATED
    assert source.readings == 1
    source.content = document("EdDSA", "ES256")
    source.now += RETRY_SECONDS
    assert (await keys.find("ES256")).algorithm_name == "ES256"
    assert source.readings == 2


async def test_keys_that_cannot_be_read_are_unavailable_at_first_and_kept_for_a_day_later() -> None:
    source = Source(away=True)
    keys = source.keys()
    assert await reason(keys, "EdDSA") is Reason.DEPENDENCY_UNAVAILABLE
    source.away, source.now = False, source.now + RETRY_SECONDS
    await keys.find("EdDSA")
    source.away, source.now = True, source.now + KEPT_SECONDS
    await keys.refresh()
    await keys.find("EdDSA")
    source.now += 1
    assert await reason(keys, "EdDSA") is Reason.DEPENDENCY_UNAVAILABLE


@pytest.mark.parametrize("fault", [IncompleteRead(b""), BadStatusLine("x"), RecursionError(), TimeoutError()])
async def test_whatever_goes_wrong_while_reading_is_over_with_the_next_reading(fault: Exception) -> None:
    source = Source(away=True, fault=fault)
    keys = source.keys()
    await keys.refresh()
    source.away = False
    await keys.refresh()
    await keys.find("EdDSA")


@pytest.mark.parametrize(
    "spoilt",
    [
        b"",
        b"no JSON",
        b"{}",
        b"[]",
        b'{"keys": []}',
        b'{"keys": [{"kty": "oct", "k": "c2VjcmV0", "alg": "HS256", "kid": "EdDSA"}]}',
        document("EdDSA", use="enc"),
        json.dumps({"keys": json.loads(document("EdDSA"))["keys"] * 2}).encode(),
    ],
)
async def test_a_document_without_usable_keys_does_not_take_the_place_of_a_good_one(spoilt: bytes) -> None:
    source = Source()
    keys = source.keys()
    await keys.find("EdDSA")
    source.content = spoilt
    await keys.refresh()
    assert (await keys.find("EdDSA")).algorithm_name == "EdDSA"
    assert keys.generation == 1
    fresh = Source(content=spoilt).keys()
    assert await reason(fresh, "EdDSA") is Reason.DEPENDENCY_UNAVAILABLE


async def test_keys_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    async with open_keys(str(file)) as keys:
        assert await reason(keys, "EdDSA") is Reason.DEPENDENCY_UNAVAILABLE
        file.write_bytes(document("EdDSA"))
        await keys.refresh()
        await keys.find("EdDSA")


@contextmanager
def serving(status: int, content: bytes, location: str = "") -> Iterator[str]:
    """Serve one document over HTTP on the loopback, and yield where."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:  # quiet
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/jwks"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def test_keys_are_read_from_a_url() -> None:
    with serving(200, document("ES256")) as url:
        async with open_keys(url) as keys:
            assert (await keys.find("ES256")).algorithm_name == "ES256"


@pytest.mark.parametrize("content", [document("EdDSA") + b" " * 1024 * 1024, b"<html>"])
async def test_what_a_url_answers_is_bounded_and_must_be_keys(content: bytes) -> None:
    with serving(200, content) as url:
        async with open_keys(url) as keys:
            assert await reason(keys, "EdDSA") is Reason.DEPENDENCY_UNAVAILABLE


async def test_a_redirect_is_not_followed() -> None:
    with serving(200, document("EdDSA")) as elsewhere, serving(302, b"", elsewhere) as url:
        async with open_keys(url) as keys:
            assert await reason(keys, "EdDSA") is Reason.DEPENDENCY_UNAVAILABLE


@pytest.mark.parametrize("place", ["hidden:hidden@127.0.0.1:{port}/keys", "127.0.0.1:{port}/keys?apikey=hidden"])
async def test_the_log_does_not_show_what_a_url_keeps(place: str, caplog: pytest.LogCaptureFixture) -> None:
    async with open_keys(f"http://{place.format(port=free_port())}"):
        pass
    assert "could not be read" in caplog.text
    assert "hidden" not in caplog.text


def test_keys_by_plain_http_come_from_this_machine_only() -> None:
    AuthSettings(jwks="http://127.0.0.1:1/jwks", issuer="i")
    AuthSettings(jwks="https://issuer.example/jwks", issuer="i")
    for refused in ("http://a:hidden@issuer.example/jwks", "ftp://issuer.example/jwks?key=hidden", "file:///jwks"):
        with pytest.raises(QmtlError, match="must be https: whoever") as caught:
            AuthSettings(jwks=refused, issuer="i")
        assert caught.value.metadata == {"setting": "QMTL_AUTH_JWKS"}
        assert "hidden" not in caught.value.message


@pytest.mark.parametrize("source", ["https://[issuer.example/jwks", "https://a:hid[den@issuer.example/jwks"])
def test_a_source_of_keys_that_cannot_be_taken_apart_is_refused(source: str) -> None:
    with pytest.raises(QmtlError, match=r"QMTL_AUTH_JWKS is .* no URL") as caught:
        AuthSettings(jwks=source, issuer="i")
    assert (caught.value.reason, caught.value.metadata) == (Reason.NOT_CONFIGURED, {"setting": "QMTL_AUTH_JWKS"})
    assert "hid" not in caught.value.message
    AuthSettings(jwks="//[a file", issuer="i")
