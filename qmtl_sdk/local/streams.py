"""Snapshots of JetStream's streams in files, and streams made of them again: the server's own snapshot API.

A folder per stream, with the files and names of ``nats stream backup``: ``backup.json`` is what the restore is asked
for with, ``stream.tar.s2`` what the server sent. A snapshot is of one moment, durable consumers are in it, and
publishers go on meanwhile.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.terminal import counted
from qmtl_sdk.local.whole_file import new_file

REQUEST: Final = "backup.json"
CONTENT: Final = "stream.tar.s2"
FILES: Final = (REQUEST, CONTENT)  # of each stream's folder
CHUNK_BYTES: Final = 128 * 1024
CONNECT_SECONDS: Final = 5.0
CALL_SECONDS: Final = 30.0  # between two chunks, too: the server may first have to sync its blocks


@dataclass(frozen=True, slots=True)
class Stored:
    """Hold what a stream has: messages, their bytes, the sequences of the first and the last.

    ``first`` is ``last + 1`` where it is empty, however the server counts one that never had any.
    """

    messages: int
    bytes: int
    first: int
    last: int

    def __str__(self) -> str:
        return counted(self.messages, "message")


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    """Yield a connection. Raises QmtlError(DEPENDENCY_UNAVAILABLE)."""
    import nats

    with _answering():
        async with asyncio.timeout(CONNECT_SECONDS):  # the driver would go on for two minutes
            client = await nats.connect(url, allow_reconnect=False)
    try:
        yield client
    finally:
        with _answering():
            await client.close()


async def names(client: Any) -> list[str]:
    """Return the names of all streams. Raises QmtlError(DEPENDENCY_UNAVAILABLE)."""
    with _answering():
        return sorted(each.config.name for each in await client.jetstream().streams_info_iterator())


async def stored(client: Any, stream: str) -> Stored:
    """Return what a stream has now. Raises QmtlError(DEPENDENCY_UNAVAILABLE)."""
    with _answering():
        state = (await client.jetstream().stream_info(stream)).state
    return _held(state.messages, state.bytes, state.first_seq, state.last_seq)


async def save(client: Any, stream: str, folder: Path) -> Stored:
    """Write a snapshot of a stream, blocks checked by the server, into a folder; return what is in it.

    Raises QmtlError: DEPENDENCY_UNAVAILABLE, and as ``new_file``.
    """
    inbox = client.new_inbox()
    with _answering():
        chunks = await client.subscribe(inbox)
    asked = {"deliver_subject": inbox, "chunk_size": CHUNK_BYTES, "no_consumers": False, "jsck": True}
    begun = await _ask(client, f"$JS.API.STREAM.SNAPSHOT.{stream}", asked)
    with new_file(folder / CONTENT) as file:
        while (chunk := await _next(client, chunks)).data:
            file.write(chunk.data)
    with _answering():
        await chunks.unsubscribe()
    _check_end(stream, chunk.headers or {})
    request = {"config": begun["config"], "state": begun["state"]}
    with new_file(folder / REQUEST) as file:
        file.write(json.dumps(request, indent=2).encode() + b"\n")
    return _of_state(begun["state"])


async def load(client: Any, stream: str, folder: Path) -> Stored:
    """Make a stream of its snapshot, where there is none of its name; return what it has then.

    It is a new stream to whoever knew the old one: the server gives it a new time of creation.
    Raises QmtlError(DEPENDENCY_UNAVAILABLE).
    """
    request = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
    begun = await _ask(client, f"$JS.API.STREAM.RESTORE.{stream}", request)
    for chunk in _chunks(folder / CONTENT):
        if answer := await _request(client, begun["deliver_subject"], chunk):
            _refuse(stream, json.loads(answer))
    made = json.loads(await _request(client, begun["deliver_subject"], b""))
    _refuse(stream, made)
    return _of_state(made["state"])


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as content:
        while chunk := content.read(CHUNK_BYTES):
            yield chunk


async def _next(client: Any, chunks: Any) -> Any:
    with _answering():
        chunk = await chunks.next_msg(timeout=CALL_SECONDS)
        if chunk.reply:  # the server sends no more than its window unanswered
            await client.publish(chunk.reply, b"")
    return chunk


async def _ask(client: Any, subject: str, request: object) -> Any:
    answer = json.loads(await _request(client, subject, json.dumps(request).encode()))
    _refuse(subject.rpartition(".")[2], answer)
    return answer


async def _request(client: Any, subject: str, content: bytes) -> bytes:
    with _answering():
        answer: bytes = (await client.request(subject, content, timeout=CALL_SECONDS)).data
    return answer


@contextmanager
def _answering() -> Iterator[None]:
    """Map what the driver raises, and nothing else: its timeouts are OSErrors as well."""
    import nats.errors

    try:
        yield
    except (nats.errors.Error, OSError) as error:
        raise _failed(f"does not answer ({str(error) or type(error).__name__})") from error


def _check_end(stream: str, headers: Any) -> None:
    """Tell the end of a snapshot from its failure: both are empty messages, of which the failed one says why."""
    status = headers.get("Status", "")
    if status not in ("", "204"):
        raise _failed(f"stream {stream}: its snapshot ended with {status} {headers.get('Description', '')}".rstrip())


def _refuse(stream: str, answer: Any) -> None:
    if "error" in answer:
        raise _failed(f"stream {stream}: {answer['error'].get('description', answer['error'])}")


def _failed(what: str) -> QmtlError:
    return QmtlError(Reason.DEPENDENCY_UNAVAILABLE, f"nats: {what}", metadata={"dependency": "nats"})


def _of_state(state: Any) -> Stored:
    return _held(state["messages"], state["bytes"], state["first_seq"], state["last_seq"])


def _held(messages: int, size: int, first: int, last: int) -> Stored:
    return Stored(int(messages), int(size), int(first) if messages else int(last) + 1, int(last))
