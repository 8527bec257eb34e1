"""A gateway's order ingress with an open gate and nothing else.

``python -m benchmarks.ingress NATS_URL AUTH_FOLDER`` says where it listens.

Beside the gate, which stands as if the control stream had told of it, all of it is what a gateway runs.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Final

from qmtl_foundation.auth.settings import AuthSettings
from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_foundation.jetstream.bus import open_bus
from qmtl_foundation.pb.qmtl.order.v1 import order_service_pb2, order_service_pb2_grpc
from qmtl_foundation.rpc.admission import open_admission
from qmtl_foundation.rpc.permission import Permissions
from qmtl_foundation.rpc.server import ServedService, serving, until_signalled
from qmtl_foundation.settings import Address
from qmtl_foundation.telemetry import exposing_metrics
from qmtl_gateway.orders.flights import Flights
from qmtl_gateway.orders.service import OrderService
from qmtl_gateway.orders.stream import OrderStream
from qmtl_gateway.sessions.model import Activation, Gate, Phase
from qmtl_sdk.local.issuer import ISSUER, open_issuer

WORLD: Final = "bench"
EPOCH: Final = 1
ACTIVATION: Final = Activation("bench/SmaCross", "blake3:" + "00" * 32, "long", EffectiveMode.PAPER, "paper-1")
ANY_PORT: Final = Address("127.0.0.1", 0)


class OpenGate:
    """Know one world, open."""

    def __init__(self) -> None:
        self._gate = Gate(WORLD, EPOCH, 3, Phase.UNFREEZE, activations={ACTIVATION.strategy_id: ACTIVATION})

    def find(self, world: str) -> Gate | None:
        """Return the gate."""
        return self._gate

    async def known(self, world: str) -> Gate | None:
        """Return the gate."""
        return self._gate


async def main(nats_url: str, folder: str) -> None:
    """Serve until told to stop."""
    async with open_bus(nats_url, "bench-ingress") as bus:
        stream = OrderStream(bus)
        await stream.open(replicas=1)
        with exposing_metrics(ANY_PORT) as meter:
            service = OrderService(OpenGate(), Flights(), stream, meter)
            descriptor = order_service_pb2.DESCRIPTOR.services_by_name["OrderService"]
            add = order_service_pb2_grpc.add_OrderServiceServicer_to_server
            rooms = [ServedService.of(descriptor, add, service)]
            auth = AuthSettings(jwks=str(open_issuer(Path(folder)).jwks), issuer=ISSUER)
            async with (
                open_admission(auth) as admission,
                serving(ANY_PORT, rooms, {"nats": bus.ping}, [admission, Permissions()]) as port,
            ):
                print(port, flush=True)
                await until_signalled()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
