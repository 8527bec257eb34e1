"""Read a URL's document: bounded in time and size, without redirects, and on the loopback without a proxy."""

from __future__ import annotations

import ssl
from typing import Final
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, ProxyHandler, build_opener

from qmtl_foundation.settings import is_loopback

READ_SECONDS: Final = 5.0


class _Refused(HTTPRedirectHandler):
    """Follow no redirect: a document comes from where the operator said, or not at all."""

    def redirect_request(self, *_: object) -> None:
        """Return no request to follow."""


def fetch(url: str, max_bytes: int, seconds: float = READ_SECONDS, trusted: ssl.SSLContext | None = None) -> bytes:
    """Return what an http or https URL answers; blocks.

    ``seconds`` bounds each wait, ``trusted`` says whose certificates are believed, by default the system's. Raises
    OSError, HTTPException, and ValueError for more than ``max_bytes``.
    """
    direct = (ProxyHandler({}),) if is_loopback(urlsplit(url).hostname or "") else ()
    opener = build_opener(_Refused, *direct, HTTPSHandler(context=trusted))
    with opener.open(url, timeout=seconds) as answer:
        content: bytes = answer.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise ValueError(f"more than {max_bytes} bytes")
    return content


def why(error: BaseException) -> str:
    """Return in a few words why a document could not be read."""
    inner = getattr(error, "reason", error)  # of what urllib raises
    return str(getattr(inner, "strerror", None) or inner) or type(error).__name__
