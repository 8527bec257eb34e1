"""Proofs on disk, shared by processes: one small file for each, under the id of all that the proof depends on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from qmtl_foundation.identity import bytes_id, canonical_json
from qmtl_sdk.data.disk import DEFAULT_MAX_BYTES, BoundedFolder
from qmtl_sdk.proofs.model import Proof

STORED_CONTEXT: Final = "qmtl 2026-11 cached-proof v1"

_DIGEST_BYTES: Final = len(bytes_id(STORED_CONTEXT, b""))


class ProofCache:
    """Keep proofs by key below one folder, each with a digest of its content."""

    def __init__(self, folder: Path, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self._folder = BoundedFolder(folder, max_bytes)

    def get(self, key: str) -> Proof | None:
        """Return the proof under a key; a missing or damaged file is no proof.

        Raises QmtlError NOT_CONFIGURED when the folder cannot be read.
        """
        content = self._folder.read(_name(key))
        if content is None:
            return None
        body, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
        return Proof.parsed(json.loads(body)) if digest == _digest(body) else None

    def put(self, key: str, proof: Proof) -> None:
        """Keep a proof under a key; raise QmtlError NOT_CONFIGURED when the folder cannot be written."""
        body = canonical_json(proof.canonical())
        self._folder.write(_name(key), body + _digest(body))


def _name(key: str) -> str:
    return key.removeprefix("blake3:")


def _digest(body: bytes) -> bytes:
    return bytes_id(STORED_CONTEXT, body).encode("ascii")
