"""The issuer's public keys: read from a file or a URL, read again as they age and when a token names an unknown one."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import jwt

from qmtl_foundation.cancellation import going_on, heed_cancellation
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.fetch import READ_SECONDS, fetch, is_url, why
from qmtl_foundation.settings import without_user

ALGORITHMS: Final = ("RS256", "ES256", "EdDSA")
REFRESH_SECONDS: Final = 60.0  # between two readings: so long a withdrawn key may still be believed
RETRY_SECONDS: Final = 5.0  # between two for unknown keys, however many are named
KEPT_SECONDS: Final = 24 * 3_600.0  # how long keys are believed that cannot be read again
MAX_BYTES: Final = 1024 * 1024

_log = logging.getLogger(__name__)


class Keys:
    """Hold the keys of a JWKS by their ids; ``generation`` rises with each change of them.

    ``read`` returns the document, and may block and raise; ``source`` names it in the log.
    """

    def __init__(self, read: Callable[[], bytes], source: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._source = without_user(source)
        self._monotonic = monotonic
        self._keys: Mapping[str | None, jwt.PyJWK] = {}
        self._document = b""
        self._reading = asyncio.Lock()
        self._tried: float | None = None
        self._succeeded = 0.0
        self.generation = 0

    async def find(self, key_id: str | None) -> jwt.PyJWK:
        """Return a key by its id; a token may leave the id out where there is only one key.

        Raises QmtlError: UNAUTHENTICATED for a key that the issuer does not have, DEPENDENCY_UNAVAILABLE while its keys
        were never read, or not for a day.
        """
        if key_id not in self._keys:
            await self.refresh(RETRY_SECONDS)
        self.check_fresh()
        if key_id not in self._keys:
            raise QmtlError(
                Reason.UNAUTHENTICATED,
                f"the token is signed with key {key_id!r}, which the issuer does not have",
                metadata={"fault": "key"},
            )
        return self._keys[key_id]

    def check_fresh(self) -> None:
        """Raise QmtlError DEPENDENCY_UNAVAILABLE while the keys were never read, or not for a day."""
        if not self._keys or self._monotonic() - self._succeeded > KEPT_SECONDS:
            raise QmtlError(
                Reason.DEPENDENCY_UNAVAILABLE,
                "the keys of the token issuer cannot be read",
                metadata={"dependency": "keys"},
            )

    async def refresh(self, least_age: float = 0.0) -> None:
        """Read the keys again, unless that was tried within ``least_age`` seconds; what cannot be read stays."""
        async with self._reading:
            if self._tried is not None and self._monotonic() - self._tried < least_age:
                return
            try:
                async with asyncio.timeout(2 * READ_SECONDS):  # of a name that is looked up for long, too
                    document = await asyncio.to_thread(self._read)
                if document != self._document:
                    self._keys = usable_keys(document)
                    self._document = document
                    self.generation += 1
                self._succeeded = self._monotonic()
            except Exception as error:  # whatever it is made of, and whoever sends it: the next reading is due
                _log.warning("the keys of %s could not be read: %s", self._source, why(error))
            finally:
                self._tried = self._monotonic()

    async def follow(self) -> None:
        """Read the keys again as they age, until cancelled."""
        while True:
            heed_cancellation()
            await asyncio.sleep(REFRESH_SECONDS)
            await self.refresh()


@asynccontextmanager
async def open_keys(source: str) -> AsyncIterator[Keys]:
    """Yield the keys of a file or a URL, read once and kept fresh; a source that cannot be read yet is asked again."""
    keys = Keys(lambda: read_document(source), source)
    await keys.refresh()
    async with going_on(keys.follow()):
        yield keys


def read_document(source: str) -> bytes:
    """Return what a file or a URL holds now; blocks, and raises OSError or ValueError."""
    return fetch(source, MAX_BYTES) if is_url(source) else Path(source).read_bytes()


def usable_keys(document: bytes) -> Mapping[str | None, jwt.PyJWK]:
    """Return the keys that sign, by their ids; a single one stands under None too.

    Raises ValueError, TypeError or jwt.PyJWTError for a document that has none: an empty one must not pass for a
    change.
    """
    stated = json.loads(document)
    if not isinstance(stated, dict):
        raise TypeError("it is no JSON object")
    found = [
        key
        for key in jwt.PyJWKSet.from_dict(stated).keys
        if key.algorithm_name in ALGORITHMS and key.public_key_use in (None, "sig")
    ]
    if not found:
        raise ValueError(f"it has no key for {', '.join(ALGORITHMS)}")
    keys: dict[str | None, jwt.PyJWK] = {key.key_id: key for key in found}
    if len(keys) < len(found):
        raise ValueError("two of its keys have one id")
    if len(found) == 1:
        keys[None] = found[0]
    return keys
