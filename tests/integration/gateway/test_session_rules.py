"""Sessions of a real gateway on a real NATS, with a world service that does what a test says."""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import nats.js.errors
import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.jetstream import Bus, open_bus
from qmtl_foundation.jetstream.streams import (
    ALL_EVENTS,
    CONTROL,
    EVENT_ID,
    REPORTS,
    control_stream,
    event_subject,
    report_stream,
    report_subject,
)
from qmtl_foundation.pb.qmtl.apply.v1 import acknowledgement_pb2 as ack_pb
from qmtl_foundation.pb.qmtl.control.v1 import activation_event_pb2
from qmtl_foundation.pb.qmtl.control.v1 import session_service_pb2 as pb
from qmtl_foundation.pb.qmtl.control.v1.session_service_pb2_grpc import SessionServiceStub
from qmtl_foundation.pb.qmtl.order.v1 import report_pb2
from qmtl_foundation.rpc.status import from_rpc_error
from qmtl_foundation.settings import Address, Secret
from qmtl_gateway.bootstrap import running
from qmtl_gateway.sessions import service
from qmtl_gateway.sessions.holders import LEASE_SECONDS
from qmtl_gateway.sessions.model import Phase
from qmtl_gateway.settings import GatewaySettings
from tests.support.desk import FINGERPRINT, metrics
from tests.support.gateways import free_port
from tests.support.told import Teller
from tests.support.waiting import becomes, eventually
from tests.support.world_stand_in import PHASES, StandIn, serving_stand_in

SECONDS = 10.0
NOBODY = Address("127.0.0.1", 1)
RUN = (Phase.FREEZE, Phase.SWITCH, Phase.UNFREEZE)
TREND = "ann/Trend"


@dataclass(frozen=True, slots=True)
class Scene:
    """Hold a gateway, the world service behind it, and the NATS that both speak through."""

    channel: grpc.aio.Channel
    metrics_address: str
    stand_in: StandIn
    bus: Bus
    numbers: Any = field(default_factory=itertools.count)

    @property
    def sessions(self) -> Any:
        return SessionServiceStub(self.channel)

    def world(self) -> str:
        """Make a world of the test's own that never told anything, and return its name."""
        name = f"w{uuid.uuid4().hex}"
        self.stand_in.tellers[name] = Teller(name)
        return name

    async def tell(self, world: str, *phases: Phase, run_id: str = "run-1") -> None:
        """Publish events of a world as its relay does."""
        for phase in phases:
            payload = self.unpublished(world, phase, run_id=run_id)
            await self.bus.publish(event_subject(world), payload, {EVENT_ID: uuid.uuid4().hex})

    def unpublished(self, world: str, phase: Phase, *, run_id: str = "run-1") -> bytes:
        """Let a world tell an event that never arrives by the control stream."""
        payload = self.stand_in.newest[world] = self.stand_in.tellers[world].tell(phase, run_id=run_id)
        return payload

    async def report(self, world: str, strategy_id: str = TREND) -> int:
        """Publish a report as an executor does, and return its place."""
        message = report_pb2.OrderReport(
            report_id=uuid.uuid4().hex, world=world, strategy_id=strategy_id, intent_id=str(next(self.numbers))
        )
        return await self.bus.publish(report_subject(world), message.SerializeToString())

    async def acknowledged(self, world: str) -> ack_pb.Acknowledgement:
        """Return the next acknowledgement of a world that the gateway sent."""
        async with asyncio.timeout(SECONDS):
            while True:
                said = await self.stand_in.acknowledged.get()
                if said.world == world:
                    return said

    async def counted(self, name: str) -> float:
        """Return a metric of the gateway, by name and label, 0 while it was not counted."""
        return (await asyncio.to_thread(metrics, self.metrics_address)).get(name, 0.0)

    async def counts_more(self, name: str, than: float) -> bool:
        """Tell whether a metric of the gateway has risen."""
        return await self.counted(name) > than


def settings(dsn: str, nats_url: str, world: Address, name: str = "gateway") -> GatewaySettings:
    """Return the settings of a gateway on ports of its own."""
    listen, metrics_listen = Address("127.0.0.1", 0), Address("127.0.0.1", free_port())
    return GatewaySettings(Secret(dsn), nats_url, listen, metrics_listen, world, NOBODY, name=name)


