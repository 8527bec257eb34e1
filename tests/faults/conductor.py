"""A gateway of the tests' own, that every run waits for: so a run stays in the phase in which a fault shall strike.

It speaks to both world services, whichever answers, renews its lease each second, and acknowledges what comes unless
that would lead a run out of the phase where it is to stay.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Final

import grpc

from qmtl_foundation.pb.qmtl.apply.v1 import acknowledgement_pb2 as ack_pb
from qmtl_foundation.pb.qmtl.apply.v1 import apply_service_pb2 as pb
from qmtl_foundation.pb.qmtl.apply.v1 import apply_service_pb2_grpc, run_pb2
from tests.support.credentials import Bearing
from tests.support.waiting import wait_until

NAME: Final = "conductor"
CALL_SECONDS: Final = 2.0
RENEW_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 0.05
LEAD_SECONDS: Final = 60.0
# Where a rollback has to be asked for, to be in these phases.
BACK: Final = {
    run_pb2.RUN_PHASE_REOPENING: run_pb2.RUN_PHASE_FREEZING,
    run_pb2.RUN_PHASE_DRAINING: run_pb2.RUN_PHASE_UNFREEZING,
}


class NotLedError(Exception):
    """Say that a run ended before it came to its phase: on a machine that is too busy its time was over."""


class Applies:
    """Call ``ApplyService`` at the first of several addresses that answers."""

    def __init__(self, channels: Sequence[Any]) -> None:
        self._stubs = [apply_service_pb2_grpc.ApplyServiceStub(each) for each in channels]

    def call(self, method: str, request: Any, seconds: float = CALL_SECONDS) -> Any:
        """Return the answer; raise the last RpcError where nobody answers, and any refusal at once."""
        failed: grpc.RpcError | None = None
        for stub in tuple(self._stubs):
            try:
                return getattr(stub, method)(request, timeout=seconds)
            except grpc.RpcError as error:
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                    raise
                failed = error
                self._stubs.append(self._stubs.pop(0))  # the next call begins with another one
        assert failed is not None
        raise failed

    def run(self, world: str, run_id: str) -> run_pb2.ApplyRun:
        """Return a run."""
        run: run_pb2.ApplyRun = self.call("GetApply", pb.GetApplyRequest(world=world, run_id=run_id)).run
        return run

    def told(self, world: str) -> pb.GetActivationResponse:
        """Return what was told last of a world."""
        answer: pb.GetActivationResponse = self.call("GetActivation", pb.GetActivationRequest(world=world))
        return answer


class Conductor:
    """Take part in every run. ``stay`` and ``release`` say how far a world's runs may go."""

    def __init__(self, applies: Applies, renewals: Applies) -> None:
        self._applies = applies
        self._renewals = renewals
        self._incarnation = uuid.uuid4().hex
        self._stays: dict[str, frozenset[run_pb2.RunPhase]] = {}
        self._over = threading.Event()
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._renew, self._drive)]

    def begin(self) -> None:
        """Register, and act from now on."""
        self._renew_once()
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Act no more."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def stay(self, world: str, phase: run_pb2.RunPhase) -> None:
        """Let the runs of a world go no further than a phase; before a run begins."""
        self._stays[world] = frozenset({phase, BACK.get(phase, phase)})

    def lead(self, world: str, run_id: str, phase: run_pb2.RunPhase) -> None:
        """Wait until a run has come to a phase, and ask for its rollback where that leads there."""
        if phase in BACK:
            self._await(world, run_id, BACK[phase])
            request = pb.RollbackApplyRequest(world=world, run_id=run_id, reason="fault suite")
            self._applies.call("RollbackApply", request, seconds=10.0)
        self._await(world, run_id, phase)

    def release(self, world: str) -> None:
        """Let the runs of a world go on."""
        self._stays[world] = frozenset()

    def _await(self, world: str, run_id: str, phase: run_pb2.RunPhase) -> None:
        def there() -> bool:
            run = self._applies.run(world, run_id)
            if run.HasField("end_time"):
                raise NotLedError(f"{world}: run {run_id} ended before its fault: {run.reason}")
            return bool(run.phase == phase)

        wait_until(_forgiving(there), LEAD_SECONDS)

    def _renew(self) -> None:
        while not self._over.wait(RENEW_SECONDS):
            _forgiving(self._renew_once)()

    def _renew_once(self) -> bool:
        kind = ack_pb.PARTICIPANT_KIND_GATEWAY
        request = pb.RenewLeaseRequest(kind=kind, participant=NAME, incarnation=self._incarnation)
        self._renewals.call("RenewLease", request)
        return True

    def _drive(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            for world in tuple(self._stays):
                _forgiving(partial(self._acknowledge, world))()

    def _acknowledge(self, world: str) -> bool:
        told = self._applies.told(world)  # before the run: it is never of a phase beyond the run's
        if not told.run_id:
            return False
        run = self._applies.run(world, told.run_id)
        if run.HasField("end_time") or run.phase in self._stays[world]:
            return False
        if not any(each.incarnation == self._incarnation for each in run.awaited):
            return False
        said = ack_pb.Acknowledgement(
            world=world,
            epoch=told.activation_set.epoch,
            run_id=told.run_id,
            phase=told.phase,
            sequence=told.activation_set.sequence,
            participant=NAME,
            kind=ack_pb.PARTICIPANT_KIND_GATEWAY,
            incarnation=self._incarnation,
        )
        self._applies.call("AcknowledgeActivation", pb.AcknowledgeActivationRequest(acknowledgement=said))
        return True


@contextmanager
def conducting(addresses: Sequence[str], token: str) -> Iterator[tuple[Conductor, Applies]]:
    """Yield the conductor at work, and a client of the world services for the caller's own thread."""
    with ExitStack() as stack:
        channels = [Bearing(stack.enter_context(grpc.insecure_channel(each)), token) for each in addresses]
        conductor = Conductor(Applies(channels), Applies(channels))
        conductor.begin()
        stack.callback(conductor.end)
        yield conductor, Applies(channels)


def _forgiving(act: Callable[[], bool]) -> Callable[[], bool]:
    """Return what does the same, and False where a call failed: services are killed, and phases pass meanwhile."""

    def done() -> bool:
        try:
            return act()
        except grpc.RpcError:
            return False

    return done
