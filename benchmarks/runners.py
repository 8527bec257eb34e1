"""Runners as load: sessions held by a process of its own, a few connections to each gateway, nothing of a strategy.

``python -m benchmarks.runners KIND COUNT ADDRESS…`` holds them and prints a line when all have their welcome, and one
each time that all of them have answered an event. KIND ``qmtl`` says hello and heartbeats each second as the SDK does,
and acknowledges each event; ``bare`` answers every message of a bare gateway with bytes of about that length. A message
is parsed once for all sessions, and an answer is put together of the part that is common and the session's own.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Protocol

import grpc

from benchmarks import bare_gateway
from benchmarks.local_stack import Metadata
from qmtl_foundation.pb.qmtl.apply.v1 import acknowledgement_pb2 as ack_pb
from qmtl_foundation.pb.qmtl.control.v1 import activation_event_pb2
from qmtl_foundation.pb.qmtl.control.v1 import session_service_pb2 as pb

WORLD: Final = "bench"
STRATEGY: Final = "bench/SmaCross"
CONNECTIONS: Final = 2  # of a process to a gateway
BEAT_SECONDS: Final = 1.0
LINE_SECONDS: Final = 60.0
FOLLOW: Final = "/qmtl.control.v1.SessionService/Follow"
PHASES: Final = {
    activation_event_pb2.ACTIVATION_EVENT_KIND_FREEZE: ack_pb.APPLY_PHASE_FREEZE,
    activation_event_pb2.ACTIVATION_EVENT_KIND_SWITCH: ack_pb.APPLY_PHASE_SWITCH,
    activation_event_pb2.ACTIVATION_EVENT_KIND_UNFREEZE: ack_pb.APPLY_PHASE_UNFREEZE,
}


class Speech(Protocol):
    """Say what one kind of runner says, as bytes."""

    method: str
    beats: bool

    def hello(self) -> bytes:
        """Return the first message of a session."""

    def beat(self, number: int) -> bytes:
        """Return a heartbeat."""

    def answer(self, message: bytes) -> bytes | None:
        """Return the answer to a message, None where it has none."""


class QmtlSpeech:
    """Speak as one runner does to a gateway of ours."""

    method = FOLLOW
    beats = True

    def __init__(self) -> None:
        self._incarnation = uuid.uuid4().hex
        own = ack_pb.Acknowledgement(incarnation=self._incarnation)
        self._own = pb.FollowRequest(acknowledgement=own).SerializeToString()

    def hello(self) -> bytes:
        """Return the hello."""
        version = f"blake3:{'0' * 64}"
        hello = pb.Hello(world=WORLD, strategy_id=STRATEGY, strategy_version=version, incarnation=self._incarnation)
        return pb.FollowRequest(hello=hello).SerializeToString()

    def beat(self, number: int) -> bytes:
        """Return a heartbeat."""
        return pb.FollowRequest(heartbeat=pb.Heartbeat(number=number)).SerializeToString()

    def answer(self, message: bytes) -> bytes | None:
        """Return the acknowledgement of an event: two messages in a row are read as one."""
        common = _common(message)
        return None if common is None else common + self._own


class BareSpeech:
    """Speak as one runner does to a bare gateway."""

    method = bare_gateway.FOLLOW
    beats = False

    def __init__(self) -> None:
        self._own = bytes(150)

    def hello(self) -> bytes:
        """Return anything."""
        return b"hello"

    def beat(self, number: int) -> bytes:
        """Return anything; it is never sent."""
        return b""

    def answer(self, message: bytes) -> bytes | None:
        """Return as many bytes as an acknowledgement has."""
        return self._own


@lru_cache(maxsize=64)
def _common(message: bytes) -> bytes | None:
    told = pb.FollowResponse.FromString(message)
    if told.WhichOneof("content") != "event":
        return None
    event = told.event
    said = ack_pb.Acknowledgement(
        world=event.world,
        epoch=event.epoch,
        run_id=event.run_id,
        phase=PHASES[event.kind],
        sequence=event.sequence,
        participant=STRATEGY,
        kind=ack_pb.PARTICIPANT_KIND_RUNNER,
    )
    return pb.FollowRequest(acknowledgement=said).SerializeToString()


class Runners:
    """Hold sessions, and count who has answered what."""

    def __init__(self, metadata: Metadata, count: int) -> None:
        self._metadata = metadata
        self._count = count
        self._welcomed = 0
        self._answered: Counter[bytes] = Counter()

    async def hold(self, channel: Any, speech: Speech) -> None:
        """Hold one session."""
        call = channel.stream_stream(speech.method)(metadata=self._metadata)
        await call.write(speech.hello())
        await call.read()
        self._welcomed += 1
        if self._welcomed == self._count:
            print("welcome", flush=True)
        writing = asyncio.Lock()
        beating = asyncio.create_task(_beat(call, speech, writing)) if speech.beats else None
        try:
            while (message := await call.read()) is not grpc.aio.EOF:
                answer = speech.answer(message)
                if answer is not None:
                    async with writing:
                        await call.write(answer)
                    self._note(message)
        finally:
            if beating is not None:
                beating.cancel()
        raise ConnectionError("a gateway ended a session")

    def _note(self, message: bytes) -> None:
        self._answered[message] += 1
        if self._answered[message] == self._count:
            del self._answered[message]
            print("answered", flush=True)


async def _beat(call: Any, speech: Speech, writing: asyncio.Lock) -> None:
    await asyncio.sleep(BEAT_SECONDS * (uuid.uuid4().int % 1_000) / 1_000)  # not all at once
    for number in itertools.count(1):
        async with writing:
            await call.write(speech.beat(number))
        await asyncio.sleep(BEAT_SECONDS)


async def main(kind: str, metadata: Metadata, count: int, addresses: Sequence[str]) -> None:
    """Hold sessions until killed."""
    speech = QmtlSpeech if kind == "qmtl" else BareSpeech
    runners = Runners(metadata, count)
    async with AsyncExitStack() as stack:
        options = (("grpc.use_local_subchannel_pool", 1),)
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(address, options=options))
            for _ in range(CONNECTIONS)
            for address in addresses
        ]
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(runners.hold(channels[number % len(channels)], speech()))


@dataclass(frozen=True, slots=True)
class Held:
    """Reach the processes that hold sessions."""

    processes: Sequence[asyncio.subprocess.Process]

    async def answered(self, events: int) -> None:
        """Return when every session has answered so many more events."""
        for process in self.processes:
            for _ in range(events):
                await _line(process, "answered")


@asynccontextmanager
async def holding(
    kind: str, metadata: Metadata, count: int, addresses: Sequence[str], processes: int = 1
) -> AsyncIterator[Held]:
    """Yield so many sessions, spread over gateways, once all have their welcome."""
    command = (
        sys.executable,
        "-m",
        "benchmarks.runners",
        kind,
        json.dumps(metadata),
        str(count // processes),
        *addresses,
    )
    starting = (
        asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE) for _ in range(processes if count else 0)
    )
    started = await asyncio.gather(*starting)
    try:
        for process in started:
            await _line(process, "welcome")
        yield Held(started)
    finally:
        for process in started:
            process.kill()
            await process.wait()


async def _line(process: asyncio.subprocess.Process, expected: str) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(LINE_SECONDS):  # a session that was told otherwise than the rest is never counted
        line = (await process.stdout.readline()).decode().strip()
    if line != expected:
        raise ChildProcessError(f"the process of the runners said {line!r} instead of {expected!r}")


if __name__ == "__main__":
    given = tuple((name, value) for name, value in json.loads(sys.argv[2]))
    asyncio.run(main(sys.argv[1], given, int(sys.argv[3]), sys.argv[4:]))
