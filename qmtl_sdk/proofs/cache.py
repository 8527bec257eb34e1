"""Proofs on disk: one small JSON file for each, under the id of all that the proof depends on."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Protocol

from qmtl_foundation.identity import canonical_json
from qmtl_sdk.proofs.model import Proof


class ProofCache(Protocol):
    """Keep proofs by key."""

    def get(self, key: str) -> Proof | None:
        """Return the proof under a key, None when there is none."""

    def put(self, key: str, proof: Proof) -> None:
        """Keep a proof under a key."""


class FileProofCache:
    """Keep proofs in a folder that processes share; a file appears whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: str) -> Proof | None:
        """Return the proof under a key; a missing or unreadable file is no proof."""
        try:
            return Proof.parsed(json.loads(self._path(key).read_bytes()))
        except (OSError, KeyError, TypeError, ValueError):
            return None

    def put(self, key: str, proof: Proof) -> None:
        """Keep a proof under a key; raise OSError where the folder cannot be written."""
        self._folder.mkdir(parents=True, exist_ok=True)
        handle, written = tempfile.mkstemp(dir=self._folder)
        with os.fdopen(handle, "wb") as file:
            file.write(canonical_json(proof.canonical()))
        Path(written).replace(self._path(key))

    def _path(self, key: str) -> Path:
        return self._folder / f"{key.partition(':')[2]}.json"