@asynccontextmanager
async def reaching(stated: GatewaySettings, port: int, stand_in: StandIn, bus: Bus) -> AsyncIterator[Scene]:
    """Yield the scene around a gateway."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Scene(channel, str(stated.metrics_listen), stand_in, bus)


@pytest.fixture(scope="module")
async def scene(migrated_dsn: str, nats_url: str) -> AsyncIterator[Scene]:
    """Give one gateway for all tests that it survives."""
    async with open_bus(nats_url, "test") as bus, serving_stand_in() as (stand_in, address):
        await bus.ensure_stream(control_stream(1))
        await bus.ensure_stream(report_stream(1))
        stated = settings(migrated_dsn, nats_url, address)
        async with running(stated) as port, reaching(stated, port, stand_in, bus) as made:
            await eventually(lambda: stand_in.renewals)
            yield made


class Runner:
    """Be one runner's session, spoken message by message."""

    def __init__(self, scene: Scene, world: str, strategy_id: str = TREND) -> None:
        self.world = world
        self.strategy_id = strategy_id
        self.incarnation = uuid.uuid4().hex
        self.call = scene.sessions.Follow(timeout=60)

    async def hello(self, position: int = 0) -> pb.Welcome:
        await self.call.write(
            pb.FollowRequest(
                hello=pb.Hello(
                    world=self.world,
                    strategy_id=self.strategy_id,
                    strategy_version=FINGERPRINT,
                    incarnation=self.incarnation,
                    report_position=position,
                )
            )
        )
        response: pb.FollowResponse = await self.read()
        return response.welcome

    async def read(self) -> Any:
        async with asyncio.timeout(SECONDS):
            return await self.call.read()

    async def event(self) -> activation_event_pb2.ActivationEvent:
        """Return the next event, whatever else comes first."""
        while True:
            response = await self.read()
            if response.WhichOneof("content") == "event":
                event: activation_event_pb2.ActivationEvent = response.event
                return event

    async def beat(self, number: int) -> pb.Renewal:
        await self.call.write(pb.FollowRequest(heartbeat=pb.Heartbeat(number=number)))
        renewal: pb.Renewal = (await self.read()).renewal
        return renewal

    async def epoch(self, number: int) -> int:
        """Return the epoch that a heartbeat is answered with."""
        return (await self.beat(number)).epoch

    async def acknowledge(self, event: activation_event_pb2.ActivationEvent, **changes: Any) -> None:
        said = ack_pb.Acknowledgement(
            world=self.world,
            epoch=event.epoch,
            run_id=event.run_id,
            phase=PHASES[event.kind],
            sequence=event.sequence,
            participant=self.strategy_id,
            kind=ack_pb.PARTICIPANT_KIND_RUNNER,
            incarnation=self.incarnation,
        )
        for name, value in changes.items():
            setattr(said, name, value)
        await self.call.write(pb.FollowRequest(acknowledgement=said))

    async def refused(self) -> QmtlError:
        """Return how the gateway ended the session."""
        try:
            while await self.read() is not grpc.aio.EOF:
                pass
        except grpc.aio.AioRpcError as error:
            return from_rpc_error(error)
        raise AssertionError("the session ended well")


async def stands(bus: Bus, stream: str) -> bool:
    """Tell whether there is a stream of this name."""
    try:
        await bus.jetstream.stream_info(stream)
    except nats.js.errors.NotFoundError:
        return False
    return True


async def test_a_hello_is_answered_with_the_newest_event(scene: Scene) -> None:
    world = scene.world()
    await scene.tell(world, *RUN)
    welcome = await Runner(scene, world).hello()
    assert (welcome.gateway, welcome.ttl_ms) == ("gateway", 5_000)
    assert welcome.gateway_incarnation == scene.stand_in.renewals[-1].incarnation
    told = activation_event_pb2.ActivationEvent.FromString(scene.stand_in.newest[world])
    assert welcome.snapshot.activation_set == told.activation_set
    assert (welcome.snapshot.sequence, welcome.snapshot.kind) == (
        3,
        activation_event_pb2.ACTIVATION_EVENT_KIND_UNFREEZE,
    )


async def test_events_come_in_order_as_they_were_written(scene: Scene) -> None:
    world = scene.world()
    await scene.tell(world, Phase.FREEZE)
    runner = Runner(scene, world)
    await runner.hello()
    await scene.tell(world, Phase.SWITCH, Phase.UNFREEZE)
    events = [await runner.event(), await runner.event()]
    assert [each.sequence for each in events] == [2, 3]
    assert events[1].SerializeToString(deterministic=True) == scene.stand_in.newest[world]


