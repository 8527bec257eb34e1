"""Lists that come in pages: read to their end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

from qmtl_sdk.client.gateway import Gateway

PAGE: Final = 1000  # the most that a service gives at once


class _Page(Protocol):
    next_page_token: str


Page = TypeVar("Page", bound=_Page)


async def all_pages(gateway: Gateway, send: Callable[[str], Awaitable[Page]]) -> list[Page]:
    """Return every page of a list; ``send`` asks for the one that a token stands for, empty for the first."""
    pages: list[Page] = []
    token = ""
    while not pages or token:
        pages.append(await _page(gateway, send, token))
        token = pages[-1].next_page_token
    return pages


async def _page(gateway: Gateway, send: Callable[[str], Awaitable[Page]], token: str) -> Page:
    return await gateway.call(lambda: send(token))
