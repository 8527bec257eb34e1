"""The control plane: ``Submit`` beside its raw floor, a burst of 1,000 at once, ``Runner.submit`` by phase."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import grpc

from benchmarks.crossover import SmaCross, program
from benchmarks.floor import Floor, open_floor
from benchmarks.local_stack import LocalStack, Metadata, qmtl, running_stack
from benchmarks.measure import MS, OURS, Findings, Line, Target, alone, compare, percentile
from qmtl_foundation.pb.qmtl.submission.v1 import submission_pb2, submission_service_pb2, submission_service_pb2_grpc
from qmtl_sdk import Runner
from qmtl_sdk.submission.result import SubmitResult

WORLD: Final = "bench"
POLICY: Final = Path(__file__).resolve().parents[1] / "examples" / "policy.yaml"
ROUNDS: Final = 200
WARM_ROUNDS: Final = 20
RUNS: Final = 7
BURST: Final = 1_000
END_SECONDS: Final = 120.0
FLOOR: Final = "commit + synced publish + echo"


@dataclass(frozen=True, slots=True)
class Client:
    """Submit one strategy again and again, on the data that it was first submitted on."""

    submissions: Any
    metadata: Metadata
    dag: bytes
    as_of: str
    fingerprint: str

    def request(self, name: str) -> submission_service_pb2.SubmitRequest:
        """Return a request under a new id."""
        return submission_service_pb2.SubmitRequest(
            request_id=uuid.uuid4().hex,
            world=WORLD,
            author="bench",
            name=name,
            dag=self.dag,
            as_of=self.as_of,
            dataset_fingerprint=self.fingerprint,
        )

    def submit(self, request: submission_service_pb2.SubmitRequest) -> Awaitable[Any]:
        """Submit."""
        call: Awaitable[Any] = self.submissions.Submit(request, metadata=self.metadata)
        return call

    async def await_end(self, submission_id: str) -> int:
        """Return the state in which a submission ended."""
        request = submission_service_pb2.WatchSubmissionRequest(submission_id=submission_id)
        state = submission_pb2.SUBMISSION_STATE_UNSPECIFIED
        async for answer in self.submissions.WatchSubmission(request, timeout=END_SECONDS, metadata=self.metadata):
            state = answer.submission.state
        return int(state)


def run() -> Findings:
    """Run all of them on one stack."""
    with running_stack() as stack:
        preset = ("--preset", "sample_us_equity_1d", "--share-policy", "world")
        qmtl("world", "create", WORLD, *preset, "--mode", "paper", "--policy", str(POLICY))
        results = [Runner.submit(SmaCross, world=WORLD) for _ in range(RUNS + 1)][1:]
        lines, notes = asyncio.run(_submissions(stack, results[0]))
    return Findings((*lines, *_phases(results)), notes)


def _phases(results: list[SubmitResult]) -> list[Line]:
    """Return the phases of warm submissions; the first one of a process loads its libraries."""
    phases = {name: [result.timings_ms[name] for result in results] for name in results[0].timings_ms}
    whole = [sum(result.timings_ms.values()) for result in results]
    lines = [alone(f"`Runner.submit`, phase {name}", times) for name, times in phases.items()]
    return [*lines, alone("`Runner.submit`, all phases", whole)]


async def _submissions(stack: LocalStack, result: SubmitResult) -> tuple[list[Line], tuple[str, ...]]:
    assert result.decision is not None
    async with open_floor(stack) as floor, grpc.aio.insecure_channel(stack.address("gateway")) as channel:
        stub = submission_service_pb2_grpc.SubmissionServiceStub(channel)
        client = Client(
            stub, stack.metadata, program().dag_document(), result.decision.as_of, result.dataset_fingerprint
        )
        one_by_one = await _one_by_one(client, floor)
        burst, note = await _burst(client, floor)
    return [*one_by_one, *burst], (note,)


async def _one_by_one(client: Client, floor: Floor) -> list[Line]:
    parts = ("commit", "publish", "echo")
    times: dict[str, list[float]] = {name: [] for name in (OURS, FLOOR, *parts)}
    for number in range(WARM_ROUNDS + ROUNDS):
        request = client.request("one")
        document = request.SerializeToString()
        answer, ours = await timed(partial(client.submit, request))
        await client.await_end(answer.submission.submission_id)
        _, commit = await timed(partial(floor.commit, document))
        _, publish = await timed(floor.publish)
        _, echo = await timed(partial(floor.echo, document))
        if number >= WARM_ROUNDS:
            for name, elapsed in zip(times, (ours, commit + publish + echo, commit, publish, echo), strict=True):
                times[name].append(elapsed)
    floors = [alone(f"… of the floor: {name}", times[name]) for name in parts]
    return [compare("`Submit` answered, one at a time, p50", times, FLOOR, Target(times=1.5)), *floors]


async def _burst(client: Client, floor: Floor) -> tuple[list[Line], str]:
    requests = [client.request(f"burst_{number}") for number in range(BURST)]
    documents = [request.SerializeToString() for request in requests]
    floors = await asyncio.gather(*(timed(partial(floor.all, document)) for document in documents))
    began = time.perf_counter()
    answers = await asyncio.gather(*(timed(partial(client.submit, request)) for request in requests))
    answered = time.perf_counter() - began
    ends = await asyncio.gather(*(client.await_end(answer.submission.submission_id) for answer, _ in answers))
    ended = time.perf_counter() - began
    lost = sum(state != submission_pb2.SUBMISSION_STATE_READY for state in ends)
    note = (
        f"Burst of {BURST:,} at once: {lost} lost; all answered after {answered:.2f} s, all merged, bound and decided "
        f"after {ended:.1f} s ({BURST / ended:.0f}/s)."
    )
    ours, theirs = [elapsed for _, elapsed in answers], [elapsed for _, elapsed in floors]
    return [_at(share, ours, theirs) for share in (0.5, 0.95)], note


def _at(share: float, ours: list[float], theirs: list[float]) -> Line:
    mine, floor = percentile(ours, share), percentile(theirs, share)
    return Line(f"`Submit` answered, {BURST:,} at once, p{share * 100:.0f}", mine, FLOOR, floor, mine / floor)


async def timed(call: Callable[[], Awaitable[Any]]) -> tuple[Any, float]:
    began = time.perf_counter()
    answer = await call()
    return answer, (time.perf_counter() - began) * MS
