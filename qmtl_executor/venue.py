"""What an executor needs of a venue. ``tests/support/venue_contract.py`` is what every adapter has to pass.

An adapter serves one world's account. It works on orders by their ids only, and never invents an answer: what it does
not know it does not say, and what did not answer raises ``VenueSilentError``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum, auto
from typing import Protocol

from qmtl_executor.model import Answer, Statement, VenueOrder


class VenueSilentError(Exception):
    """Say that a venue did not answer: what it was asked to do may have happened, or may happen yet."""


class Settlement(Enum):
    """Say how an order whose sending was cut off is settled. A venue that offers neither cannot be an adapter's.

    BY_ID: an id is taken once, whatever comes twice; the order is sent again, and the answer is the answer to that id.
    BY_SESSION: beginning a session ends every other, and nothing that an ended one sent can arrive any more; what the
    venue does not know then it will never know.
    """

    BY_ID = auto()
    BY_SESSION = auto()


class Venue(Protocol):
    """Take orders of one world."""

    @property
    def settlement(self) -> Settlement:
        """Return how orders in doubt are settled here."""

    async def begin(self) -> None:
        """Begin a session; with BY_SESSION every other one is over when this returns."""

    async def send(self, order: VenueOrder) -> Answer:
        """Hand an order over. With BY_ID, an id that the venue has taken before changes nothing and is answered as it
        stands. A rejection is an answer."""

    async def ask(self, order_ids: Sequence[str]) -> Mapping[str, Answer]:
        """Return what became of orders, each with every fill so far; those that the venue does not know are missing."""

    async def cancel(self, order_id: str) -> Answer:
        """Cancel an order that the venue knows and return where it ended: CANCELLED, or what came before."""

    async def statement(self, as_of: datetime | None) -> Statement:
        """Return the account as of a bar's close, None for as of now; a venue that knows only now answers now."""
