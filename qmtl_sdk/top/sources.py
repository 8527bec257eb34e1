"""Where services expose their metrics, and how that is read."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import Iterable, Sequence
from http.client import HTTPException
from typing import Final
from urllib.parse import urlsplit

from qmtl_foundation.errors import invalid_field
from qmtl_foundation.fetch import fetch, why
from qmtl_foundation.settings import Address
from qmtl_sdk.client.encryption import CA_VARIABLE
from qmtl_sdk.client.loop import in_thread
from qmtl_sdk.local import state
from qmtl_sdk.top.figures import METRICS, Reading, Series, Source

READ_SECONDS: Final = 2.0
MAX_BYTES: Final = 4 * 1024 * 1024
PATH: Final = "/metrics"


def sources_of(urls: Sequence[str], gateway: Address) -> tuple[Source, ...]:
    """Return the sources that are named, else those of the local stack if the gateway is its own.

    Raises QmtlError INVALID_FIELD for what is no URL, NOT_CONFIGURED for a local stack whose addresses are lost.
    """
    now = time.monotonic()
    if urls:
        return tuple(Source(urlsplit(url).netloc, url, now) for url in map(_checked, dict.fromkeys(urls)))
    endpoints = state.endpoints_of(gateway).items()
    return tuple(
        Source(name, f"http://{each.metrics_address}{PATH}", now) for name, each in endpoints if each.metrics_address
    )


async def read_all(sources: Iterable[Source]) -> tuple[Source, ...]:
    """Return the sources after one attempt to read each, all at once."""
    return tuple(await asyncio.gather(*map(_read, sources)))


async def _read(source: Source) -> Source:
    try:
        async with asyncio.timeout(2 * READ_SECONDS):  # of one that answers drop by drop
            series = await in_thread(_exposed, source.url)
    except (OSError, TimeoutError, HTTPException, ValueError) as error:
        return source.failed("no answer in time" if isinstance(error, TimeoutError) else why(error))
    return source.read(Reading(time.monotonic(), series))


def _exposed(url: str) -> Series:
    text = fetch(url, MAX_BYTES, READ_SECONDS, _trusted() if url.startswith("https") else None).decode()
    return parsed(text)


def parsed(text: str) -> Series:
    """Return the samples of an exposition that are looked at. Raises ValueError for what is none."""
    from prometheus_client.parser import text_string_to_metric_families

    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name in METRICS
    }


def _trusted() -> ssl.SSLContext:
    """Return whose certificates are believed, as for the gateway's. Raises OSError for a file that is unusable."""
    return ssl.create_default_context(cafile=os.environ.get(CA_VARIABLE) or None)


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise invalid_field("metrics", f"{url!r} is no URL; write such as http://127.0.0.1:9001{PATH}")
    if "@" in parts.netloc:
        raise invalid_field("metrics", "a URL with a user is shown to whoever looks on; leave user and password out")
    return url if parts.path not in {"", "/"} else parts._replace(path=PATH).geturl()
