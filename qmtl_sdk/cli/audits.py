"""The audit at the gateway: read, and verified here, entry by entry."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from qmtl_foundation.audit import CUT, HASH, Entry, Fault, Head, verify
from qmtl_foundation.errors import QmtlError, Reason, invalid_field
from qmtl_sdk._pb.qmtl.audit.v1 import (
    AuditEntry,
    AuditHead,
    ListAuditEntriesRequest,
    ListAuditEntriesResponse,
    ListAuditHeadsRequest,
    ListAuditHeadsResponse,
)
from qmtl_sdk.cli.documents import Document, moment
from qmtl_sdk.cli.session import CALL_SECONDS, Session
from qmtl_sdk.client.gateway import Gateway
from qmtl_sdk.client.paging import PAGE, all_pages

UNTIMED: Final = datetime(1970, 1, 1, tzinfo=UTC)  # of an entry that came without its time, which no entry is


def list_newest(session: Session, world: str, limit: int) -> list[Document]:
    """Return up to ``limit`` of a world's newest entries, the newest first."""

    async def work(gateway: Gateway) -> list[AuditEntry]:
        send = _asking(gateway, world, min(PAGE, limit))
        page = await gateway.call(partial(send, ""))
        entries = list(page.entries)
        while page.next_page_token and len(entries) < limit:
            page = await gateway.call(partial(send, page.next_page_token))
            entries += page.entries
        return entries[:limit]

    return [_document(each) for each in session.ask(work)]


def verified(session: Session, world: str | None, since: Mapping[str, Head]) -> list[Document]:
    """Return what a world's audit, or each that the caller may read, ends with, and all that is wrong with it.

    Each that is in ``since`` is looked for, though nothing of it may be left.
    """

    async def work(gateway: Gateway) -> list[Document]:
        listed = [world] if world is not None else sorted({*since, *(each.world for each in await _heads(gateway))})
        return [await _verified(gateway, each, since.get(each)) for each in listed]

    return session.ask(work)


def read_since(file: Path | None, world: str | None) -> dict[str, Head]:
    """Return what an earlier ``qmtl audit verify --output json`` noted; that of ``world`` must be among it.

    Raises QmtlError INVALID_FIELD.
    """
    if file is None:
        return {}
    try:
        noted = dict(_noted(each) for each in json.loads(file.read_text(encoding="utf-8"))["worlds"] if each["noted"])
    except OSError as error:
        raise invalid_field("since", f"{file} cannot be read ({error.strerror}); name an earlier answer") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        mend = "name what `qmtl audit verify --output json` wrote"
        raise invalid_field("since", f"{file} is no answer of an earlier verification; {mend}") from error
    if world is not None and world not in noted:
        raise invalid_field("since", f"{file} notes nothing of world {world}; verify it without --since, and keep that")
    return noted


def _noted(document: Mapping[str, Any]) -> tuple[str, Head]:
    name, noted = document["world"], document["noted"]
    number, hashed = noted["number"], noted["hash"]
    if not isinstance(name, str) or type(number) is not int or number < 1 or not HASH.fullmatch(hashed):
        raise ValueError(name)
    return name, Head(number, hashed)


async def _heads(gateway: Gateway) -> list[AuditHead]:
    def send(token: str) -> Awaitable[ListAuditHeadsResponse]:
        request = ListAuditHeadsRequest(page_size=PAGE, page_token=token)
        return gateway.audits.list_audit_heads(request, timeout=CALL_SECONDS)

    return [head for page in await all_pages(gateway, send) for head in page.heads]


def _asking(gateway: Gateway, world: str, size: int = PAGE) -> Callable[[str], Awaitable[ListAuditEntriesResponse]]:
    """Return what asks for the page that a token stands for."""

    def send(token: str) -> Awaitable[ListAuditEntriesResponse]:
        request = ListAuditEntriesRequest(world=world, page_size=size, page_token=token)
        return gateway.audits.list_audit_entries(request, timeout=CALL_SECONDS)

    return send


async def _verified(gateway: Gateway, world: str, anchor: Head | None) -> Document:
    try:
        pages = await all_pages(gateway, _asking(gateway, world))
    except QmtlError as error:
        if anchor is None or error.reason is not Reason.WORLD_NOT_FOUND:
            raise
        return _told(world, Head(), anchor, [Fault(1, anchor.number, CUT)])
    stated = pages[0].head or AuditHead()
    head = Head(stated.number, stated.hash)
    return _told(world, head, anchor, list(verify(_entries(world, pages), head, anchor)))


def _entries(world: str, pages: list[ListAuditEntriesResponse]) -> Iterator[Entry]:
    for page in pages:
        for each in page.entries:
            yield Entry(
                world, each.number, each.event, each.actor, each.reason, each.detail, each.run_id, each.epoch,
                each.sequence, each.create_time or UNTIMED, each.hash,
            )  # fmt: skip


def _told(world: str, head: Head, anchor: Head | None, faults: list[Fault]) -> Document:
    """Return what was found. What is noted for a later day is the end of an audit that stands, else what was before."""
    noted = anchor if faults else head
    return {
        "world": world,
        "number": head.number,
        "hash": head.hash,
        "since": None if anchor is None else anchor.number,
        "faults": [{"first": each.first, "last": each.last, "what": each.what} for each in faults],
        "noted": {"number": noted.number, "hash": noted.hash} if noted is not None and noted.number else None,
    }


def _document(entry: AuditEntry) -> Document:
    return {
        "world": entry.world,
        "number": entry.number,
        "event": entry.event,
        "actor": entry.actor,
        "reason": entry.reason,
        "detail": entry.detail,
        "run_id": entry.run_id,
        "epoch": entry.epoch,
        "sequence": entry.sequence,
        "create_time": moment(entry.create_time),
        "hash": entry.hash,
    }
