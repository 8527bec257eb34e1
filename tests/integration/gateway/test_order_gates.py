"""Orders at a running gateway: its gate lets them pass from UNFREEZE to FREEZE, and a FREEZE waits for what passed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest

from qmtl_foundation.errors import Reason
from qmtl_foundation.jetstream.streams import ORDERS
from qmtl_foundation.pb.qmtl.apply.v1 import acknowledgement_pb2, activation_pb2
from qmtl_foundation.pb.qmtl.order.v1 import order_service_pb2
from qmtl_foundation.pb.qmtl.order.v1.intent_pb2 import OrderIntent
from qmtl_foundation.pb.qmtl.order.v1.order_service_pb2_grpc import OrderServiceStub
from qmtl_gateway.sessions.model import Phase
from tests.support.broker import Broker
from tests.support.desk import read_refusal
from tests.support.gateway_scene import RUN, Runner, Scene, open_scene
from tests.support.intents import order_intent
from tests.support.stack import lasting_dir
from tests.support.waiting import eventually

__all__ = ["lasting_dir"]

CALL_SECONDS = 20.0


@pytest.fixture
def broker(lasting_dir: Path) -> Broker:
    """Give a nats-server of the test's own."""
    return Broker(lasting_dir)


@pytest.fixture
async def scene(migrated_dsn: str, broker: Broker) -> AsyncIterator[Scene]:
    """Give a gateway on that server."""
    async with open_scene(migrated_dsn, broker.url) as made:
        yield made


def trading_world(scene: Scene) -> str:
    """Make a world whose set has the strategy of the intents; it told nothing so far."""
    world, wish = scene.world(), order_intent()
    scene.stand_in.tellers[world].activations = [
        activation_pb2.Activation(
            strategy_id=wish.strategy_id,
            strategy_version=wish.strategy_version,
            active=True,
            weight=1.0,
            side=wish.side,
            mode=wish.mode,
            executor=wish.executor,
        )
    ]
    return world


async def publish(scene: Scene, intents: Sequence[OrderIntent]) -> list[int]:
    """Publish intents at the gateway, and return their places."""
    request = order_service_pb2.PublishIntentsRequest(intents=intents)
    answer: Any = await OrderServiceStub(scene.channel).PublishIntents(request, timeout=CALL_SECONDS)
    return list(answer.positions)


async def test_intents_pass_from_unfreeze_to_freeze(scene: Scene) -> None:
    world = trading_world(scene)
    await scene.tell(world, *RUN)
    runner = Runner(scene, world)
    await runner.hello()
    wish = order_intent(world=world, epoch=1)
    (position,) = await publish(scene, [wish])
    assert (await scene.bus.jetstream.get_msg(ORDERS, position)).data == wish.SerializeToString()
    await scene.tell(world, Phase.FREEZE)
    await runner.event()
    with pytest.raises(grpc.aio.AioRpcError) as closed:
        await publish(scene, [order_intent(world=world, epoch=1, bar=1)])
    assert read_refusal(closed.value).reason == Reason.GATE_CLOSED


async def test_a_freeze_is_acknowledged_when_what_passed_before_it_is_stored(scene: Scene, broker: Broker) -> None:
    """While the nats-server does not answer the FREEZE comes as a snapshot, by the next renewal of the lease."""
    world = trading_world(scene)
    await scene.tell(world, *RUN)
    runner = Runner(scene, world)
    await runner.hello()
    await scene.acknowledged(world, len(RUN))
    with broker.stopped():
        call = asyncio.create_task(publish(scene, [order_intent(world=world, epoch=1)]))
        assert await runner.epoch(1) == 1  # on the connection of the call, which has come before
        scene.unpublished(world, Phase.FREEZE)
        await runner.acknowledge(await runner.event())
        renewed = len(scene.stand_in.renewals)
        await eventually(lambda: len(scene.stand_in.renewals) > renewed)
        assert scene.stand_in.acknowledged.empty()
        assert not call.done()
    assert len(await call) == 1
    assert (await scene.acknowledged(world, len(RUN) + 1)).phase == acknowledgement_pb2.APPLY_PHASE_FREEZE
