"""Blocks: named arrays with a canonical JSON head as one run of bytes, the same bytes wherever they are made.

Layout: magic (8 bytes), length of the head (uint64, little-endian), head, padding to 64, then each array little-endian
in C order, padded to 64. Read without a copy: the arrays are read-only views of the bytes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from qmtl_foundation.identity import Json, canonical_json

MAGIC: Final = b"QMTLBLK1"
ALIGNMENT_BYTES: Final = 64
DTYPES: Final[Mapping[str, np.dtype[Any]]] = {
    name: np.dtype(name).newbyteorder("<") for name in ("float64", "int64", "int8", "uint8")
}

_PREFIX: Final = struct.Struct("<8sQ")


class BlockError(ValueError):
    """Report bytes that are no block of ours."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Hold named arrays and what is to be said about them."""

    meta: Mapping[str, Json]
    arrays: Mapping[str, NDArray[Any]]


def pack(block: Block) -> bytes:
    """Return the bytes of a block; raise BlockError for an array type other than `DTYPES`."""
    listed: list[Json] = []
    for name, array in block.arrays.items():
        if array.dtype.name not in DTYPES:
            raise BlockError(f"array {name!r} is {array.dtype}; a block holds {', '.join(DTYPES)}")
        listed.append([name, array.dtype.name, list(array.shape)])
    head = canonical_json({"arrays": listed, "meta": block.meta})
    parts = [_padded(_PREFIX.pack(MAGIC, len(head)) + head)]
    parts += [
        _padded(np.ascontiguousarray(array, dtype=DTYPES[array.dtype.name]).tobytes())
        for array in block.arrays.values()
    ]
    return b"".join(parts)


def unpack(content: bytes) -> Block:
    """Return the block of `pack`'s bytes, its arrays read-only views; raise BlockError when they are not such."""
    try:
        magic, length = _PREFIX.unpack_from(content)
        if magic != MAGIC:
            raise BlockError("the bytes do not begin as a block does")
        head = json.loads(content[_PREFIX.size : _PREFIX.size + length])
        offset = _aligned(_PREFIX.size + length)
        arrays: dict[str, NDArray[Any]] = {}
        for name, dtype, shape in head["arrays"]:
            count = int(np.prod(shape, dtype=np.int64))
            arrays[name] = np.frombuffer(content, DTYPES[dtype], count, offset).reshape(shape)
            offset = _aligned(offset + count * DTYPES[dtype].itemsize)
    except (struct.error, KeyError, TypeError, ValueError) as error:
        raise BlockError(f"the bytes are no whole block: {error}") from error
    return Block(head["meta"], arrays)


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def _padded(content: bytes) -> bytes:
    return content.ljust(_aligned(len(content)), b"\0")
