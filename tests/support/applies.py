"""Apply runs as an operator sees them, and a gateway played by a test: one that is slow, silent or wrong at will."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg
import grpc

from qmtl_foundation.pb.qmtl.apply.v1 import acknowledgement_pb2 as ack_pb
from qmtl_foundation.pb.qmtl.apply.v1 import apply_service_pb2 as pb
from qmtl_foundation.pb.qmtl.apply.v1 import run_pb2
from tests.support.desk import POLICY, Asked, Desk, dial, evaluate, make_world, put_policy, returns
from tests.support.waiting import wait_until

SECONDS: Final = 30.0
RENEW_SECONDS: Final = 1.0
BACK: Final = {
    run_pb2.RUN_PHASE_REOPENING: run_pb2.RUN_PHASE_FREEZING,
    run_pb2.RUN_PHASE_DRAINING: run_pb2.RUN_PHASE_UNFREEZING,
}
PHASES: Final = (
    run_pb2.RUN_PHASE_FREEZING,
    run_pb2.RUN_PHASE_SWITCHING,
    run_pb2.RUN_PHASE_UNFREEZING,
    run_pb2.RUN_PHASE_REOPENING,
    run_pb2.RUN_PHASE_DRAINING,
)


def trading_world(desk: Desk, runs: str = "", policy: str = POLICY) -> str:
    """Make a paper world in which ``ann/A`` and ``ann/B`` trade; ``runs`` is the policy's section from then on."""
    world = make_world(desk, policy)
    for name in ("A", "B"):
        evaluate(desk, Asked(world, name), returns(seed=ord(name)))
    wait_until(lambda: all(each.HasField("end_time") for each in listed(desk, world)), SECONDS)
    if runs:
        put_policy(desk, world, f"{policy}runs: {runs}\n")
    return world


def ready_world(desk: Desk, runs: str = "") -> str:
    """Make a world as above in which nothing trades yet; its runs begin when the test says so."""
    policy = f"{POLICY}apply: manual\n" + (f"runs: {runs}\n" if runs else "")
    world = make_world(desk, policy)
    for name in ("A", "B"):
        evaluate(desk, Asked(world, name), returns(seed=ord(name)))
    return world


def plan_of(weights: Mapping[str, float]) -> run_pb2.Plan:
    """Return the plan of these weights."""
    return run_pb2.Plan(
        activations=[run_pb2.PlannedActivation(strategy_id=name, weight=weight) for name, weight in weights.items()]
    )


def start(desk: Desk, world: str, weights: Mapping[str, float], run_id: str = "run", **fields: Any) -> run_pb2.ApplyRun:
    """Begin a run to an explicit plan."""
    request = pb.StartApplyRequest(world=world, run_id=run_id, plan=plan_of(weights), **fields)
    run: run_pb2.ApplyRun = desk.applies.StartApply(request).run
    return run


def read(desk: Desk, world: str, run_id: str = "run") -> run_pb2.ApplyRun:
    """Return a run with its timeline."""
    run: run_pb2.ApplyRun = desk.applies.GetApply(pb.GetApplyRequest(world=world, run_id=run_id)).run
    return run


def listed(desk: Desk, world: str) -> list[run_pb2.ApplyRun]:
    """Return a world's runs, the newest first."""
    return list(desk.applies.ListApplies(pb.ListAppliesRequest(world=world)).runs)


def over(desk: Desk, world: str, run_id: str = "run", seconds: float = SECONDS) -> run_pb2.ApplyRun:
    """Follow a run to its end, and return it."""
    request = pb.WatchApplyRequest(world=world, run_id=run_id)
    states: list[run_pb2.ApplyRun] = [each.run for each in desk.applies.WatchApply(request, timeout=seconds)]
    return states[-1]


def timeline(run: run_pb2.ApplyRun) -> list[str]:
    """Return what happened to a run, oldest first."""
    return [each.event for each in run.timeline]


def told(desk: Desk, world: str) -> pb.GetActivationResponse:
    """Return what was told last of a world."""
    answer: pb.GetActivationResponse = desk.applies.GetActivation(pb.GetActivationRequest(world=world))
    return answer


def weights(desk: Desk, world: str) -> dict[str, float]:
    """Return what may trade, by the newest event that was told."""
    return {each.strategy_id: each.weight for each in told(desk, world).activation_set.activations}


def is_open(desk: Desk, world: str) -> bool:
    """Tell whether the newest event opened the gates."""
    return bool(told(desk, world).phase == ack_pb.APPLY_PHASE_UNFREEZE)


def roll_back(desk: Desk, world: str, run_id: str = "run", reason: str = "second thoughts") -> run_pb2.ApplyRun:
    """Ask for a run to be undone."""
    request = pb.RollbackApplyRequest(world=world, run_id=run_id, reason=reason)
    run: run_pb2.ApplyRun = desk.applies.RollbackApply(request).run
    return run


