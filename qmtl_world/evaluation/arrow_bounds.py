"""Bound an Arrow IPC stream before anything decodes it: whole, plain record batches, so many rows, so many bytes.

Only the framing and a few fields of the metadata are read (arrow.apache.org/docs/format/Columnar.html, Message.fbs), so
that a small message that declares huge columns, or compresses them, never reaches the decoder.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAX_MESSAGES: Final = 100_000

_CONTINUATION: Final = 0xFFFFFFFF
_SCHEMA: Final = 1
_RECORD_BATCH: Final = 3
# Slots of the flatbuffers tables Message and RecordBatch.
_MESSAGE_HEADER_TYPE: Final = 1
_MESSAGE_HEADER: Final = 2
_MESSAGE_BODY_LENGTH: Final = 3
_BATCH_LENGTH: Final = 0
_BATCH_BUFFERS: Final = 2
_BATCH_COMPRESSION: Final = 3


class StreamRefusedError(ValueError):
    """Report a stream that is no Arrow IPC stream, is cut off, or is beyond a bound."""


@dataclass(frozen=True, slots=True)
class StreamSize:
    """Hold what a stream declares: its rows, and the bytes of its columns after decompression."""

    rows: int
    decoded_bytes: int


@dataclass(frozen=True, slots=True)
class _Table:
    """A flatbuffers table: where it and its vtable begin (flatbuffers.dev/internals)."""

    data: memoryview
    at: int

    def slot(self, index: int) -> int | None:
        """Return where a field stands, None where it has its default."""
        vtable = self.at - _read("<i", self.data, self.at)
        entry = 4 + 2 * index
        if entry + 2 > _read("<H", self.data, vtable):
            return None
        offset = _read("<H", self.data, vtable + entry)
        return self.at + offset if offset else None

    def number(self, index: int, code: str) -> int:
        """Return a scalar field, 0 by default."""
        at = self.slot(index)
        return 0 if at is None else _read(code, self.data, at)

    def table(self, index: int) -> _Table | None:
        """Return a field that is a table."""
        at = self.slot(index)
        return None if at is None else _Table(self.data, at + _read("<I", self.data, at))


def measure_stream(content: bytes, max_rows: int, max_bytes: int) -> StreamSize:
    """Return the size that an Arrow IPC stream declares.

    Raises StreamRefusedError for what is no stream or is cut off, for dictionaries, and where it declares more than
    ``max_rows`` rows or ``max_bytes`` bytes of decompressed columns.
    """
    try:
        return _measure(memoryview(content), max_rows, max_bytes)
    except (struct.error, IndexError, OverflowError):
        raise StreamRefusedError("is no Arrow IPC stream; write one with Polars' write_ipc_stream") from None


def _measure(data: memoryview, max_rows: int, max_bytes: int) -> StreamSize:
    rows = decoded = 0
    for number, (message, body) in enumerate(_messages(data)):
        kind = message.number(_MESSAGE_HEADER_TYPE, "<B")
        if kind != (_RECORD_BATCH if number else _SCHEMA):
            raise StreamRefusedError("holds other messages than a schema and record batches; write plain columns")
        if number > MAX_MESSAGES:
            raise StreamRefusedError(f"has more than {MAX_MESSAGES} batches; write fewer, larger ones")
        if not number:
            continue
        batch = message.table(_MESSAGE_HEADER)
        if batch is None:
            raise StreamRefusedError("has a batch without columns")
        rows += _non_negative(batch.number(_BATCH_LENGTH, "<q"))
        decoded += _decoded_bytes(batch, body)
        if rows > max_rows:
            raise StreamRefusedError(f"declares {rows} rows, at most {max_rows}")
        if decoded > max_bytes:
            raise StreamRefusedError(f"declares {decoded} bytes of columns, at most {max_bytes}")
    return StreamSize(rows, decoded)


def _messages(data: memoryview) -> Iterator[tuple[_Table, memoryview]]:
    """Yield each message's metadata and body; the stream must end with its end marker, and nothing after it."""
    at = 0
    while True:
        if _read("<I", data, at) != _CONTINUATION:
            raise StreamRefusedError("is no Arrow IPC stream; write one with Polars' write_ipc_stream")
        length = _read("<i", data, at + 4)
        at += 8
        if length == 0:
            break
        metadata = _slice(data, at, length)
        message = _Table(metadata, _read("<I", metadata, 0))
        at += length
        body = _slice(data, at, _non_negative(message.number(_MESSAGE_BODY_LENGTH, "<q")))
        at += len(body)
        yield message, body
    if at != len(data):
        raise StreamRefusedError("goes on after its end marker")


def _decoded_bytes(batch: _Table, body: memoryview) -> int:
    at = batch.slot(_BATCH_BUFFERS)
    if at is None:
        return 0
    start = at + _read("<I", batch.data, at)
    is_compressed = batch.table(_BATCH_COMPRESSION) is not None
    total = 0
    for index in range(_read("<I", batch.data, start)):
        offset, length = struct.unpack_from("<qq", batch.data, start + 4 + 16 * index)
        buffer = _slice(body, offset, length)
        # A compressed buffer begins with its decompressed length; -1 says that it is not compressed after all.
        declared = _read("<q", buffer, 0) if is_compressed and length else length
        total += length if declared == -1 else _non_negative(declared)
    return total


def _slice(data: memoryview, at: int, length: int) -> memoryview:
    if at < 0 or length < 0 or at + length > len(data):
        raise StreamRefusedError("is cut off, or states lengths that it does not have")
    return data[at : at + length]


def _non_negative(value: int) -> int:
    if value < 0:
        raise StreamRefusedError("states a negative length")
    return value


def _read(code: str, data: memoryview, at: int) -> int:
    if at < 0:  # a negative offset would read from the end
        raise IndexError(at)
    return int(struct.unpack_from(code, data, at)[0])
