"""What was accepted lately, so that an id which stands for another content is refused at once. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_gateway.orders.model import Intent

KEPT: Final = 65_536  # intents, some 20 MB


class Accepted:
    """Remember the newest intents of this gateway, by id, with their epoch and a hash of their content.

    A courtesy to callers: the executor, which has a journal of all of them, is the authority. Ids are compared within
    an epoch only; a Fence may have caught the intent of an older one, and its id is not used up then.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._intents: dict[str, tuple[int, int]] = {}

    def check(self, intents: Iterable[Intent]) -> None:
        """Raise INTENT_EXISTS for an id that was accepted with another content in the same epoch."""
        for intent in intents:
            known = self._intents.get(intent.intent_id)
            if known is not None and known[0] == intent.epoch and known[1] != hash(intent.content):
                raise QmtlError(
                    Reason.INTENT_EXISTS,
                    f"intent {intent.intent_id} ({intent.symbol} at {intent.bar_time}) was accepted with another "
                    "content; a wish does not change once it is sent",
                    metadata={"intent_id": intent.intent_id},
                )

    def add(self, intents: Iterable[Intent]) -> None:
        """Remember intents that were stored, and forget the oldest beyond the bound."""
        for intent in intents:
            self._intents.pop(intent.intent_id, None)  # so that it counts as the newest
            self._intents[intent.intent_id] = (intent.epoch, hash(intent.content))
        while len(self._intents) > self._kept:
            del self._intents[next(iter(self._intents))]
