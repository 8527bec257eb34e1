"""Sessions of a real gateway on a real NATS, with a world service that does what a test says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import grpc
import nats.js.errors
import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.jetstream.bus import Bus
from qmtl_foundation.jetstream.streams import ALL_EVENTS, CONTROL, EVENT_ID, REPORTS, event_subject
from qmtl_foundation.pb.qmtl.apply.v1 import acknowledgement_pb2 as ack_pb
from qmtl_foundation.pb.qmtl.control.v1 import activation_event_pb2
from qmtl_foundation.pb.qmtl.control.v1 import session_service_pb2 as pb
from qmtl_foundation.rpc.status import from_rpc_error
from qmtl_gateway.bootstrap import running
from qmtl_gateway.sessions import service
from qmtl_gateway.sessions.holders import LEASE_SECONDS
from qmtl_gateway.sessions.model import Phase
from tests.support.desk import FINGERPRINT
from tests.support.gateway_scene import NOBODY, RUN, SECONDS, TREND, Runner, Scene, open_scene, reaching, settings
from tests.support.waiting import becomes


@pytest.fixture(scope="module")
async def scene(migrated_dsn: str, nats_url: str) -> AsyncIterator[Scene]:
    """Give one gateway for all tests that it survives."""
    async with open_scene(migrated_dsn, nats_url) as made:
        yield made


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
    await scene.acknowledged(world, len(RUN))  # until then it may not have come that far
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
    assert (await scene.acknowledged(world, len(RUN))).phase == ack_pb.APPLY_PHASE_UNFREEZE
    await scene.tell(world, Phase.FREEZE, run_id="run-2")
    await ann.acknowledge(await ann.event())
    await bob.event()
    assert (await bob.beat(1)).sequence == 4
    assert scene.stand_in.acknowledged.empty()
    freeze = activation_event_pb2.ActivationEvent.FromString(scene.stand_in.newest[world])
    await bob.acknowledge(freeze)
    said = await scene.acknowledged(world, len(RUN) + 1)
    assert (said.phase, said.epoch, said.sequence, said.run_id) == (ack_pb.APPLY_PHASE_FREEZE, 2, 4, "run-2")
    assert (said.participant, said.kind, said.mark) == ("gateway", ack_pb.PARTICIPANT_KIND_GATEWAY, 0)
    assert said.incarnation == scene.stand_in.renewals[-1].incarnation
    assert await scene.counted("activation_skew_seconds_count") >= 2


async def test_a_runner_that_went_is_waited_for_until_its_lease_is_over(scene: Scene) -> None:
    world = scene.world()
    await scene.tell(world, *RUN)
    runner, began = Runner(scene, world), time.monotonic()
    await runner.hello()
    await scene.acknowledged(world, len(RUN))
    runner.call.cancel()
    await scene.tell(world, Phase.FREEZE)
    await scene.acknowledged(world, len(RUN) + 1)
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
    teller = scene.stand_in.tellers[world]
    teller.tell(Phase.SWITCH, run_id="run-1")  # and never published
    payload = teller.tell(Phase.UNFREEZE, run_id="run-1")
    await scene.bus.publish(event_subject(world), payload, {EVENT_ID: "unfreeze"})
    await becomes(lambda: scene.counts_more("activation_resync_total/gap", before), True)
    scene.stand_in.newest[world] = payload  # a renewal that showed it before would have closed the world, too
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
        assert consumer.config.filter_subjects == [ALL_EVENTS]
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


async def test_a_runner_that_heard_nothing_gets_all_reports_since_its_first_welcome_at_any_gateway(
    scene: Scene,
) -> None:
    world = scene.world()
    await scene.tell(world, Phase.FREEZE)
    before = await scene.report(world)
    first = Runner(scene, world)
    began = (await first.hello()).report_position
    assert began >= before
    first.call.cancel()
    missed = [await scene.report(world) for _ in range(2)]
    again = Runner(scene, world)
    assert (await again.hello(position=began)).report_position == began
    assert [(await again.read()).report.position for _ in range(2)] == missed


async def test_place_nought_means_every_report(scene: Scene) -> None:
    world = scene.world()
    await scene.tell(world, Phase.FREEZE)
    positions = [await scene.report(world) for _ in range(2)]
    runner = Runner(scene, world)
    await runner.hello(position=0)
    assert [(await runner.read()).report.position for _ in range(2)] == positions


async def test_a_place_beyond_the_reports_is_of_a_stream_that_is_gone(scene: Scene) -> None:
    world = scene.world()
    await scene.tell(world, Phase.FREEZE)
    positions = [await scene.report(world)]
    runner = Runner(scene, world)
    assert (await runner.hello(position=10**9)).report_position == 0
    positions.append(await scene.report(world))
    assert [(await runner.read()).report.position for _ in range(2)] == positions


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


async def test_sessions_that_hear_reports_of_a_stream_that_is_gone_end_and_hear_the_new_one(scene: Scene) -> None:
    world = scene.world()
    await scene.tell(world, Phase.FREEZE)
    runner = Runner(scene, world)
    began = (await runner.hello()).report_position
    heard = [await scene.report(world) for _ in range(2)]
    assert [(await runner.read()).report.position for _ in range(2)] == heard
    await scene.bus.jetstream.delete_stream(REPORTS)
    error = await runner.refused()
    assert (error.reason, error.metadata) == (Reason.DEPENDENCY_UNAVAILABLE, {"dependency": "nats"})
    again = Runner(scene, world)
    assert (await again.hello(position=heard[-1])).report_position == 0 <= began
    position = await scene.report(world)
    assert (await again.read()).report.position == position < heard[-1]


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
    await scene.acknowledged(world, len(RUN))
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
    stated = settings(migrated_dsn, nats_url, NOBODY, scene.issuer, "other")
    other = running(stated)
    port = await other.__aenter__()
    async with reaching(stated, port, scene.stand_in, scene.bus, scene.issuer) as away:
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
    stated = settings(migrated_dsn, nats_url, NOBODY, scene.issuer, "alone")
    async with running(stated) as port, reaching(stated, port, scene.stand_in, scene.bus, scene.issuer) as alone:
        runner = Runner(alone, scene.world())
        assert not (await runner.hello()).HasField("snapshot")
        renewal = await runner.beat(1)
        assert (renewal.epoch, renewal.sequence) == (0, 0)
