"""Read a URL's document: bounded in time and size, without redirects, and on the loopback without a proxy."""

from __future__ import annotations

import ssl
import time
from http.client import InvalidURL
from typing import Final
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, ProxyHandler, build_opener

from qmtl_foundation.settings import is_loopback

READ_SECONDS: Final = 5.0
CHUNK_BYTES: Final = 64 * 1024
SHOWN: Final = 200  # characters of what somebody else wrote


class _Refused(HTTPRedirectHandler):
    """Follow no redirect: a document comes from where the operator said, or not at all."""

    def redirect_request(self, *_: object) -> None:
        """Return no request to follow."""


def is_url(source: str) -> bool:
    """Tell whether a source is a URL; else it is a file."""
    return "://" in source


def fetch(url: str, max_bytes: int, seconds: float = READ_SECONDS, trusted: ssl.SSLContext | None = None) -> bytes:
    """Return what an http or https URL answers; blocks.

    ``seconds`` bounds each wait, twice as much all of it; ``trusted`` says whose certificates are believed, by default
    the system's. Raises OSError, HTTPException, and ValueError for more than ``max_bytes``.
    """
    direct = (ProxyHandler({}),) if is_loopback(urlsplit(url).hostname or "") else ()
    opener = build_opener(_Refused, *direct, HTTPSHandler(context=trusted))
    until = time.monotonic() + 2 * seconds
    content = bytearray()
    try:
        opened = opener.open(url, timeout=seconds)
    except HTTPError as error:
        error.close()  # it holds the connection
        raise
    with opened as answer:
        while chunk := answer.read1(CHUNK_BYTES):
            content += chunk
            if len(content) > max_bytes:
                raise ValueError(f"more than {max_bytes} bytes")
            if time.monotonic() > until:
                raise TimeoutError("it comes too slowly")
    return bytes(content)


def why(error: BaseException) -> str:
    """Return in a few words why a document could not be read."""
    if isinstance(error, InvalidURL):  # its text repeats the password
        return "no URL that can be asked: with a user, a port that is no number, or a space"
    inner = getattr(error, "reason", error)  # of what urllib raises
    text = str(getattr(inner, "strerror", None) or inner) or type(error).__name__
    if isinstance(error, HTTPError):
        text = f"HTTP {error.code} {error.reason}".rstrip()
    shown = "".join(each if each.isprintable() else "?" for each in text[:SHOWN])  # the other end may have written it
    return shown if len(text) <= SHOWN else f"{shown}…"
