"""The audit at the gateway: read, and verified here, entry by entry."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from qmtl_foundation.audit import HASH, Entry, Fault, Head, verify
from qmtl_foundation.errors import invalid_field
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
    """Return a world's newest entries, the newest first."""
    request = ListAuditEntriesRequest(world=world, page_size=limit)
    answer = session.ask(
        lambda gateway: gateway.call(lambda: gateway.audits.list_audit_entries(request, timeout=CALL_SECONDS))
    )
    return [_document(each) for each in answer.entries]


def verified(session: Session, world: str | None, since: Mapping[str, Head]) -> list[Document]:
    """Return what a world's audit, or each that the caller may read, ends with, and all that is wrong with it."""

    async def work(gateway: Gateway) -> list[Document]:
        if world is not None:
            return [await _verified(gateway, world, since.get(world))]
        listed = [each.world for each in await _heads(gateway)]
        found = [await _verified(gateway, each, since.get(each)) for each in listed]
        return [*found, *(_gone(name, since[name]) for name in sorted(since.keys() - set(listed)))]

    return session.ask(work)


def read_since(file: Path | None) -> dict[str, Head]:
    """Return the heads of an earlier ``qmtl audit verify --output json``. Raises QmtlError INVALID_FIELD."""
    if file is None:
        return {}
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        return dict(_noted(each) for each in document["worlds"])
    except OSError as error:
        raise invalid_field("since", f"{file} cannot be read ({error.strerror}); name an earlier answer") from error
    except (ValueError, KeyError, TypeError) as error:
        mend = "name what `qmtl audit verify --output json` wrote"
        raise invalid_field("since", f"{file} is no answer of an earlier verification; {mend}") from error


def _noted(document: Mapping[str, Any]) -> tuple[str, Head]:
    name, number, noted = document["world"], document["number"], document["hash"]
    if not isinstance(name, str) or type(number) is not int or not HASH.fullmatch(noted):
        raise ValueError(name)
    return name, Head(number, noted)


async def _heads(gateway: Gateway) -> list[AuditHead]:
    def send(token: str) -> Awaitable[ListAuditHeadsResponse]:
        request = ListAuditHeadsRequest(page_size=PAGE, page_token=token)
        return gateway.audits.list_audit_heads(request, timeout=CALL_SECONDS)

    return [head for page in await all_pages(gateway, send) for head in page.heads]


async def _verified(gateway: Gateway, world: str, anchor: Head | None) -> Document:
    def send(token: str) -> Awaitable[ListAuditEntriesResponse]:
        request = ListAuditEntriesRequest(world=world, page_size=PAGE, page_token=token)
        return gateway.audits.list_audit_entries(request, timeout=CALL_SECONDS)

    pages = await all_pages(gateway, send)
    stated = pages[0].head or AuditHead()
    head = Head(stated.number, stated.hash)
    faults = verify(_entries(world, pages), head, anchor)
    return _told(world, head, list(faults))


def _entries(world: str, pages: list[ListAuditEntriesResponse]) -> Iterator[Entry]:
    for page in pages:
        for each in page.entries:
            yield Entry(
                world, each.number, each.event, each.actor, each.reason, each.detail, each.run_id, each.epoch,
                each.sequence, each.create_time or UNTIMED, each.hash,
            )  # fmt: skip


def _gone(world: str, anchor: Head) -> Document:
    return _told(world, Head(), [Fault(1, anchor.number, "missing: a later end was noted")])


def _told(world: str, head: Head, faults: list[Fault]) -> Document:
    told = [{"first": each.first, "last": each.last, "what": each.what} for each in faults]
    return {"world": world, "number": head.number, "hash": head.hash, "faults": told}


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
