"""The order gate of one strategy: closed until told otherwise. Pure; time comes from the clock that it is given.

1. It opens by an UNFREEZE without holds, or by a snapshot of one, and by nothing else.
2. It closes by every other event, by a snapshot that is older than what it holds or absent, by an event of an older
   epoch, by a renewal that shows the world further on (what lies between was missed), and when its lease is over.
3. The lease lasts from the sending of the last heartbeat that was answered by a gateway which stands where the gate
   does. One that does not know, or is behind, renews nothing. What a renewal or the lease closed, only rule 1 opens.
4. An older event is dropped. A newer one that does not follow directly is a snapshot: a gateway sends it after a gap.
5. It lets pass what is in the set, in a mode with orders, in the version that runs here.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from qmtl_foundation.execution_domain import ORDER_MODES
from qmtl_sdk.session.model import Phase, Stamp, Told


class GateState(StrEnum):
    """Say whether a gate is open, or why it is closed."""

    OPEN = "open"
    UNKNOWN = "nothing is known of the world yet"
    DOUBTFUL = "what is known may be out of date"
    FROZEN = "the world is frozen"
    HELD = "the world is held"
    ABSENT = "the strategy is not in the activation set"
    OTHER_VERSION = "another version of the strategy is in the activation set"
    NO_ORDERS = "the strategy's mode has no orders"


class OrderGate:
    """Decide whether a strategy may emit orders. ``clock`` is monotonic, in seconds."""

    def __init__(self, strategy_id: str, strategy_version: str, clock: Callable[[], float]) -> None:
        self._strategy_id = strategy_id
        self._version = strategy_version
        self._clock = clock
        self._held: Told | None = None
        self._current = False  # what is held is what the gateway said last
        self._floor = (0, 0)  # epoch and sequence that a renewal showed to be reached
        self._ttl = 0.0
        self._lease_until = 0.0

    # ---- What is told

    def welcome(self, sent: float, ttl: float, snapshot: Told | None) -> bool:
        """Begin a session whose hello was sent at ``sent``; return whether the snapshot was taken."""
        self._ttl = ttl
        self._lease_until = sent + ttl
        self._current = False
        return snapshot is not None and self._take(snapshot)

    def event(self, told: Told) -> bool:
        """Take an event; return whether it was applied."""
        held = self._held
        if held is not None and (told.sequence < held.sequence or (told.sequence == held.sequence and self._current)):
            return False
        return self._take(told)

    def renewed(self, sent: float, epoch: int, sequence: int) -> None:
        """Take the answer to the heartbeat sent at ``sent``: where the gateway stands, 0 where it does not know."""
        self._expire()
        self._floor = (max(self._floor[0], epoch), max(self._floor[1], sequence))
        if self._held is not None and (epoch, sequence) == (self._held.epoch, self._held.sequence):
            self._lease_until = max(self._lease_until, sent + self._ttl)

    # ---- What holds now

    @property
    def told(self) -> Told | None:
        """Return the newest event that was applied."""
        return self._held

    def state(self) -> GateState:
        """Return whether orders may pass, or why not."""
        self._expire()
        held = self._held
        if held is None:
            return GateState.UNKNOWN
        if not self._current or held.epoch < self._floor[0] or held.sequence < self._floor[1]:
            return GateState.DOUBTFUL
        if held.sequence == 0:  # nothing was ever applied to the world
            return GateState.ABSENT
        if held.phase is not Phase.UNFREEZE:
            return GateState.FROZEN
        return GateState.HELD if held.holds else self._admitted(held)

    def stamp(self) -> Stamp | None:
        """Return what to state on intents, None while the gate is closed."""
        if self.state() is not GateState.OPEN or self._held is None:
            return None
        return Stamp(self._held.epoch, self._held.seats[self._strategy_id])

    def _admitted(self, held: Told) -> GateState:
        seat = held.seats.get(self._strategy_id)
        if seat is None:
            return GateState.ABSENT
        if seat.strategy_version != self._version:
            return GateState.OTHER_VERSION
        return GateState.OPEN if seat.mode in ORDER_MODES else GateState.NO_ORDERS

    def _take(self, told: Told) -> bool:
        """Hold what is told unless it is older than what is held, which leaves that in doubt."""
        held = self._held
        if held is not None and (told.epoch < held.epoch or told.sequence < held.sequence):
            self._current = False
            return False
        self._held, self._current = told, True
        return True

    def _expire(self) -> None:
        if self._clock() >= self._lease_until:
            self._current = False
