"""Events of one world as its control stream tells them, chained as a world service chains them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from qmtl_foundation.identity import EVENT_CONTEXT, bytes_id
from qmtl_foundation.pb.qmtl.apply.v1 import activation_pb2
from qmtl_foundation.pb.qmtl.control.v1 import activation_event_pb2 as pb
from qmtl_gateway.sessions import messages
from qmtl_gateway.sessions.model import Event, Phase

KINDS = {
    Phase.FREEZE: pb.ACTIVATION_EVENT_KIND_FREEZE,
    Phase.SWITCH: pb.ACTIVATION_EVENT_KIND_SWITCH,
    Phase.UNFREEZE: pb.ACTIVATION_EVENT_KIND_UNFREEZE,
}


@dataclass(slots=True)
class Teller:
    """Tell the events of a world, each naming the one before it."""

    world: str = "equity"
    timeline: str = "t1"
    epoch: int = 0
    newest_hash: str = ""
    activations: Sequence[activation_pb2.Activation] = ()
    _sequences: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def tell(self, phase: Phase, *, run_id: str = "run-1", holds: tuple[str, ...] = ()) -> bytes:
        """Return the bytes of the next event; a FREEZE takes the next epoch."""
        self.epoch += phase is Phase.FREEZE
        sequence = next(self._sequences)
        message = pb.ActivationEvent(
            event_id=f"{self.world}-{sequence}",
            world=self.world,
            sequence=sequence,
            epoch=self.epoch,
            kind=KINDS[phase],
            activation_set=activation_pb2.ActivationSet(
                world=self.world, epoch=self.epoch, sequence=sequence, activations=self.activations
            ),
            previous_event_hash=self.newest_hash,
            timeline_id=self.timeline,
            run_id=run_id,
            holds=holds,
        )
        message.create_time.GetCurrentTime()
        payload = message.SerializeToString(deterministic=True)
        self.newest_hash = bytes_id(EVENT_CONTEXT, payload)
        return payload

    def event(self, phase: Phase, *, run_id: str = "run-1", holds: tuple[str, ...] = ()) -> Event:
        """Return the next event as a gateway reads it."""
        return messages.from_event(self.tell(phase, run_id=run_id, holds=holds))

    def events(self, *phases: Phase) -> list[Event]:
        """Return the next events."""
        return [self.event(phase) for phase in phases]