async def test_a_freeze_is_acknowledged_when_every_runner_did(scene: Scene) -> None:
    world = scene.world()
    await scene.tell(world, *RUN)
    ann, bob = Runner(scene, world), Runner(scene, world, "bob/Carry")
    await ann.hello()
    await bob.hello()
    assert (await scene.acknowledged(world)).phase == ack_pb.APPLY_PHASE_UNFREEZE
    await scene.tell(world, Phase.FREEZE, run_id="run-2")
    await ann.acknowledge(await ann.event())
    await bob.event()
    assert (await bob.beat(1)).sequence == 4
    assert scene.stand_in.acknowledged.empty()
    freeze = activation_event_pb2.ActivationEvent.FromString(scene.stand_in.newest[world])
    await bob.acknowledge(freeze)
    said = await scene.acknowledged(world)
    assert (said.phase, said.epoch, said.sequence, said.run_id) == (ack_pb.APPLY_PHASE_FREEZE, 2, 4, "run-2")
    assert (said.participant, said.kind, said.mark) == ("gateway", ack_pb.PARTICIPANT_KIND_GATEWAY, 0)
    assert said.incarnation == scene.stand_in.renewals[-1].incarnation
    assert await scene.counted("activation_skew_seconds_count") >= 2


async def test_a_runner_that_went_is_waited_for_until_its_lease_is_over(scene: Scene) -> None:
    world = scene.world()
    await scene.tell(world, *RUN)
    runner, began = Runner(scene, world), time.monotonic()
    await runner.hello()
    await scene.acknowledged(world)
    runner.call.cancel()
    await scene.tell(world, Phase.FREEZE)
    await scene.acknowledged(world)
    assert time.monotonic() - began >= LEASE_SECONDS


async def test_heartbeats_are_answered_with_where_the_gateway_stands(scene: Scene) -> None:
    world = scene.world()
    await scene.tell(world, Phase.FREEZE)
    runner = Runner(scene, world)
    await runner.hello()
    renewal = await runner.beat(7)
    assert (renewal.number, renewal.epoch, renewal.sequence) == (7, 1, 1)


async def test_a_gap_is_closed_by_a_snapshot_and_counted(scene: Scene) -> None:
    world = scene.world()
    await scene.tell(world, Phase.FREEZE)
    runner = Runner(scene, world)
    await runner.hello()
    before = await scene.counted("activation_resync_total/gap")
    scene.unpublished(world, Phase.SWITCH)
    await scene.tell(world, Phase.UNFREEZE)
    assert (await runner.event()).sequence == 3
    assert await scene.counted("activation_resync_total/gap") == before + 1


async def test_an_event_that_never_arrives_is_found_by_the_next_renewal(scene: Scene) -> None:
    world = scene.world()
    await scene.tell(world, *RUN)
    runner = Runner(scene, world)
    await runner.hello()
    scene.unpublished(world, Phase.FREEZE)
    assert (await runner.event()).sequence == 4


async def test_bytes_that_are_no_event_close_their_world(scene: Scene) -> None:
    world = scene.world()
    await scene.tell(world, *RUN)
    runner = Runner(scene, world)
    await runner.hello()
    before = await scene.counted("activation_resync_total/gap")
    await scene.bus.publish(event_subject(world), b"\xff\xff")
    scene.unpublished(world, Phase.FREEZE)
    assert (await runner.event()).sequence == 4
    assert await scene.counted("activation_resync_total/gap") == before + 1


async def test_a_lost_consumer_reads_every_world_anew(scene: Scene) -> None:
    world = scene.world()
    await scene.tell(world, *RUN)
    runner = Runner(scene, world)
    await runner.hello()
    before = await scene.counted("activation_resync_total/stream")
    for consumer in await scene.bus.jetstream.consumers_info(CONTROL):
        assert consumer.config.filter_subject == ALL_EVENTS
        await scene.bus.jetstream.delete_consumer(CONTROL, consumer.name)
    await scene.tell(world, Phase.FREEZE)
    assert (await runner.event()).sequence == 4
    await becomes(lambda: scene.counts_more("activation_resync_total/stream", before), True)
    await scene.tell(world, Phase.SWITCH)
    assert (await runner.event()).sequence == 5


async def test_without_the_world_service_gates_close_and_come_back_with_it(scene: Scene) -> None:
    world = scene.world()
    await scene.tell(world, *RUN)
    runner = Runner(scene, world)
    await runner.hello()
    assert (await runner.beat(1)).epoch == 1
    scene.stand_in.refusal = QmtlError(Reason.DEPENDENCY_UNAVAILABLE, "away", metadata={"dependency": "postgres"})
    try:
        await becomes(lambda: runner.epoch(2), 0)
        unknown = Runner(scene, scene.world())
        assert not (await unknown.hello()).HasField("snapshot")
    finally:
        scene.stand_in.refusal = None
    await becomes(lambda: runner.epoch(3), 1)