def stop(desk: Desk, world: str, hold: str = "") -> pb.FreezeWorldResponse:
    """Freeze a world at once."""
    request = pb.FreezeWorldRequest(world=world, hold=hold, reason="fire")
    answer: pb.FreezeWorldResponse = desk.applies.FreezeWorld(request)
    return answer


def resume(desk: Desk, world: str, hold: str = "", run_id: str = "resume") -> run_pb2.ApplyRun:
    """End a hold, and return the run that did it when it is over."""
    desk.applies.ResumeWorld(pb.ResumeWorldRequest(world=world, run_id=run_id, hold=hold))
    return over(desk, world, run_id)


async def execute(dsn: str, *statements: str) -> None:
    """Run statements in the stack's database."""
    connection = await asyncpg.connect(dsn)
    try:
        for each in statements:
            await connection.execute(each)
    finally:
        await connection.close()


@dataclass(slots=True)
class PlayedGateway:
    """Be a gateway that every run waits for, and that acknowledges when the test says so."""

    service: Desk  # the world service itself
    name: str = field(default_factory=lambda: f"played-{uuid.uuid4().hex[:8]}")
    incarnation: str = field(default_factory=lambda: uuid.uuid4().hex)
    _silent: threading.Event = field(default_factory=threading.Event)

    def renew(self, **held: Any) -> Any:
        """Renew the lease once, saying what is held of a world."""
        worlds = [held] if held else []
        return self.service.applies.RenewLease(
            pb.RenewLeaseRequest(
                kind=ack_pb.PARTICIPANT_KIND_GATEWAY,
                participant=self.name,
                incarnation=self.incarnation,
                worlds=worlds,
            )
        )

    def keep_renewing(self) -> None:
        """Renew each second until silenced; what does not answer is asked again."""
        while not self._silent.wait(RENEW_SECONDS):
            try:
                self.renew()
            except grpc.RpcError:
                continue

    def fall_silent(self) -> None:
        """Renew no more: the lease ends by itself."""
        self._silent.set()

    def acknowledgement(self, desk: Desk, world: str, **changes: Any) -> ack_pb.Acknowledgement:
        """Return the acknowledgement of what was told last, but for changes."""
        last = told(desk, world)
        stated = {
            "world": world,
            "epoch": last.activation_set.epoch,
            "run_id": last.run_id,
            "phase": last.phase,
            "sequence": last.activation_set.sequence,
            "participant": self.name,
            "kind": ack_pb.PARTICIPANT_KIND_GATEWAY,
            "incarnation": self.incarnation,
            **changes,
        }
        return ack_pb.Acknowledgement(**stated)

    def acknowledge(self, desk: Desk, world: str, **changes: Any) -> None:
        """Acknowledge what was told last."""
        self.send(self.acknowledgement(desk, world, **changes))

    def send(self, said: ack_pb.Acknowledgement) -> None:
        """Send an acknowledgement."""
        self.service.applies.AcknowledgeActivation(pb.AcknowledgeActivationRequest(acknowledgement=said))

    def lead(self, desk: Desk, world: str, phase: run_pb2.RunPhase, run_id: str = "run") -> run_pb2.ApplyRun:
        """Acknowledge what comes until a run is in a phase, where it stays; ask back for the phases of a rollback."""
        if phase in BACK:
            self._forward(desk, world, BACK[phase], run_id)
            roll_back(desk, world, run_id)
        return self._forward(desk, world, phase, run_id)

    def finish(self, desk: Desk, world: str, run_id: str = "run") -> run_pb2.ApplyRun:
        """Acknowledge what comes until a run is over."""
        wait_until(lambda: self._acknowledged_until(desk, world, run_id, None), SECONDS)
        return read(desk, world, run_id)

    def _forward(self, desk: Desk, world: str, phase: run_pb2.RunPhase, run_id: str) -> run_pb2.ApplyRun:
        wait_until(lambda: self._acknowledged_until(desk, world, run_id, phase), SECONDS)
        run = read(desk, world, run_id)
        assert run.phase == phase, (run.phase, run.reason)
        return run

    def _acknowledged_until(self, desk: Desk, world: str, run_id: str, phase: run_pb2.RunPhase | None) -> bool:
        said = self.acknowledgement(desk, world)  # read before the run: it is never of a phase beyond the wanted one
        run = read(desk, world, run_id)
        if run.phase == phase or run.HasField("end_time"):
            return True
        if said.run_id != run_id:  # the run's first event is not relayed yet
            return False
        try:
            self.send(said)
        except grpc.RpcError as error:  # of a phase that is over; the next event is not relayed yet
            if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                raise
        return False


@contextmanager
def played_gateway(address: str, token: str) -> Iterator[PlayedGateway]:
    """Yield a gateway that lives at the world service at ``address``; its lease is over at the end."""
    with dial(address, token) as service:
        gateway = PlayedGateway(service)
        gateway.renew()
        renewing = threading.Thread(target=gateway.keep_renewing, daemon=True)
        renewing.start()
        try:
            yield gateway
        finally:
            gateway.fall_silent()
            renewing.join()
