"""Who holds an order gate of a world: the runners on this gateway, their leases, and what they acknowledged. Pure.

A runner is waited for until it acknowledged an event, or its lease is over: five seconds after its last heartbeat,
also when its connection broke, for a broken connection closes no gate. What it acknowledges must be an event that it
was told, exactly; the same again, and one older than what it acknowledged since, change nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_gateway.sessions.model import Event, Gate, Phase

LEASE_SECONDS: Final = 5.0
FIELDS: Final = ("world", "participant", "incarnation", "sequence", "epoch", "run_id", "phase")  # that may be refused
TOLD_EVENTS: Final = 256  # remembered for each runner; one that is further behind is told the newest alone


@dataclass(frozen=True, slots=True)
class Holder:
    """Name one start of a runner."""

    world: str
    strategy_id: str
    incarnation: str


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Hold what a runner says that it applied. ``participant`` is its strategy, ``phase`` None where it states none."""

    world: str
    participant: str
    incarnation: str
    epoch: int
    run_id: str
    phase: Phase | None
    sequence: int


@dataclass(slots=True)
class _Held:
    """Hold one runner: until when its lease lasts, its connections, and the events that it was told, by sequence."""

    until: float = 0.0
    connections: int = 0
    acknowledged: Event | None = None
    told: dict[int, Event] = field(default_factory=dict)

    @property
    def sequence(self) -> int:
        """Return the sequence of the newest event that it acknowledged, 0 for none."""
        return 0 if self.acknowledged is None else self.acknowledged.gate.sequence


class Holders:
    """Hold the runners of each world. ``clock`` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._worlds: dict[str, dict[Holder, _Held]] = {}

    def connect(self, holder: Holder) -> None:
        """Let a runner begin a session, or go on with one."""
        held = self._worlds.setdefault(holder.world, {}).setdefault(holder, _Held())
        held.connections += 1
        self.renew(holder)

    def disconnect(self, holder: Holder) -> None:
        """Note that a connection of a runner broke; it is waited for all the same while its lease lasts."""
        self._worlds[holder.world][holder].connections -= 1
        self._forget(holder.world)

    def renew(self, holder: Holder) -> None:
        """Let the lease of a connected runner begin anew."""
        self._worlds[holder.world][holder].until = self._clock() + LEASE_SECONDS

    def tell(self, holder: Holder, event: Event) -> None:
        """Note that an event is on its way to a connected runner."""
        told = self._worlds[holder.world][holder].told
        told[event.gate.sequence] = event
        while len(told) > TOLD_EVENTS:
            del told[min(told)]

    def acknowledged(self, holder: Holder) -> int:
        """Return the sequence of the newest event that a connected runner acknowledged, 0 for none."""
        return self._worlds[holder.world][holder].sequence

    def acknowledge(self, holder: Holder, said: Acknowledged) -> Event | None:
        """Take what a connected runner says, and return the event if it is newly acknowledged.

        Raises QmtlError(ACKNOWLEDGEMENT_MISMATCH) for another runner's, or for an event that it was not told.
        """
        _check("world", said.world, holder.world)
        _check("participant", said.participant, holder.strategy_id)
        _check("incarnation", said.incarnation, holder.incarnation)
        held = self._worlds[holder.world][holder]
        again = held.acknowledged is not None and said.sequence == held.sequence
        event = held.acknowledged if again else held.told.get(said.sequence)
        if event is None:
            expected = ", ".join(str(each) for each in sorted(held.told)[-3:]) or str(held.sequence)
            raise _mismatch("sequence", str(said.sequence), expected)
        for name in ("epoch", "run_id", "phase"):
            _check(name, getattr(said, name), getattr(event.gate, name))
        held.acknowledged = event
        held.told = {sequence: told for sequence, told in held.told.items() if sequence > said.sequence}
        return None if again else event

    def awaited(self, world: str, sequence: int) -> dict[Holder, float]:
        """Return who has not acknowledged an event or a later one, and in how many seconds their leases end."""
        self._forget(world)
        now = self._clock()
        return {
            holder: held.until - now
            for holder, held in self._worlds.get(world, {}).items()
            if held.until > now and held.sequence < sequence
        }

    def waited_for(self, gate: Gate) -> list[str]:
        """Return the strategies whose runners have not acknowledged the FREEZE of a run, by name."""
        if gate.phase is not Phase.FREEZE or not gate.run_id:
            return []
        return sorted({each.strategy_id for each in self.awaited(gate.world, gate.sequence)})

    def _forget(self, world: str) -> None:
        """Forget who is neither connected nor waited for."""
        now = self._clock()
        kept = {
            holder: held for holder, held in self._worlds.get(world, {}).items() if held.connections or held.until > now
        }
        if kept:
            self._worlds[world] = kept
        else:
            self._worlds.pop(world, None)


def _check(name: str, given: object, expected: object) -> None:
    if given != expected:
        raise _mismatch(name, _text(given), _text(expected))


def _text(value: object) -> str:
    return value.value if isinstance(value, Phase) else str(value or "none")[:160]


def _mismatch(field: str, given: str, expected: str) -> QmtlError:
    return QmtlError(
        Reason.ACKNOWLEDGEMENT_MISMATCH,
        f"{field}: {given!r} is acknowledged, {expected} is awaited",
        metadata={"field": field, "given": given, "expected": expected},
    )