async def test_reports_reach_their_strategy_and_what_was_missed_comes_first(scene: Scene) -> None:
    world = scene.world()
    await scene.tell(world, Phase.FREEZE)
    first = await scene.report(world)
    missed = [await scene.report(world) for _ in range(3)]
    await scene.report(world, "bob/Carry")
    runner, fresh = Runner(scene, world), Runner(scene, world)
    await runner.hello(position=first)
    await fresh.hello()
    live = [await scene.report(world) for _ in range(3)]
    received = [(await runner.read()).report for _ in range(6)]
    assert [each.position for each in received] == missed + live
    assert len({each.report.report_id for each in received}) == 6
    assert [(await fresh.read()).report.position for _ in range(3)] == live


async def test_a_place_beyond_the_reports_means_only_new_ones(scene: Scene) -> None:
    world = scene.world()
    await scene.tell(world, Phase.FREEZE)
    runner = Runner(scene, world)
    await runner.hello(position=10**9)
    position = await scene.report(world)
    assert (await runner.read()).report.position == position


async def test_reports_go_on_in_a_stream_that_was_made_anew(scene: Scene) -> None:
    world = scene.world()
    await scene.tell(world, Phase.FREEZE)
    for _ in range(2):
        await scene.report(world)
    await scene.bus.jetstream.delete_stream(REPORTS)
    await becomes(lambda: stands(scene.bus, REPORTS), True)  # the gateway makes it again
    fresh = await scene.report(world)
    runner = Runner(scene, world)
    await runner.hello(position=fresh)
    position = await scene.report(world)
    assert (await runner.read()).report.position == position


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("world", "Not A World"),
        ("strategy_id", "Trend"),
        ("strategy_version", "1"),
        ("incarnation", ""),
        ("incarnation", "a b"),
        ("report_position", -1),
    ],
)
async def test_a_malformed_hello_is_refused_by_its_field(scene: Scene, field: str, value: object) -> None:
    hello = pb.Hello(world="equity", strategy_id=TREND, strategy_version=FINGERPRINT, incarnation="start-1")
    setattr(hello, field, value)
    runner = Runner(scene, "equity")
    await runner.call.write(pb.FollowRequest(hello=hello))
    error = await runner.refused()
    assert (error.reason, error.metadata["field"]) == (Reason.INVALID_FIELD, f"hello.{field}")


@pytest.mark.parametrize(
    ("first", "field"),
    [
        (pb.FollowRequest(heartbeat=pb.Heartbeat(number=1)), "heartbeat"),
        (pb.FollowRequest(), "content"),
    ],
)
async def test_a_session_begins_with_a_hello(scene: Scene, first: pb.FollowRequest, field: str) -> None:
    runner = Runner(scene, "equity")
    await runner.call.write(first)
    error = await runner.refused()
    assert (error.reason, error.metadata["field"]) == (Reason.INVALID_FIELD, field)


async def test_a_session_without_a_word_is_refused(scene: Scene) -> None:
    runner = Runner(scene, "equity")
    await runner.call.done_writing()
    assert (await runner.refused()).reason is Reason.INVALID_FIELD


async def test_a_hello_that_does_not_come_is_not_waited_for(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "HELLO_SECONDS", 0.05)
    assert (await Runner(scene, "equity").refused()).reason is Reason.DEADLINE_EXCEEDED


async def test_a_runner_that_falls_silent_is_gone(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "SILENT_SECONDS", 0.05)
    world = scene.world()
    await scene.tell(world, Phase.FREEZE)
    runner = Runner(scene, world)
    await runner.hello()
    assert (await runner.refused()).reason is Reason.DEADLINE_EXCEEDED


async def test_a_world_that_does_not_exist_is_refused(scene: Scene) -> None:
    runner = Runner(scene, "nowhere")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await runner.hello()
    error = from_rpc_error(caught.value)
    assert (error.reason, error.metadata) == (Reason.WORLD_NOT_FOUND, {"world": "nowhere"})


