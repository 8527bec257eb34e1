"""What an executor asks of the world service and the gateway: leases, acknowledgements, a world's terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import grpc

from qmtl_executor.messages import from_world_place
from qmtl_executor.model import Told
from qmtl_foundation.errors import QmtlError, Reason, invalid_field
from qmtl_foundation.execution_model import ExecutionModel, Fill, Rebalance
from qmtl_foundation.pb.qmtl.apply.v1 import acknowledgement_pb2, apply_service_pb2, lease_pb2
from qmtl_foundation.pb.qmtl.apply.v1.apply_service_pb2_grpc import ApplyServiceStub
from qmtl_foundation.pb.qmtl.dataset.v1 import dataset_service_pb2
from qmtl_foundation.pb.qmtl.dataset.v1.dataset_service_pb2_grpc import DatasetServiceStub
from qmtl_foundation.pb.qmtl.world.v1 import world_pb2, world_service_pb2
from qmtl_foundation.pb.qmtl.world.v1.world_service_pb2_grpc import WorldServiceStub
from qmtl_foundation.rpc.channel import calling

CALL_SECONDS: Final = 10.0
RENEWAL_SECONDS: Final = 2.0  # less than a lease: a call that hangs must not cost it

_FILLS: Final = {world_pb2.FILL_NEXT_OPEN: Fill.NEXT_OPEN, world_pb2.FILL_CLOSE: Fill.CLOSE}
_REBALANCES: Final = {
    world_pb2.REBALANCE_ON_CHANGE: Rebalance.ON_CHANGE,
    world_pb2.REBALANCE_EVERY_BAR: Rebalance.EVERY_BAR,
    world_pb2.REBALANCE_DRIFT: Rebalance.DRIFT,
}


@dataclass(frozen=True, slots=True)
class Renewal:
    """Hold a lease renewed: seconds from before the request, and where the worlds stand that it is enrolled in."""

    ttl_s: float
    worlds: Mapping[str, Told]


@dataclass(frozen=True, slots=True)
class Terms:
    """Hold how orders are filled: execution model, and the document of the data preset, None where there is none."""

    model: ExecutionModel
    preset: bytes | None


class WorldClient:
    """Ask the world service and the gateway; every failure is a QmtlError."""

    def __init__(self, world: grpc.aio.Channel, gateway: grpc.aio.Channel, executor: str, incarnation: str) -> None:
        self._applies = ApplyServiceStub(world)
        self._worlds = WorldServiceStub(world)
        self._datasets = DatasetServiceStub(gateway)
        self._executor = executor
        self._incarnation = incarnation

    async def renew(self, held: Sequence[lease_pb2.HeldPlace]) -> Renewal:
        """Renew the lease. Raises QmtlError FOREIGN_INCARNATION when a newer start has it."""
        request = apply_service_pb2.RenewLeaseRequest(
            kind=acknowledgement_pb2.PARTICIPANT_KIND_EXECUTOR,
            participant=self._executor,
            incarnation=self._incarnation,
            worlds=held,
        )
        async with calling("world service"):
            answer = await self._applies.RenewLease(request, timeout=RENEWAL_SECONDS)
        return Renewal(answer.ttl_ms / 1_000, {each.world: from_world_place(each) for each in answer.worlds})

    async def acknowledge(self, acknowledgement: acknowledgement_pb2.Acknowledgement) -> None:
        """Say that a mark was passed. Raises QmtlError: what passes by itself is repeated, a refusal is final."""
        request = apply_service_pb2.AcknowledgeActivationRequest(acknowledgement=acknowledgement)
        async with calling("world service"):
            await self._applies.AcknowledgeActivation(request, timeout=RENEWAL_SECONDS)

    async def terms(self, world: str) -> Terms:
        """Return how a world's orders are filled."""
        async with calling("world service"):
            answer = await self._worlds.GetWorld(world_service_pb2.GetWorldRequest(world=world), timeout=CALL_SECONDS)
        return Terms(_to_model(answer.world.execution_model), await self._preset(answer.world.data_preset))

    async def _preset(self, name: str) -> bytes | None:
        request = dataset_service_pb2.GetPresetRequest(name=name)
        try:
            async with calling("gateway"):
                document: bytes = (await self._datasets.GetPreset(request, timeout=CALL_SECONDS)).preset.document
        except QmtlError as error:
            if error.reason is not Reason.PRESET_NOT_FOUND:
                raise
            return None
        return document


def _to_model(message: world_pb2.ExecutionModel) -> ExecutionModel:
    return ExecutionModel(
        fill=_known("fill", message.fill, _FILLS),
        slippage_bp=message.slippage_bp,
        fee_bp=message.fee_bp,
        rebalance=_known("rebalance", message.rebalance, _REBALANCES),
        drift=message.drift,
        can_short=message.can_short,
        initial_cash=message.initial_cash,
        cash_rate=message.cash_rate,
    )


def _known(field: str, number: int, values: Mapping[Any, Any]) -> Any:
    if number not in values:
        raise invalid_field(
            f"execution_model.{field}", f"{number} is none that this release knows; run a newer executor"
        )
    return values[number]