async def test_a_second_hello_ends_the_session(scene: Scene) -> None:
    world = scene.world()
    await scene.tell(world, Phase.FREEZE)
    runner = Runner(scene, world)
    await runner.hello()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await runner.hello()
    assert from_rpc_error(caught.value).reason is Reason.INVALID_FIELD


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epoch", 9),
        ("run_id", "run-9"),
        ("sequence", 9),
        ("incarnation", "another"),
        ("participant", "bob/Carry"),
        ("world", "bonds"),
        ("phase", ack_pb.APPLY_PHASE_UNFREEZE),
        ("phase", ack_pb.APPLY_PHASE_UNSPECIFIED),
    ],
)
async def test_what_was_not_told_cannot_be_acknowledged(scene: Scene, field: str, value: object) -> None:
    world = scene.world()
    await scene.tell(world, *RUN)
    runner = Runner(scene, world)
    await runner.hello()
    await scene.acknowledged(world)
    await scene.tell(world, Phase.FREEZE, run_id="run-2")
    before = await scene.counted(f"acknowledgements_refused_total/{field}")
    await runner.acknowledge(await runner.event(), **{field: value})
    error = await runner.refused()
    assert (error.reason, error.metadata["field"]) == (Reason.ACKNOWLEDGEMENT_MISMATCH, field)
    assert await scene.counted(f"acknowledgements_refused_total/{field}") == before + 1
    assert scene.stand_in.acknowledged.empty()


async def test_a_late_acknowledgement_is_counted_and_the_session_goes_on(scene: Scene) -> None:
    world = scene.world()
    await scene.tell(world, Phase.FREEZE)
    runner = Runner(scene, world)
    freeze = (await runner.hello()).snapshot
    await scene.tell(world, Phase.SWITCH)
    await runner.acknowledge(await runner.event())
    before = await scene.counted("acknowledgements_refused_total/sequence")
    await runner.acknowledge(freeze)
    assert (await runner.beat(1)).sequence == 2
    assert await scene.counted("acknowledgements_refused_total/sequence") == before + 1


async def test_only_runners_acknowledge_in_a_session(scene: Scene) -> None:
    world = scene.world()
    await scene.tell(world, Phase.FREEZE)
    runner = Runner(scene, world)
    await runner.acknowledge((await runner.hello()).snapshot, kind=ack_pb.PARTICIPANT_KIND_GATEWAY)
    error = await runner.refused()
    assert (error.reason, error.metadata["field"]) == (Reason.INVALID_FIELD, "acknowledgement.kind")


async def test_bytes_that_are_no_message_end_the_session(scene: Scene) -> None:
    world = scene.world()
    await scene.tell(world, Phase.FREEZE)
    hello = pb.Hello(world=world, strategy_id=TREND, strategy_version=FINGERPRINT, incarnation="start-1")
    call = scene.channel.stream_stream("/qmtl.control.v1.SessionService/Follow")(timeout=SECONDS)
    await call.write(pb.FollowRequest(hello=hello).SerializeToString())
    assert pb.FollowResponse.FromString(await call.read()).HasField("welcome")
    await call.write(b"\xff\xff")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert from_rpc_error(caught.value).reason is Reason.INVALID_FIELD


async def test_sessions_are_counted_while_they_last(scene: Scene) -> None:
    world = scene.world()
    await scene.tell(world, Phase.FREEZE)
    before = await scene.counted("runner_sessions")
    runner = Runner(scene, world)
    await runner.hello()
    assert await scene.counted("runner_sessions") == before + 1
    await runner.call.done_writing()
    assert await runner.read() is grpc.aio.EOF
    await becomes(lambda: scene.counted("runner_sessions"), before)


async def test_a_gateway_that_stops_ends_its_sessions_at_once(scene: Scene, migrated_dsn: str, nats_url: str) -> None:
    stated = settings(migrated_dsn, nats_url, NOBODY, "other")
    other = running(stated)
    port = await other.__aenter__()
    async with reaching(stated, port, scene.stand_in, scene.bus) as away:
        runner = Runner(away, scene.world())
        await runner.hello()
        stopping = asyncio.create_task(other.__aexit__(None, None, None))
        error = await runner.refused()
        assert (error.reason, error.metadata) == (Reason.DEPENDENCY_UNAVAILABLE, {"dependency": "gateway"})
        async with asyncio.timeout(5):
            await stopping


async def test_without_a_world_service_a_gateway_starts_and_holds_sessions_closed(
    scene: Scene, migrated_dsn: str, nats_url: str
) -> None:
    stated = settings(migrated_dsn, nats_url, NOBODY, "alone")
    async with running(stated) as port, reaching(stated, port, scene.stand_in, scene.bus) as alone:
        runner = Runner(alone, scene.world())
        assert not (await runner.hello()).HasField("snapshot")
        renewal = await runner.beat(1)
        assert (renewal.epoch, renewal.sequence) == (0, 0)
